"""Where private cells dial in: evenly spread over the public ones, and staying where they were."""

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
    private cell had: it keeps them unless they left, are more than it may have, or carry more than
    their share. A new private cell moves nobody; a new public cell takes its share from the others.
    """
    homes = _Homes(public, before)
    wanted = min(each, len(homes.load))
    for cell in sorted(private):
        homes.keep(cell, wanted)
    for cell in sorted(homes.of):
        homes.fill(cell, wanted)
    homes.level()
    return frozenset(pair(cell, home) for cell, own in homes.of.items() for home in own)


class _Homes:
    def __init__(self, public: Iterable[int], before: Mapping[int, AbstractSet[int]]) -> None:
        self.load = dict.fromkeys(sorted(public), 0)
        self.of: dict[int, set[int]] = {}
        self._before = before

    def keep(self, cell: int, wanted: int) -> None:
        known = sorted(self._before.get(cell, set()) & self.load.keys(), key=self._lightest)
        self.of[cell] = set()
        for home in known[:wanted]:
            self._move_in(cell, home)

    def fill(self, cell: int, wanted: int) -> None:
        while len(self.of[cell]) < wanted:
            free = (home for home in self.load if home not in self.of[cell])
            self._move_in(cell, min(free, key=self._lightest))

    def level(self) -> None:
        """Move one uplink at a time from the fullest to the emptiest, the newest cell's first."""
        while self.load:
            emptiest = min(self.load, key=self._lightest)
            fullest = max(self.load, key=self._lightest)
            if self.load[fullest] - self.load[emptiest] <= 1:
                return
            mover = max(
                cell for cell, own in self.of.items() if fullest in own and emptiest not in own
            )
            self.of[mover].remove(fullest)
            self.load[fullest] -= 1
            self._move_in(mover, emptiest)

    def _move_in(self, cell: int, home: int) -> None:
        self.of[cell].add(home)
        self.load[home] += 1

    def _lightest(self, home: int) -> tuple[int, int]:
        return self.load[home], home
