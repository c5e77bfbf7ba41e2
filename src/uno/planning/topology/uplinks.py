"""The uplinks of private cells: spread evenly over the public cells, and stable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from uno.planning.topology.graph import Pair, pair


def uplinks(
    private: Iterable[int],
    public: Iterable[int],
    *,
    each: int,
    before: Mapping[int, AbstractSet[int]],
) -> frozenset[Pair]:
    """Link every private cell with `each` different public ones, fewer if there are fewer.

    The loads of any two public cells differ by one at most. `before` are the neighbours that each
    private cell had: it keeps them unless they left, exceed `each`, or carry more than their share.
    A new private cell moves no uplink of another; a new public cell takes its share of uplinks.
    """
    balancer = _Balancer(public, before)
    wanted = min(each, len(balancer.load))
    for cell in sorted(private):
        balancer.keep(cell, wanted)
    for cell in sorted(balancer.of):
        balancer.fill(cell, wanted)
    balancer.level()
    return frozenset(pair(cell, hub) for cell, own in balancer.of.items() for hub in own)


class _Balancer:
    """The uplinks chosen so far; `load` counts those of each public cell."""

    def __init__(self, public: Iterable[int], before: Mapping[int, AbstractSet[int]]) -> None:
        self.load = dict.fromkeys(sorted(public), 0)
        self.of: dict[int, set[int]] = {}
        self._before = before

    def keep(self, cell: int, wanted: int) -> None:
        known = sorted(self._before.get(cell, set()) & self.load.keys(), key=self._lightest)
        self.of[cell] = set()
        for hub in known[:wanted]:
            self._add(cell, hub)

    def fill(self, cell: int, wanted: int) -> None:
        while len(self.of[cell]) < wanted:
            free = (hub for hub in self.load if hub not in self.of[cell])
            self._add(cell, min(free, key=self._lightest))

    def level(self) -> None:
        """Move one uplink at a time from the most to the least loaded, the newest cell's first."""
        while self.load:
            least = min(self.load, key=self._lightest)
            most = max(self.load, key=self._lightest)
            if self.load[most] - self.load[least] <= 1:
                return
            mover = max(cell for cell, own in self.of.items() if most in own and least not in own)
            self.of[mover].remove(most)
            self.load[most] -= 1
            self._add(mover, least)

    def _add(self, cell: int, hub: int) -> None:
        self.of[cell].add(hub)
        self.load[hub] += 1

    def _lightest(self, hub: int) -> tuple[int, int]:
        return self.load[hub], hub
