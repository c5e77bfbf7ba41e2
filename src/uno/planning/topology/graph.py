"""The backbone as a graph of cell ids: its components, bridges and articulation points.

One depth-first search finds all of them. With each cell's discovery index
and its *low point* (the lowest discovery index that its subtree reaches around its parent), the
loss of a cell cuts off the subtree of a child exactly if the child's low point is not below the
cell's discovery index (Hopcroft and Tarjan, Algorithm 447, 1973).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct

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


class DfsTree(Struct, frozen=True, kw_only=True):
    """The depth-first search tree (a forest, one tree per component) of a graph.

    The graph has no parallel links. `order` are the cells in the order of discovery;
    `discovery_index` is each one's index in it, so that a subtree is the slice of `size` cells from
    the discovery index of its top on. `root` is the top of a cell's component, `low` its low point.
    """

    neighbours: dict[int, list[int]]
    order: tuple[int, ...]
    discovery_index: dict[int, int]
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
        return slice(self.discovery_index[top], self.discovery_index[top] + self.size[top])

    def articulation_children(self, cell: int) -> tuple[int, ...]:
        """Return the children of `cell` whose subtrees its loss cuts off, in order of discovery."""
        index = self.discovery_index[cell]
        return tuple(
            child
            for child in sorted(self.neighbours[cell], key=self.discovery_index.__getitem__)
            if self.parent.get(child) == cell and self.low[child] >= index
        )

    @property
    def bridges(self) -> tuple[Pair, ...]:
        """The links, upper end first, whose loss cuts the lower end's subtree off."""
        return tuple(
            (upper, lower)
            for lower, upper in self.parent.items()
            if self.low[lower] > self.discovery_index[upper]
        )

    @property
    def articulation_points(self) -> tuple[int, ...]:
        """The cells whose loss leaves more components."""
        return tuple(cell for cell in self.order if self._parts(cell))

    def _parts(self, cell: int) -> bool:
        pieces = len(self.articulation_children(cell))
        return pieces > (0 if cell in self.parent else 1)


def dfs_tree(cells: Iterable[int], pairs: Iterable[Pair]) -> DfsTree:
    """Search the whole graph, each component from its lowest cell."""
    neighbours = adjacency(cells, pairs)
    discovery_index: dict[int, int] = {}
    parent: dict[int, int] = {}
    root: dict[int, int] = {}
    for cell in neighbours:
        if cell not in discovery_index:
            for met, upper in _explore(cell, neighbours, discovery_index):
                root[met] = cell
                if upper is not None:
                    parent[met] = upper
    order = tuple(discovery_index)
    low, size = _low_points(order, neighbours, discovery_index, parent)
    return DfsTree(
        neighbours=neighbours,
        order=order,
        discovery_index=discovery_index,
        parent=parent,
        root=root,
        low=low,
        size=size,
    )


def _explore(
    start: int, neighbours: dict[int, list[int]], discovery_index: dict[int, int]
) -> Iterator[tuple[int, int | None]]:
    # By hand and not by recursion: a chain of a thousand cells is deeper than Python's stack.
    discovery_index[start] = len(discovery_index)
    yield start, None
    path = [(start, iter(neighbours[start]))]
    while path:
        cell, ahead = path[-1]
        for neighbour in ahead:
            if neighbour not in discovery_index:
                discovery_index[neighbour] = len(discovery_index)
                yield neighbour, cell
                path.append((neighbour, iter(neighbours[neighbour])))
                break
        else:
            path.pop()


def _low_points(
    order: tuple[int, ...],
    neighbours: dict[int, list[int]],
    discovery_index: dict[int, int],
    parent: dict[int, int],
) -> tuple[dict[int, int], dict[int, int]]:
    low = dict(discovery_index)
    size = dict.fromkeys(order, 1)
    for cell in reversed(order):
        upper = parent.get(cell)
        around = (discovery_index[each] for each in neighbours[cell] if each != upper)
        low[cell] = min(low[cell], min(around, default=low[cell]))
        if upper is not None:
            low[upper] = min(low[upper], low[cell])
            size[upper] += size[cell]
    return low, size
