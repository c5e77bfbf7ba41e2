"""The random strategy: each cell draws its peers among the cells with lower ids.

A public cell has fewer links than there are cells, a private one at most two, both to public cells.
With one public cell or more the graph is connected; with two or more it has no articulation point,
since each cell then has two links where possible.

Each cell draws from a generator of its own, over all ids below its own, excluded cells included. So
the graph depends on the seed and the cells alone, not on the parent: a new cell adds its own links
and changes no other (but for a private cell that lacks its second link); a cell that leaves is
replaced only where it had been drawn, and gets the same links when it comes back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from uno.planning.topology.graph import Pair, pair

_PRIVATE_LINKS = 2


def pairs(public: Iterable[int], private: Iterable[int], *, seed: int) -> frozenset[Pair]:
    """Return the links that `seed` gives these cells."""
    linkable = frozenset(public)
    links: set[Pair] = set()
    for cell in sorted(linkable):
        # Two or three: with two each, the graph is as redundant as a ring; the third shortens it.
        wanted = 2 if _generator(seed, cell, use="links").random() < 0.5 else 3
        links |= _drawn(cell, _before(cell, seed, linkable), wanted)
    for cell in private:
        candidates = _before_then_after(cell, seed, linkable)
        links |= _drawn(cell, candidates, _PRIVATE_LINKS)
    return frozenset(links)


def _drawn(cell: int, candidates: Iterator[int], count: int) -> set[Pair]:
    return {pair(cell, peer) for peer, _ in zip(candidates, range(count), strict=False)}


def _before(cell: int, seed: int, linkable: frozenset[int]) -> Iterator[int]:
    draw = _generator(seed, cell, use="peers")
    # Sorting by `random()` and not `shuffle` or `sample`: of the generator's methods only this one
    # is guaranteed to return the same numbers under every version of Python.
    shuffled = sorted(range(1, cell), key=lambda _: draw.random())
    return (peer for peer in shuffled if peer in linkable)


def _before_then_after(cell: int, seed: int, linkable: frozenset[int]) -> Iterator[int]:
    yield from _before(cell, seed, linkable)
    yield from sorted(peer for peer in linkable if peer > cell)


def _generator(seed: int, cell: int, *, use: str) -> random.Random:
    return random.Random(f"{seed}/{cell}/{use}")  # noqa: S311 - lots to draw, nothing to hide
