"""The backbone as a graph of cell ids: what hangs together, and what falls apart without one cell.

One depth-first walk answers every such question at once. With each cell's place in the order of
the walk and its *low point* (the earliest place that its subtree can reach around its parent), the
subtree of a child is cut off by the loss of its parent exactly if its low point is no earlier than
the parent's place (Hopcroft and Tarjan, Algorithm 447, 1973).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

Pair: TypeAlias = tuple[int, int]


def pair(one: int, other: int) -> Pair:
    """Return both ids, the lower first."""
    return (one, other) if one < other else (other, one)


def adjacency(cells: Iterable[int], pairs: Iterable[Pair]) -> dict[int, list[int]]:
    """Return the neighbours of every cell, both in ascending order."""
    neighbours: dict[int, list[int]] = {cell: [] for cell in sorted(cells)}
    for a, b in sorted(pairs):
        neighbours[a].append(b)
        neighbours[b].append(a)
    for each in neighbours.values():
        each.sort()
    return neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A depth-first walk over a graph without parallel links.

    `order` are the cells as they were met; `place` is each one's index in it, so that a subtree is
    the slice of `size` cells from its top's place on. `root` is the top of a cell's component.
    """

    neighbours: dict[int, list[int]]
    order: tuple[int, ...]
    place: dict[int, int]
    parent: dict[int, int]
    root: dict[int, int]
    low: dict[int, int]
    size: dict[int, int]

    @property
    def roots(self) -> tuple[int, ...]:
        """The lowest cell of each component."""
        return tuple(cell for cell in self.order if cell not in self.parent)

    def subtree(self, top: int) -> slice:
        """Return where in `order` the cells below `top`, and `top`, are."""
        return slice(self.place[top], self.place[top] + self.size[top])

    def cut_off_without(self, cell: int) -> tuple[int, ...]:
        """Return the children of `cell` whose subtrees lose all others with it, as walked."""
        place = self.place[cell]
        return tuple(
            child
            for child in sorted(self.neighbours[cell], key=self.place.__getitem__)
            if self.parent.get(child) == cell and self.low[child] >= place
        )

    @property
    def bridges(self) -> tuple[Pair, ...]:
        """The links, upper end first, whose loss cuts the lower end's subtree off."""
        return tuple(
            (upper, lower)
            for lower, upper in self.parent.items()
            if self.low[lower] > self.place[upper]
        )

    @property
    def cut_cells(self) -> tuple[int, ...]:
        """The cells whose loss parts the others."""
        return tuple(cell for cell in self.order if self._parts(cell))

    def _parts(self, cell: int) -> bool:
        pieces = len(self.cut_off_without(cell))
        return pieces > (0 if cell in self.parent else 1)


def walk(cells: Iterable[int], pairs: Iterable[Pair]) -> Walk:
    """Walk the whole graph, each component from its lowest cell."""
    neighbours = adjacency(cells, pairs)
    place: dict[int, int] = {}
    parent: dict[int, int] = {}
    root: dict[int, int] = {}
    for cell in neighbours:
        if cell not in place:
            for met, upper in _explore(cell, neighbours, place):
                root[met] = cell
                if upper is not None:
                    parent[met] = upper
    order = tuple(place)
    low, size = _low_points(order, neighbours, place, parent)
    return Walk(
        neighbours=neighbours,
        order=order,
        place=place,
        parent=parent,
        root=root,
        low=low,
        size=size,
    )


def _explore(
    start: int, neighbours: dict[int, list[int]], place: dict[int, int]
) -> Iterator[tuple[int, int | None]]:
    # By hand and not by recursion: a chain of a thousand cells is deeper than Python's stack.
    place[start] = len(place)
    yield start, None
    path = [(start, iter(neighbours[start]))]
    while path:
        cell, ahead = path[-1]
        for neighbour in ahead:
            if neighbour not in place:
                place[neighbour] = len(place)
                yield neighbour, cell
                path.append((neighbour, iter(neighbours[neighbour])))
                break
        else:
            path.pop()


def _low_points(
    order: tuple[int, ...],
    neighbours: dict[int, list[int]],
    place: dict[int, int],
    parent: dict[int, int],
) -> tuple[dict[int, int], dict[int, int]]:
    low = dict(place)
    size = dict.fromkeys(order, 1)
    for cell in reversed(order):
        upper = parent.get(cell)
        around = (place[each] for each in neighbours[cell] if each != upper)
        low[cell] = min(low[cell], min(around, default=low[cell]))
        if upper is not None:
            low[upper] = min(low[upper], low[cell])
            size[upper] += size[cell]
    return low, size
