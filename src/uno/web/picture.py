"""All that the page knows of the network, in one value, and what follows for each part. Pure.

The state of a link is that which the ends in contact report; the worse of two reports counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct, field

from uno.diagnosis.cell_faults import own_faults, unproven_claim
from uno.diagnosis.link_faults import LinkFault, at_one_address, link_fault
from uno.model.net import Network
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.plan import BackbonePeer, Member, Roster
from uno.model.status import CellStatus, CellView, LinkState, UvnView
from uno.web.documents import CellHealth, LanHealth, LinkHealth

LOSSY = 0.05
"""The share of lost packets from which on a link is degraded."""


class LinkRates(Struct, frozen=True, kw_only=True):
    """Octets per second through a link, at the end with the lower id; None if not known."""

    receive: float | None = None
    send: float | None = None


class Picture(Struct, frozen=True, kw_only=True, dict=True):
    """What the node `view.viewer` knows: statuses, the plan, the registry's public facts.

    `package` is the viewer's own, None at the registry. `rates` are by name of the link. `now` is
    the viewer's clock, in seconds since the epoch, None if it is of no use.
    """

    view: UvnView
    roster: Roster
    directory: Directory | None = None
    package: Package | None = None
    rates: Mapping[str, LinkRates] = field(default_factory=dict)
    now: int | None = None

    @cached_property
    def cells(self) -> dict[int, CellView]:
        """The cells by id."""
        return {each.id: each for each in self.view.cells}

    @cached_property
    def members(self) -> dict[int, Member]:
        """The planned facts of each cell, by id."""
        return {each.id: each for each in self.roster.members}

    @cached_property
    def links(self) -> tuple[tuple[int, int], ...]:
        """The links of the plan, and those that cells report where the plan's are not known."""
        planned = set(self.roster.links)
        if self.directory is not None:
            planned |= {(each.a, each.b) for each in self.directory.links}
        if not planned:
            planned = {
                (min(cell.id, link.cell), max(cell.id, link.cell))
                for cell in self.view.cells
                for link in (cell.status.links if cell.status else ())
            }
        known = self.cells.keys()
        return tuple(sorted(pair for pair in planned if known >= set(pair)))

    @cached_property
    def links_of(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """The links of each cell, by its id."""
        found: dict[int, list[tuple[int, int]]] = {cell: [] for cell in self.cells}
        for pair in self.links:
            for cell in pair:
                found[cell].append(pair)
        return {cell: tuple(pairs) for cell, pairs in found.items()}

    @cached_property
    def ends(self) -> dict[tuple[int, int], LinkState]:
        """The state of each link as an end reports it, by that end's cell id and the other's."""
        return {
            (cell.id, link.cell): link
            for cell in self.view.cells
            if cell.status is not None
            for link in cell.status.links
        }

    @cached_property
    def lans(self) -> tuple[tuple[Network, int], ...]:
        """The LANs of the plan, and the cell of each."""
        return tuple(
            (lan, member.id)
            for member in self.roster.members
            if member.id in self.cells
            for lan in member.lans
        )

    def name(self, cell: int) -> str:
        """Return the name of a cell."""
        if cell in self.cells:
            return self.cells[cell].name
        return self.members[cell].name if cell in self.members else f"cell {cell}"

    def alive(self, cell: int) -> CellStatus | None:
        """Return the status of a cell in contact; None for any other."""
        found = self.cells.get(cell)
        return found.status if found is not None and found.alive else None

    def peer(self, cell: int, other: int) -> BackbonePeer | None:
        """Return the plan of a link at the viewer's own end, None at any other."""
        if self.package is None or self.package.plan.cell != cell:
            return None
        return next((each for each in self.package.plan.links if each.cell == other), None)

    def cell_health(self, cell: CellView) -> tuple[CellHealth, str]:
        """Return the state of a cell, and why: the first of its own faults."""
        faults = own_faults(cell)
        if cell.status is None:
            return CellHealth.NEVER, faults[0]
        if not cell.alive:
            return CellHealth.SILENT, faults[0]
        if cell.unproven:
            return CellHealth.FAULTY, unproven_claim(cell)
        if cell.package is not None and cell.status.generation != cell.package:
            return CellHealth.BEHIND, faults[0]
        return (CellHealth.FAULTY, faults[0]) if faults else (CellHealth.OK, "")

    def reports(self, pair: tuple[int, int]) -> Iterator[tuple[int, int, LinkState]]:
        """Yield what the ends in contact report of a link: the end, the other, and the state."""
        for cell, other in (pair, pair[::-1]):
            if self.alive(cell) is not None and (cell, other) in self.ends:
                yield cell, other, self.ends[cell, other]

    def link_faults(self, pair: tuple[int, int]) -> tuple[tuple[int, LinkFault], ...]:
        """Return the faults of a link as its ends in contact report it, with the reporting cell."""
        found = (
            (
                cell,
                link_fault(
                    state,
                    self.name(other),
                    planned=self.peer(cell, other),
                    at_one_address=at_one_address(*map(self.members.get, pair)),
                ),
            )
            for cell, other, state in self.reports(pair)
        )
        return tuple((cell, fault) for cell, fault in found if fault is not None)

    @cached_property
    def link_health(self) -> dict[tuple[int, int], tuple[LinkHealth, str]]:
        """The state of each link, and why."""
        return {pair: self._link_health(pair) for pair in self.links}

    def _link_health(self, pair: tuple[int, int]) -> tuple[LinkHealth, str]:
        reports = tuple(self.reports(pair))
        if not reports:
            return LinkHealth.UNKNOWN, "neither end is in contact"
        for _, fault in self.link_faults(pair):
            return LinkHealth.DOWN, fault.what
        loss = max((state.loss or 0.0 for _, _, state in reports), default=0.0)
        if loss >= LOSSY:
            return LinkHealth.DEGRADED, f"{loss:.0%} of the probes are lost"
        sizes = [state.mtu for _, _, state in reports if state.mtu is not None]
        if sizes and min(sizes) < self._mtu:
            return LinkHealth.DEGRADED, f"packets above {min(sizes)} octets are lost"
        return LinkHealth.UP, ""

    @cached_property
    def _mtu(self) -> int:
        """The size of the packets that every link is to carry, 0 if it is not known."""
        if self.package is not None:
            return self.package.plan.backbone_mtu
        settings = self.directory.settings if self.directory else {}
        text = settings.get("backbone_vpn.peer_mtu", "")
        return int(text) if text.isdecimal() else 0

    @cached_property
    def unreached(self) -> dict[Network, tuple[int, ...]]:
        """The cells in contact that do not reach a LAN, for each that some do not."""
        found: dict[Network, list[int]] = {}
        for cell in self.view.cells:
            for lan in cell.status.unreachable if cell.status and cell.alive else ():
                found.setdefault(lan, []).append(cell.id)
        return {lan: tuple(cells) for lan, cells in found.items()}

    @cached_property
    def _reached(self) -> frozenset[Network]:
        """The LANs that cells in contact reach; two of them are enough where all is well."""
        wanted = frozenset(lan for lan, _ in self.lans)
        missing = set(wanted)
        for cell in self.view.cells:
            if missing and cell.alive and cell.status is not None:
                missing.difference_update(cell.status.reachable)
        return wanted - missing

    def lan_health(self, lan: Network, cell: int) -> LanHealth:
        """Return whether cells reach a LAN of `cell`."""
        status = self.alive(cell)
        if status is not None and any(
            each.network == lan and each.interface is None for each in status.lans
        ):
            return LanHealth.DETACHED
        if lan in self.unreached:
            return LanHealth.PARTLY if lan in self._reached else LanHealth.UNREACHED
        if lan in self._reached:
            return LanHealth.REACHED
        # Nobody else is there to reach it.
        alone = status is not None and all(
            other.id == cell or not other.alive for other in self.view.cells
        )
        return LanHealth.REACHED if alone and len(self.cells) == 1 else LanHealth.UNKNOWN

    def is_joined(self, one: int, other: int) -> bool:
        """Whether links that are not known to be down join two cells."""
        return other in self._component(one)

    def _component(self, start: int) -> frozenset[int]:
        if start not in self._components:
            found, edge = {start}, [start]
            while edge:
                cell = edge.pop()
                for pair in self.links_of.get(cell, ()):
                    other = pair[0] if pair[1] == cell else pair[1]
                    if other not in found and self.link_health[pair][0] is not LinkHealth.DOWN:
                        found.add(other)
                        edge.append(other)
            component = frozenset(found)
            self._components.update(dict.fromkeys(component, component))
        return self._components[start]

    @cached_property
    def _components(self) -> dict[int, frozenset[int]]:
        return {}


def link_name(pair: tuple[int, int]) -> str:
    """Return the name of a link: `1-2`."""
    return f"{pair[0]}-{pair[1]}"
