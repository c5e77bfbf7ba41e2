"""A model of which LANs must reach each other, without protocols: a graph of cells and links.

Pure. The lab is compared with it after faults and changes. What a cell holds is its package; a link
works if both of its ends hold it, both cells have power, and nothing is cut between them. Keys do
not count: a link whose ends are to have other keys keeps the old ones until both can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations

from msgspec import Struct
from msgspec.structs import replace

Pair = tuple[int, int]


class Holding(Struct, frozen=True, kw_only=True):
    """What a cell's package holds: its backbone neighbours, and the cells whose LANs it has."""

    neighbours: frozenset[int]
    members: frozenset[int]


class ReachabilityModel(Struct, frozen=True, kw_only=True):
    """The state of a world: what each cell holds, cuts between cells, cells without power.

    `lans` are the cells that have a LAN.
    """

    holdings: Mapping[int, Holding]
    lans: frozenset[int]
    cuts: frozenset[Pair] = frozenset()
    dark: frozenset[int] = frozenset()

    def cut(self, pair: Pair) -> ReachabilityModel:
        """The state after the Internet drops everything between two cells."""
        return replace(self, cuts=self.cuts | {_sorted(pair)})

    def restore(self, pair: Pair) -> ReachabilityModel:
        """The state after `cut` was taken back."""
        return replace(self, cuts=self.cuts - {_sorted(pair)})

    def lose_power(self, cell: int) -> ReachabilityModel:
        """The state after a cell has gone dark."""
        return replace(self, dark=self.dark | {cell})

    def boot(self, cell: int) -> ReachabilityModel:
        """The state after a cell has started again."""
        return replace(self, dark=self.dark - {cell})

    def hold(self, holdings: Mapping[int, Holding]) -> ReachabilityModel:
        """The state after cells have changed their packages."""
        return replace(self, holdings={**self.holdings, **holdings})

    def links(self) -> frozenset[Pair]:
        """The links that both ends hold, lower cell first, whether they work or not."""
        return frozenset(
            (cell, other)
            for cell, held in self.holdings.items()
            for other in held.neighbours
            if cell < other and other in self.holdings and cell in self.holdings[other].neighbours
        )

    def working(self) -> frozenset[Pair]:
        """The links that carry traffic."""
        return frozenset(pair for pair in self.links() - self.cuts if self.dark.isdisjoint(pair))

    def reaching(self) -> frozenset[Pair]:
        """The ordered pairs of cells of which the LAN of the first must reach that of the second.

        Every other pair of LANs must not reach each other.
        """
        links = self.working()
        return frozenset(
            (one, other)
            for one, other in permutations(sorted(self.lans), 2)
            if self._joined(one, other, links)
        )

    def pairs(self) -> frozenset[Pair]:
        """All ordered pairs of cells that have a LAN."""
        return frozenset(permutations(sorted(self.lans), 2))

    def _joined(self, one: int, other: int, links: Iterable[Pair]) -> bool:
        # A cell without a LAN in its package neither forwards to it nor advertises it.
        knowing = {
            cell
            for cell, held in self.holdings.items()
            if {one, other} <= held.members and cell not in self.dark
        }
        reached = {one} & knowing
        edge = list(reached)
        while edge:
            for near in _neighbours(edge.pop(), links):
                if near in knowing - reached:
                    reached.add(near)
                    edge.append(near)
        return other in reached


def _neighbours(cell: int, links: Iterable[Pair]) -> Iterator[int]:
    for one, other in links:
        if cell in (one, other):
            yield other if cell == one else one


def _sorted(pair: Pair) -> Pair:
    return min(pair), max(pair)
