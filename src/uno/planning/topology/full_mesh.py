"""The full-mesh strategy: each cell is linked with each public cell."""

from __future__ import annotations

from collections.abc import Iterable

from uno.planning.topology.graph import Pair, pair


def pairs(public: Iterable[int], private: Iterable[int]) -> frozenset[Pair]:
    """Return all pairs of cells but those of two private ones, which cannot reach each other."""
    public = sorted(public)
    among = {(one, other) for one in public for other in public if one < other}
    inward = {pair(one, other) for one in private for other in public}
    return frozenset(among | inward)
