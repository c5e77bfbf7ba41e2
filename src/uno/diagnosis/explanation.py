"""Why one place of the network does not reach another: the path, and the first cause. Pure.

A direction is examined from its source on: the LAN there, the cell, each link and cell of the path,
the LAN at the end. The first thing that is wrong is the cause; what comes after it may follow from
it. Both directions are examined, since an answer has to come back, and the causes may differ.

Traffic needs no agent. A cell that is silent, and that a neighbour still has a session with, is on;
its agent is not. That is remarked, and no cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from msgspec import Struct, field

from uno.diagnosis.cell_facts import LanHost
from uno.diagnosis.cell_faults import own_faults
from uno.diagnosis.explained_path import Cause, Direction, Explanation, Hop, HopState
from uno.diagnosis.link_faults import LinkFault, at_one_address, link_fault
from uno.diagnosis.network_map import NamedPlace, NetworkMap, PlaceKind
from uno.model.net import Network
from uno.model.status import CellStatus, LinkState, UvnView
from uno.ports.host import KernelPath


class Sight(Struct, frozen=True, kw_only=True):
    """What is known beside the plan.

    `view` has the statuses, of this cell alone where `is_whole` is False, as no agent runs. `hosts`
    and `paths` are what this host observes if it is a cell: hosts of its LANs, and where the kernel
    sends packets for other LANs.
    """

    view: UvnView
    is_whole: bool = True
    hosts: tuple[LanHost, ...] = ()
    paths: Mapping[Network, KernelPath] = field(default_factory=dict)


def explain(known: NetworkMap, sight: Sight, a: NamedPlace, b: NamedPlace) -> Explanation:
    """Explain the path between two places, in both directions."""
    viewer = known.name(sight.view.viewer) if sight.view.viewer else "the registry"
    return Explanation(
        uvn=sight.view.uvn,
        viewer=viewer,
        a=described(a, known),
        b=described(b, known),
        forth=_Way(known, sight, a, b).direction(),
        back=_Way(known, sight, b, a).direction(),
    )


def described(place: NamedPlace, known: NetworkMap) -> str:
    """Return a place for people: `192.168.1.7 (LAN 192.168.1.0/24 of lan-a)`."""
    if place.kind is PlaceKind.HOST and place.cell is not None:
        return f"{place.name} (LAN {place.lan} of {known.name(place.cell)})"
    if place.kind is PlaceKind.LAN and place.cell is not None:
        return f"LAN {place.name} of {known.name(place.cell)}"
    return f"{place.kind} {place.name}"


class _Way:
    """One direction, from `source` to `target`."""

    def __init__(
        self, known: NetworkMap, sight: Sight, source: NamedPlace, target: NamedPlace
    ) -> None:
        self.known = known
        self.sight = sight
        self.source = source
        self.target = target
        self.views = {each.id: each for each in sight.view.cells}
        self.states = {pair: self._link_state(*pair) for pair in known.links}
        self.is_cut_off = self._is_cut_off(sight.view.viewer)

    def direction(self) -> Direction:
        source, target = self._cell_of(self.source), self._cell_of(self.target)
        named = described(self.source, self.known), described(self.target, self.known)
        if source is None or target is None:
            cause = self._without_cell()
            reaches = False if cause else None
            return Direction(source=named[0], target=named[1], reaches=reaches, cause=cause)
        up = [pair for pair, state in self.states.items() if state is HopState.UP]
        maybe = [pair for pair, state in self.states.items() if state is not HopState.DOWN]
        planned = self.known.path(source, target)
        used = self.known.path(source, target, up)
        way = used or self.known.path(source, target, maybe) or planned
        cause = next(self._causes(source, target, way), None)
        reaches = False if cause else self._reaches(source, target, used)
        return Direction(
            source=named[0],
            target=named[1],
            planned=tuple(map(self.known.name, planned)),
            used=tuple(map(self.known.name, used)),
            hops=tuple(self._hop(one, other) for one, other in pairwise(way)),
            reaches=reaches,
            cause=cause,
            remarks=(
                *(self._without_agent() if reaches is None else ()),
                *(self._remarks(planned, way) if cause is None else ()),
            ),
        )

    # Where the ends are.

    def _cell_of(self, place: NamedPlace) -> int | None:
        """Return the cell of a place; for a particle one at which it is online."""
        if place.kind is not PlaceKind.PARTICLE:
            return place.cell
        at = (
            (particle.handshake, cell.id)
            for cell in self.sight.view.cells
            for particle in (cell.status.particles if cell.status and cell.alive else ())
            if particle.id == place.particle and particle.is_online
        )
        return min(at, default=(0, None))[1]

    def _without_cell(self) -> Cause | None:
        for each in (self.source, self.target):
            if each.banned:
                return Cause(
                    where="the registry",
                    what=f"{each.kind} {each.name} is banned",
                    remedy=f"if that is not right: uno unban {each.kind} {each.name}; uno sync",
                )
        for each in (self.source, self.target):
            if each.kind is PlaceKind.PARTICLE and self._cell_of(each) is None:
                if not self.sight.is_whole:
                    return None
                return Cause(
                    where=f"particle {each.name}",
                    what=f"particle {each.name} is not connected to any cell in contact",
                    remedy="turn its tunnel on; if it is on, see that its package is the newest,"
                    " and that the cell's UDP port for particles is forwarded",
                )
        return None

    # What is wrong, in order.

    def _causes(self, source: int, target: int, way: tuple[int, ...]) -> Iterator[Cause]:
        if not self._has_common_version():
            yield Cause(
                where=self.known.name(source),
                what=f"{described(self.source, self.known)} and"
                f" {described(self.target, self.known)} have no IP version in common",
                remedy="give the LAN addresses of the other version, too",
            )
        yield from self._of_lan(self.source)
        yield from self._of_cell(source, way)
        if not way:
            yield self._unplanned(source, target)
        for one, other in pairwise(way):
            # A neighbour that is off is the cause, and not the link with it.
            yield from self._of_silent_cell(other)
            if self.states[min(one, other), max(one, other)] is HopState.DOWN:
                yield self._of_link(one, other)
            if other == target:
                # Before what the cell reports as its problem, which is the same.
                yield from self._of_lan(self.target)
            yield from self._of_cell(other, way)
        yield from self._of_lan(self.target)
        yield from self._of_kernel_path(source)
        yield from self._of_host(self.source)
        yield from self._of_host(self.target)
        yield from self._unexplained(source)

    def _has_common_version(self) -> bool:
        versions = {self.source.version, self.target.version} - {None}
        return len(versions) < 2

    def _of_lan(self, place: NamedPlace) -> Iterator[Cause]:
        status = self._status(place.cell)
        if place.lan is None or place.cell is None or status is None:
            return
        name = self.known.name(place.cell)
        view = self.views[place.cell]
        is_other = view.package not in {None, status.generation}
        if is_other and place.lan not in {lan.network for lan in status.lans}:
            yield Cause(
                where=name,
                what=f"{name} does not have LAN {place.lan} yet: it {own_faults(view)[0]}",
                remedy=f"on {name}: uno doctor",
            )
        for lan in status.lans:
            if lan.network != place.lan:
                continue
            if lan.interface is None:
                yield Cause(
                    where=name,
                    what=next(
                        (it for it in status.obstacles if it.startswith(f"LAN {lan.network}:")),
                        f"LAN {lan.network} is missing: no interface is in it",
                    ),
                    remedy=f"on {name}: uno doctor",
                )

    def _of_cell(self, cell: int, way: tuple[int, ...]) -> Iterator[Cause]:
        """Yield what a cell reports that is in the way of packets on this path."""
        yield from self._of_silent_cell(cell)
        status, name = self._status(cell), self.known.name(cell)
        for what in self._relevant(status, cell, way) if status else ():
            yield Cause(where=name, what=f"{name}: {what}", remedy=f"on {name}: uno doctor")

    def _of_silent_cell(self, cell: int) -> Iterator[Cause]:
        """Yield that a cell has no contact, and no neighbour in contact a session with it."""
        view, name = self.views.get(cell), self.known.name(cell)
        is_silent = view is None or view.status is None or not view.alive
        is_judged = self.sight.is_whole and not self.is_cut_off
        if is_silent and is_judged and not self._has_working_link(cell):
            fault = own_faults(view)[0] if view else "it is not in the view"
            yield Cause(
                where=name,
                what=f"{name}: {fault}",
                remedy=f"see that {name} is on and has the Internet; there: uno doctor",
            )

    def _relevant(self, status: CellStatus, cell: int, way: tuple[int, ...]) -> Iterator[str]:
        lans = {str(each.lan) for each in (self.source, self.target) if each.lan is not None}
        at = way.index(cell) if cell in way else -1
        neighbors = {way[n] for n in (at - 1, at + 1) if at >= 0 and 0 <= n < len(way)}
        others = [link.interface for link in status.links if link.cell not in neighbors]
        for what in status.obstacles:
            of_lan = what.startswith("LAN ") and not any(f"LAN {lan}:" in what for lan in lans)
            of_link = what.startswith(tuple(f"{each} " for each in others))
            if not (of_lan or of_link):
                yield what
        if any(lan in status.problem for lan in lans):
            yield status.problem
        for lan in status.lans:
            if lan.forwards is False and str(lan.network) in lans and not status.obstacles:
                yield f"LAN {lan.network}: packets are not forwarded, as probes show"

    def _unplanned(self, source: int, target: int) -> Cause:
        return Cause(
            where="the registry",
            what=f"no path of the plan joins {self.known.name(source)} and"
            f" {self.known.name(target)}",
            remedy="see what would join them: uno verify",
        )

    def _of_link(self, one: int, other: int) -> Cause:
        """Return why a link is down: by what one of its ends names, or by the state of both."""
        for cell, neighbor in ((one, other), (other, one)):
            view, name = self.views.get(cell), self.known.name(cell)
            if view and view.alive and not view.consistent and view.package is not None:
                return Cause(
                    where=name,
                    what=f"the link between {name} and {self.known.name(neighbor)} is down, and"
                    f" {name} {own_faults(view)[0]}",
                    remedy="at the registry: uno sync",
                )
        for cell, neighbor in ((one, other), (other, one)):
            end, name = self._end(cell, neighbor), self.known.name(cell)
            for what in self._reported(end, cell):
                return Cause(where=name, what=f"{name}: {what}", remedy=f"on {name}: uno doctor")
            if end is not None and (fault := self._fault_of(end, cell)):
                return Cause(where=name, what=f"{name}: {fault.what}", remedy=fault.remedy)
        name = self.known.name(one)
        return Cause(
            where=name,
            what=f"{name} has no link with {self.known.name(other)}, as the plan has",
            remedy=f"on {name}: uno doctor",
        )

    def _fault_of(self, end: LinkState, cell: int) -> LinkFault | None:
        """Return the fault of a link, as the end of `cell` shows it; None if it works."""
        members = {each.id: each for each in self.known.members}
        is_one = at_one_address(members.get(cell), members.get(end.cell))
        return link_fault(end, self.known.name(end.cell), at_one_address=is_one)

    def _reported(self, end: LinkState | None, cell: int) -> Iterator[str]:
        """Yield what a cell reports of the interface of its end of a link."""
        status = self._status(cell)
        if end is not None and status is not None:
            yield from (it for it in status.obstacles if it.startswith(f"{end.interface} "))

    def _of_kernel_path(self, source: int) -> Iterator[Cause]:
        """Yield where this host, if it is the source, sends packets elsewhere than into a link."""
        status, lan = self._status(source), self.target.lan
        if source != self.sight.view.viewer or lan is None or status is None:
            return
        path, links = self.sight.paths.get(lan), {link.interface for link in status.links}
        if path is None or path.interface in links or source == self.target.cell:
            return
        if path.interface is None and path.kind == "unreachable":
            return
        to = f"leave by {path.interface}" if path.interface else "are dropped by a rule or route"
        yield Cause(
            where=self.known.name(source),
            what=f"packets to LAN {lan} {to}, and not by a link (table {path.table})",
            remedy=f"see ip rule, and: ip route get {lan.network_address + 1}",
        )

    def _of_host(self, place: NamedPlace) -> Iterator[Cause]:
        """Yield what hosts of a LAN at this cell do not answer."""
        if place.lan is None or place.cell != self.sight.view.viewer:
            return
        there = [each for each in self.sight.hosts if each.lan == place.lan and each.answers_cell]
        named = [each for each in there if each.address == place.address]
        # A router may answer its own LAN alone, and forward all the same.
        judged = named or [each for each in there if not each.is_router]
        where = self.known.name(place.cell)
        if judged and not any(each.answers_sites for each in judged):
            router = any(each.is_router or not each.answers_sites for each in there) and not any(
                each.answers_sites for each in there
            )
            yield Cause(
                where=where,
                what=f"{judged[0].address} answers {where}, and no other site: "
                + (
                    "the LAN's router has no route back"
                    if router
                    else "its own firewall, or its route, is in the way"
                ),
                remedy="add the routes to the LAN's router: uno guide, step 3"
                if router
                else f"see the firewall of {judged[0].address}",
            )

    def _unexplained(self, source: int) -> Iterator[Cause]:
        """Yield that the source reports no way to the target, where nothing explains it."""
        status, lan = self._status(source), self.target.lan
        if status is not None and lan is not None and lan in status.unreachable:
            name = self.known.name(source)
            yield Cause(
                where=name,
                what=f"{name} does not reach LAN {lan}: it has no route to it, or what"
                f" {self.known.name(self.target.cell or 0)} gets for it is not answered",
                remedy=f"on {self.known.name(self.target.cell or 0)}: uno doctor",
            )

    # What is known.

    def _reaches(self, source: int, target: int, used: tuple[int, ...]) -> bool | None:
        """Return whether packets get there, nothing being wrong; None where too little is known."""
        if source == target:
            return True
        status = self._status(source)
        if status is None or not used:
            return None
        if self.target.lan is not None:
            return self.target.lan in status.reachable or None
        answers = [path.answers for path in status.paths if path.cell == target]
        return True if not answers or all(answers) else None

    def _without_agent(self) -> Iterator[str]:
        """Yield that no agent runs here, which receives the statuses of the cells."""
        if not self.sight.is_whole:
            viewer = self.sight.view.viewer
            where = f"on {self.known.name(viewer)}" if viewer else "at the registry"
            yield f"no agent runs {where}, which receives the cells' statuses: uno agent"

    def _remarks(self, planned: tuple[int, ...], way: tuple[int, ...]) -> Iterator[str]:
        if len(way) > len(planned):
            for one, other in pairwise(planned):
                if self.states[min(one, other), max(one, other)] is HopState.DOWN:
                    yield f"not by the planned path: {self._of_link(one, other).what}"
        if self.is_cut_off:
            viewer = self.known.name(self.sight.view.viewer)
            yield f"{viewer} has no link that works, and no contact: there first: uno doctor"
            return
        for cell in way:
            view = self.views.get(cell)
            if self.sight.is_whole and (view is None or not view.alive):
                yield f"{self.known.name(cell)}: its agent is silent; its links are up"
            elif view and view.status and view.package not in {None, view.status.generation}:
                yield f"{self.known.name(cell)}: {own_faults(view)[0]}"

    def _status(self, cell: int | None) -> CellStatus | None:
        view = self.views.get(cell) if cell is not None else None
        return view.status if view is not None and view.alive else None

    def _end(self, cell: int, neighbor: int) -> LinkState | None:
        status = self._status(cell)
        links = status.links if status else ()
        return next((link for link in links if link.cell == neighbor), None)

    def _has_working_link(self, cell: int) -> bool:
        """Whether a neighbour in contact has a session with a cell."""
        neighbors = (other for pair in self.known.links if cell in pair for other in pair)
        return any(end.works for it in neighbors if (end := self._end(it, cell)) is not None)

    def _is_cut_off(self, viewer: int) -> bool:
        """Whether the cell that views has neither a link that works nor contact with a cell.

        Then the silence of others is its own fault, and shows nothing of them.
        """
        status = self._status(viewer)
        others = any(each.alive for each in self.sight.view.cells if each.id != viewer)
        return status is not None and not others and not any(it.works for it in status.links)

    def _link_state(self, one: int, other: int) -> HopState:
        ends = [self._end(one, other), self._end(other, one)]
        reported = [end for end in ends if end is not None]
        if not reported:
            known = [self._status(one), self._status(other)]
            # A cell that is in contact and has no such link runs another generation.
            return HopState.DOWN if any(each is not None for each in known) else HopState.UNKNOWN
        return HopState.UP if all(end.works for end in reported) else HopState.DOWN

    def _hop(self, one: int, other: int) -> Hop:
        own = self._end(one, other)
        end = own or self._end(other, one)
        found = Hop(
            source=self.known.name(one),
            target=self.known.name(other),
            state=self.states[min(one, other), max(one, other)],
        )
        if end is None:
            return found
        return Hop(
            source=found.source,
            target=found.target,
            state=found.state,
            interface=own.interface if own else "",
            handshake=end.handshake,
            bgp=end.bgp,
            bfd=end.bfd,
            rtt=end.rtt,
            loss=end.loss,
            mtu=end.mtu,
        )
