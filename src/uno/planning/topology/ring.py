"""The ring of public cells, and the links that crossed and circular make of it.

The ring is an order, and the links follow from the places in it: previous, next, and for crossed
the cell half a ring further on. With an odd number of cells the last place has nobody across. So
whoever chooses places well keeps links, and everybody stays exactly across from their partner:

- a new cell, in a ring of even size, becomes the last: one ring link goes, two come;
- in a ring of odd size it goes across from the last, and the two become partners: one ring link
  goes, three come;
- a cell that leaves a ring of even size leaves its partner without one, so that one is now last;
- one that leaves a ring of odd size leaves a partner who must be paired with the last. Where these
  are not across from each other, either the across links between them move by one place each, or
  the last moves into the gap; whichever changes less, and never more than two links;
- a new cell that comes while another leaves takes its place, and no other link changes.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from uno.planning.topology.graph import Pair, pair

Ring = tuple[int, ...]

# Closing a gap at this distance from the last cell moves at most two across links, as many as the
# last cell would lose by moving into the gap.
_NEAR = 3


def pairs(ring: Ring, *, across: bool) -> frozenset[Pair]:
    """Return the links that the places in `ring` stand for."""
    count = len(ring)
    half = count // 2
    links = {pair(ring[i - 1], ring[i]) for i in range(count) if count > 1}
    if across:
        links |= {pair(ring[i], ring[i + half]) for i in range(half)}
    return frozenset(links)


def evolve(ring: Ring, cells: AbstractSet[int], *, across: bool) -> Ring:
    """Return a ring of `cells` that shares as many links as it can with `ring`.

    Without an earlier ring, cells stand in order of their ids.
    """
    if not ring:
        return tuple(sorted(cells))
    left = sorted(set(ring) - cells)
    new = sorted(cells - set(ring))
    successor = dict(zip(left, new, strict=False))
    ring = tuple(successor.get(cell, cell) for cell in ring)
    for cell in left[len(new) :]:
        ring = _without(ring, cell, across=across)
    for cell in new[len(left) :]:
        ring = _with(ring, cell)
    return ring


def _with(ring: Ring, cell: int) -> Ring:
    place = len(ring) // 2 if len(ring) % 2 else len(ring)
    return (*ring[:place], cell, *ring[place:])


def _without(ring: Ring, cell: int, *, across: bool) -> Ring:
    count, place = len(ring), ring.index(cell)
    before, after = ring[:place], ring[place + 1 :]
    if count % 2 == 0:
        partner = (place + count // 2) % count
        turned = (*ring[partner + 1 :], *ring[: partner + 1])
        return tuple(each for each in turned if each != cell)
    if not across or not after or min(place + 1, len(after)) <= _NEAR:
        return (*before, *after)
    return (*before, after[-1], *after[:-1])
