"""The import policy: of which cells each end of each link imports prefixes.

A cell imports from a neighbour the prefixes of the cells that the neighbour reaches without it, and
no others: any other route would pass through the cell itself, so it is a loop or forged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from uno.model.plan import CellSet
from uno.planning.topology.graph import DfsTree, Pair, dfs_tree


def import_origins(cells: Iterable[int], pairs: Iterable[Pair]) -> dict[tuple[int, int], CellSet]:
    """Return, by (cell, neighbour), whose prefixes the cell imports from that neighbour."""
    seen = dfs_tree(cells, pairs)
    accepted: dict[tuple[int, int], CellSet] = {}
    for cell in seen.order:
        accepted.update(_of_cell(cell, seen))
    return accepted


def _of_cell(cell: int, seen: DfsTree) -> dict[tuple[int, int], CellSet]:
    tops = seen.articulation_children(cell)
    starts = [seen.discovery_index[top] for top in tops]
    own: dict[int, CellSet] = {}
    accepted: dict[tuple[int, int], CellSet] = {}
    for neighbour in seen.neighbours[cell]:
        piece = _piece(seen.discovery_index[neighbour], tops, starts, seen)
        if piece not in own:
            own[piece] = _below(piece, seen) if piece else _remainder(cell, tops, seen)
        accepted[cell, neighbour] = own[piece]
    return accepted


# Cell ids count from 1, so 0 can stand for the piece that has no top of its own.
def _piece(place: int, tops: tuple[int, ...], starts: list[int], seen: DfsTree) -> int:
    before = bisect_right(starts, place) - 1
    if before < 0 or place >= seen.subtree(tops[before]).stop:
        return 0
    return tops[before]


def _below(top: int, seen: DfsTree) -> CellSet:
    part = seen.subtree(top)
    if 2 * seen.size[top] <= len(seen.order):
        return CellSet(cells=tuple(sorted(seen.order[part])))
    others = (*seen.order[: part.start], *seen.order[part.stop :])
    return CellSet(cells=tuple(sorted(others)), complement=True)


def _remainder(cell: int, tops: tuple[int, ...], seen: DfsTree) -> CellSet:
    component = seen.subtree(seen.root[cell])
    others = {cell, *seen.order[: component.start], *seen.order[component.stop :]}
    for top in tops:
        others.update(seen.order[seen.subtree(top)])
    if 2 * len(others) < len(seen.order):
        return CellSet(cells=tuple(sorted(others)), complement=True)
    return CellSet(cells=tuple(each for each in sorted(seen.order) if each not in others))
