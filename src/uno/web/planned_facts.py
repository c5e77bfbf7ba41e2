"""What the page shows of the plan and the definition: settings, ports, the guide, risks. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from uno.diagnosis.cell_faults import first
from uno.model.network_directory import Directory, DirectoryCell, Risk
from uno.model.plan import Member
from uno.web.documents import (
    BannedRow,
    GuideRoute,
    NetworkSettings,
    PlannedLinkRow,
    PortRow,
    RiskLine,
    SiteGuide,
    UserRow,
)
from uno.web.picture import Picture, link_name
from uno.web.readers import Reader


def network_settings(picture: Picture, reader: Reader) -> NetworkSettings:
    """Return the definition and the plan, as far as `reader` may see them."""
    directory, roster = picture.directory, picture.roster
    found = NetworkSettings(
        uvn=picture.view.uvn,
        identity=roster.identity if reader.is_owner or reader.cells else "",
        generation=picture.view.generation,
        links=tuple(_links(picture, reader)),
        ports=tuple(
            port
            for cell in picture.view.cells
            if reader.owns(cell.id)
            for port in cell_ports(picture, cell.id)
        ),
        users=tuple(_users(directory, reader)) if directory else (),
    )
    if directory is None:
        return found
    found = replace(found, directory=directory.generation, strategy=directory.strategy)
    if not reader.is_owner:
        return found
    pools = roster.pools
    return replace(
        found,
        owner=directory.owner,
        address=directory.address or "",
        ring=directory.ring,
        settings=directory.settings,
        pools={name: str(getattr(pools, name)) for name in pools.__struct_fields__},
        banned=tuple(_banned(directory)),
    )


def site_guide(picture: Picture, cell: int, reader: Reader) -> SiteGuide | None:
    """Return what the site of a cell needs; None if it is not the reader's."""
    member = picture.members.get(cell)
    if member is None or not reader.owns(cell):
        return None
    return SiteGuide(
        cell=cell,
        name=member.name,
        endpoint=member.endpoint or "",
        lans=tuple(map(str, member.lans)),
        ports=tuple(port for port in cell_ports(picture, cell) if port.forward),
        routes=tuple(_guide_routes(picture, member)),
        command=f"uno guide {member.name}",
    )


def cell_ports(picture: Picture, cell: int) -> Iterator[PortRow]:
    """Yield the ports on which a cell listens."""
    known = picture.directory.cell(cell) if picture.directory else None
    if known is None or known.banned:
        return
    is_public = known.endpoint is not None
    for port, purpose in (
        (known.root_port, "the registry"),
        (known.particles_port, "particles"),
    ):
        if port is not None:
            yield _udp(known, port, port, purpose, forward=is_public)
    ports = sorted(
        port
        for link in (picture.directory.links if picture.directory else ())
        for end, port in ((link.a, link.port_a), (link.b, link.port_b))
        if end == cell and port is not None
    )
    if ports:
        yield _udp(known, ports[0], ports[-1], "links", forward=is_public)
    yield PortRow(
        cell=cell,
        protocol="tcp",
        port=known.httpd_port,
        last=known.httpd_port,
        purpose="this page: from LANs, links and particles",
    )


def _udp(cell: DirectoryCell, low: int, high: int, purpose: str, *, forward: bool) -> PortRow:
    return PortRow(
        cell=cell.id, protocol="udp", port=low, last=high, purpose=purpose, forward=forward
    )


def risk_lines(picture: Picture) -> tuple[RiskLine, ...]:
    """Return what the loss of any one link, cell or site would cost."""
    directory = picture.directory
    return tuple(_risk(picture, each) for each in (directory.risks if directory else ()))


def _risk(picture: Picture, risk: Risk) -> RiskLine:
    cut_off = tuple(cell for group in risk.cut_off for cell in group)
    names = ", ".join(first(map(picture.name, cut_off)))
    failed = " – ".join(map(picture.name, risk.failed))
    if risk.kind == "nothing":
        what = f"{names} {_are(cut_off)} apart from the others already"
    else:
        lost = f"cuts off {names}" if names else f"costs {risk.lan_pairs} pairs of LANs"
        what = f"the loss of {risk.kind} {failed} {lost}"
    return RiskLine(kind=risk.kind, cells=risk.failed, cut_off=cut_off, what=what)


def _are(cells: tuple[int, ...]) -> str:
    return "is" if len(cells) == 1 else "are"


def _links(picture: Picture, reader: Reader) -> Iterator[PlannedLinkRow]:
    directory = picture.directory
    known = {(each.a, each.b): each for each in (directory.links if directory else ())}
    for pair in picture.links:
        if not reader.owns(*pair):
            continue
        link, row = known.get(pair), PlannedLinkRow(name=link_name(pair), a=pair[0], b=pair[1])
        if link is not None and directory is not None:
            owns_a, owns_b = reader.owns(pair[0]), reader.owns(pair[1])
            row = replace(
                row,
                number=link.number,
                interface_a=directory.interface.format(link.slot_a) if owns_a else "",
                interface_b=directory.interface.format(link.slot_b) if owns_b else "",
                port_a=link.port_a if owns_a else None,
                port_b=link.port_b if owns_b else None,
                address_a=link.addresses(pair[0])[0] if owns_a else "",
                address_b=link.addresses(pair[1])[0] if owns_b else "",
            )
        yield row


def _users(directory: Directory, reader: Reader) -> Iterator[UserRow]:
    for user in directory.users:
        if reader.is_owner or reader.email == user.email:
            yield UserRow(
                email=user.email,
                name=user.name,
                is_owner=user.email == directory.owner,
                excluded=user.excluded,
                cells=tuple(each.id for each in directory.cells if each.owner == user.email),
                particles=tuple(
                    each.id for each in directory.particles if each.owner == user.email
                ),
            )


def _banned(directory: Directory) -> Iterator[BannedRow]:
    for kind, rows in (("cell", directory.cells), ("particle", directory.particles)):
        for row in rows:
            if row.banned:
                yield BannedRow(kind=kind, id=row.id, name=row.name, owner=row.owner)


def _guide_routes(picture: Picture, member: Member) -> Iterator[GuideRoute]:
    """Yield the routes that a router of the cell's LANs needs, as `uno guide` lists them."""
    versions = {lan.version for lan in member.lans}
    status = picture.alive(member.id)
    gateways = {
        lan.address.version: str(lan.address)
        for lan in (status.lans if status else ())
        if lan.address
    }
    pools, directory = picture.roster.pools, picture.directory
    found = [
        (lan, f"LAN of {picture.name(cell)}") for lan, cell in picture.lans if cell != member.id
    ]
    found.append((pools.root, "cells, and particles that come in through other cells"))
    found.append((pools.backbone, "links, for traceroute"))
    masquerade = directory.settings.get("particles_vpn.masquerade") if directory else None
    if masquerade == "false":
        found.append((pools.particles, "particles"))
    found.append((pools.ula, "cells, links and particles"))
    for network, whose in found:
        if network.version in versions:
            yield GuideRoute(
                network=str(network), whose=whose, gateway=gateways.get(network.version, "")
            )
