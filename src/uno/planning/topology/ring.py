"""The ring of public cells, from which the crossed and circular strategies choose their links.

The ring is an order of cells. A cell is linked with the previous and the next one, and under
crossed with its partner half a ring further on. In a ring of odd size the last cell has no partner.
Positions are chosen so that as few links as possible change and partners stay partners:

- a new cell in a ring of even size becomes the last: one ring link is removed, two are added;
- in a ring of odd size it is inserted across from the last cell and becomes its partner: one ring
  link is removed, three are added;
- if a cell leaves a ring of even size, its former partner becomes the last;
- if a cell leaves a ring of odd size, its former partner needs the last cell as its new partner.
  Where these are not across from each other, either the links across between them move by one
  position each, or the last cell moves into the gap: whichever changes less, two links at most;
- a new cell that is added while another is removed takes its position; no other link changes.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from uno.planning.topology.graph import Pair, pair

Ring = tuple[int, ...]

# Closing a gap at this distance from the last cell moves at most two across links, as many as the
# last cell would lose by moving into the gap.
_NEAR = 3


def pairs(ring: Ring, *, across: bool) -> frozenset[Pair]:
    """Return the links of `ring`."""
    count = len(ring)
    half = count // 2
    links = {pair(ring[i - 1], ring[i]) for i in range(count) if count > 1}
    if across:
        links |= {pair(ring[i], ring[i + half]) for i in range(half)}
    return frozenset(links)


def evolve(ring: Ring, cells: AbstractSet[int], *, across: bool) -> Ring:
    """Return a ring of `cells` that shares as many links as it can with `ring`.

    Without an earlier ring, cells are in order of their ids.
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
