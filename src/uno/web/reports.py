"""A cell or a link with all that is known of it, for those whose it is. Pure.

A function returns None for what the reader may not see, or what does not exist: to the reader these
are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from uno.diagnosis.cell_faults import own_faults
from uno.model.plan import asn_of
from uno.model.status import CellStatus, CellView
from uno.web.causes import clock_ahead
from uno.web.documents import (
    CellFault,
    CellReport,
    LanRoute,
    LinkEndReport,
    LinkReport,
    PathReport,
    SeenParticle,
    UndoneGeneration,
    VpnInterface,
)
from uno.web.picture import Picture
from uno.web.planned_facts import cell_ports, risk_lines
from uno.web.readers import Reader
from uno.web.summaries import cell_summary, lan_summaries, link_summary, may_name, places_of


def cell_report(picture: Picture, cell: int, reader: Reader) -> CellReport | None:
    """Return a cell with all that it advertises."""
    seen = picture.cells.get(cell)
    if seen is None or not may_name(picture, cell, reader):
        return None
    short = cell_summary(picture, seen, reader, places_of(picture))
    if not reader.owns(cell):
        return CellReport(cell=short, limited=True)
    status, member, ack = seen.status, picture.members.get(cell), seen.ack
    timing = picture.roster.timing_of(cell) if member else None
    remedy = f"on {seen.name}: uno doctor"
    report = CellReport(
        cell=short,
        faults=tuple(CellFault(what=each, remedy=remedy) for each in own_faults(seen)),
        node4=str(member.node4) if member else "",
        node6=str(member.node6) if member else "",
        endpoint=(member.endpoint or "") if member else "",
        asn=asn_of(cell),
        ack=ack.phase.value if ack else "",
        ack_generation=ack.generation if ack else None,
        ack_reason=ack.reason if ack else "",
        clock_ahead=clock_ahead(picture, seen),
        detection=timing.detection / 1000 if timing else None,
        metered=timing is not None and timing.metered,
        lans=tuple(each for each in lan_summaries(picture, reader) if each.cell == cell),
        links=tuple(_own_ends(picture, cell)),
        ports=tuple(cell_ports(picture, cell)),
        cost=_cost(picture, (cell,), "cell"),
    )
    return _with_status(picture, report, seen, status) if status is not None else report


def _with_status(
    picture: Picture, report: CellReport, seen: CellView, status: CellStatus
) -> CellReport:
    undone = status.undone
    return replace(
        report,
        host_uptime=status.host_uptime,
        wireguard=status.wireguard,
        content=status.content,
        package_format=status.package_format,
        registry=status.registry,
        undone=UndoneGeneration(generation=undone.generation, reason=undone.reason)
        if undone
        else None,
        undone_age=undone.age if undone else None,
        problem=status.problem,
        obstacles=status.obstacles,
        unproved=status.unproved,
        pending=status.pending,
        muted_for=int(seen.muted_for) or None,
        paths=tuple(
            PathReport(cell=path.cell, rtt=path.rtt, loss=path.loss, via=path.via)
            for path in status.paths
        ),
        routes=tuple(_routes(picture, seen.id, status)),
        particles=tuple(
            SeenParticle(
                id=each.id,
                name=_particle_name(picture, each.id),
                online=each.is_online,
                handshake=each.handshake,
                received=each.received,
                sent=each.sent,
            )
            for each in status.particles
        ),
        interfaces=tuple(_interfaces(picture, seen.id, status)),
        dropped=status.dropped,
    )


def link_report(picture: Picture, a: int, b: int, reader: Reader) -> LinkReport | None:
    """Return a link, both of its ends, and what its loss would cost."""
    pair = (min(a, b), max(a, b))
    if pair not in picture.link_health or not reader.owns(*pair):
        return None
    ends = (_end(picture, *pair), _end(picture, *pair[::-1]))
    return LinkReport(
        link=link_summary(picture, pair, reader),
        ends=tuple(end if reader.owns(end.cell) else _without_addresses(end) for end in ends),
        cost=_cost(picture, pair, "link"),
    )


def _routes(picture: Picture, cell: int, status: CellStatus) -> Iterator[LanRoute]:
    via = {path.cell: path.via for path in status.paths}
    reached, unreached = set(status.reachable), set(status.unreachable)
    for lan, owner in picture.lans:
        if owner != cell:
            known = True if lan in reached else False if lan in unreached else None
            yield LanRoute(network=str(lan), cell=owner, reached=known, via=via.get(owner, ()))


def _interfaces(picture: Picture, cell: int, status: CellStatus) -> Iterator[VpnInterface]:
    """Yield the interfaces of a cell that are no links; their names only for the viewer."""
    package = picture.package
    plan = package.plan if package is not None and package.plan.cell == cell else None
    known = picture.directory.cell(cell) if picture.directory else None
    if plan is None or plan.root is not None:
        root = plan.root if plan else None
        yield VpnInterface(
            kind="root",
            interface=root.interface if root else "",
            port=root.port if root else known.root_port if known else None,
            endpoint=(root.endpoint or "") if root else "",
        )
    member = picture.members.get(cell)
    if member is not None and member.serves_particles:
        hub = plan.particles if plan else None
        yield VpnInterface(
            kind="particles",
            interface=hub.interface if hub else "",
            port=hub.port if hub else known.particles_port if known else None,
            received=sum(each.received for each in status.particles),
            sent=sum(each.sent for each in status.particles),
            peers=len(package.particles) if package is not None and plan else None,
            online=sum(each.is_online for each in status.particles),
        )


def _own_ends(picture: Picture, cell: int) -> Iterator[LinkEndReport]:
    for pair in picture.links_of[cell]:
        yield _end(picture, cell, pair[0] if pair[1] == cell else pair[1])


def _end(picture: Picture, cell: int, peer: int) -> LinkEndReport:
    seen, state = picture.cells[cell], picture.ends.get((cell, peer))
    planned = picture.peer(cell, peer)
    address4, address6, port = _planned_end(picture, cell, peer)
    report = LinkEndReport(
        cell=cell,
        peer=peer,
        age=None if seen.status_age is None else round(seen.status_age, 1),
        alive=seen.alive,
        address4=address4,
        address6=address6,
        port=port,
        planned_endpoint=(planned.endpoint or "") if planned else "",
    )
    if state is None:
        return report
    fault = next((each for by, each in picture.link_faults(_pair(cell, peer)) if by == cell), None)
    return replace(
        report,
        works=state.works if seen.alive else None,
        interface=state.interface,
        endpoint=state.endpoint,
        handshake=state.handshake,
        bgp=state.bgp,
        bfd=state.bfd,
        prefixes=state.prefixes,
        flaps=state.flaps,
        rtt=state.rtt,
        loss=state.loss,
        mtu=state.mtu,
        received=state.received,
        sent=state.sent,
        why=fault.what if fault else "",
        remedy=fault.remedy if fault else "",
    )


def _planned_end(picture: Picture, cell: int, peer: int) -> tuple[str, str, int | None]:
    """Return the addresses and the port of an end of a link; empty where they are not known."""
    links = picture.directory.links if picture.directory else ()
    link = next((each for each in links if (each.a, each.b) == _pair(cell, peer)), None)
    if link is None:
        return "", "", None
    return *link.addresses(cell), link.port_a if cell == link.a else link.port_b


def _without_addresses(end: LinkEndReport) -> LinkEndReport:
    return replace(end, address4="", address6="", port=None, endpoint="", planned_endpoint="")


def _pair(one: int, other: int) -> tuple[int, int]:
    return (min(one, other), max(one, other))


def _particle_name(picture: Picture, id_: int) -> str:
    known = picture.directory.particles if picture.directory else ()
    peers = picture.package.particles if picture.package else ()
    names = (
        *(each.name for each in known if each.id == id_),
        *(each.particle.name for each in peers if each.particle.id == id_),
    )
    return next(iter(names), f"particle {id_}")


def _cost(picture: Picture, cells: tuple[int, ...], kind: str) -> str:
    return next(
        (risk.what for risk in risk_lines(picture) if (risk.kind, risk.cells) == (kind, cells)), ""
    )
