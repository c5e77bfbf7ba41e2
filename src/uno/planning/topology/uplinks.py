"""The uplinks of private cells: spread evenly over the public cells, and stable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from uno.planning.topology.graph import Pair, pair

Sites = Mapping[int, str]


def uplinks(
    private: Iterable[int],
    public: Iterable[int],
    *,
    each: int,
    before: Mapping[int, AbstractSet[int]],
    sites: Sites | None = None,
) -> frozenset[Pair]:
    """Link every private cell with `each` different public ones, fewer if there are fewer.

    `sites` has the address of each public cell; without it, each has one of its own. The uplinks
    of a private cell go to as many different addresses as there are, since cells at one address
    fail together. The loads of any two public cells differ by one at most, but where addresses are
    shared. `before` are the neighbours that each private cell had: it keeps them unless they left,
    exceed `each`, share an address without need, or carry more than their share.
    A new private cell moves no uplink of another; a new public cell takes its share of uplinks.
    """
    hubs = sorted(public)
    balancer = _Balancer(sites or {hub: str(hub) for hub in hubs}, hubs, before)
    wanted = min(each, len(balancer.load))
    for cell in sorted(private):
        balancer.keep(cell, wanted)
    for cell in sorted(balancer.of):
        balancer.fill(cell, wanted)
    balancer.level()
    return frozenset(pair(cell, hub) for cell, own in balancer.of.items() for hub in own)


class _Balancer:
    """The uplinks chosen so far; `load` counts those of each public cell."""

    def __init__(
        self, sites: Sites, hubs: Iterable[int], before: Mapping[int, AbstractSet[int]]
    ) -> None:
        self.load = dict.fromkeys(hubs, 0)
        self.of: dict[int, set[int]] = {}
        self._before = before
        self._sites = sites
        self._count = len({sites[hub] for hub in self.load})
        self._known = frozenset[int]().union(*before.values())
        self._filled: set[tuple[int, int]] = set()

    def keep(self, cell: int, wanted: int) -> None:
        known = sorted(self._before.get(cell, set()) & self.load.keys(), key=self._lightest)
        self.of[cell] = set()
        # How many uplinks have to share an address with another.
        sharing = max(0, wanted - self._count)
        for hub in known:
            if len(self.of[cell]) == wanted:
                break
            if any(self._sites[hub] == self._sites[other] for other in self.of[cell]):
                if not sharing:
                    continue
                sharing -= 1
            self._add(cell, hub)

    def fill(self, cell: int, wanted: int) -> None:
        while len(self.of[cell]) < wanted:
            own = self.of[cell]
            taken = {self._sites[hub] for hub in own}
            hub = min(
                (self._sites[hub] in taken, load, hub)
                for hub, load in self.load.items()
                if hub not in own
            )[-1]
            self._add(cell, hub)
            self._filled.add((cell, hub))

    def level(self) -> None:
        """Move one uplink at a time from a more to a less loaded cell, the newest cell's first."""
        while move := next(self._moves(), None):
            mover, most, least = move
            self.of[mover].remove(most)
            self.load[most] -= 1
            self._add(mover, least)

    def _moves(self) -> Iterator[tuple[int, int, int]]:
        """Yield the moves that level the load, those between the most and the least loaded first.

        A move takes no address away from a cell's uplinks.
        """
        lightest = sorted(self.load, key=self._lightest)
        for most in reversed(lightest):
            for least in lightest:
                if self.load[most] - self.load[least] <= 1:
                    break
                movers = [cell for cell in self.of if self._may_move(cell, most, least)]
                if movers:
                    yield max(movers), most, least

    def _may_move(self, cell: int, most: int, least: int) -> bool:
        own = self.of[cell]
        if most not in own or least in own:
            return False
        if self._count == len(self.load):
            return True
        # What has its place is moved to new public cells alone, since one move can allow others.
        if least in self._known and (cell, most) not in self._filled:
            return False
        others = {self._sites[hub] for hub in own if hub != most}
        return self._sites[least] not in others or self._sites[most] in others

    def _add(self, cell: int, hub: int) -> None:
        self.of[cell].add(hub)
        self.load[hub] += 1

    def _lightest(self, hub: int) -> tuple[int, int]:
        return self.load[hub], hub
