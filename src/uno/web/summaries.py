"""A cell, a link and the LANs in short, as far as a reader may see them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from msgspec.structs import replace

from uno.model.plan import Member
from uno.model.status import CellView
from uno.web.documents import CellSummary, LanSummary, LinkHealth, LinkSummary
from uno.web.map_layout import layout
from uno.web.picture import LinkRates, Picture, link_name
from uno.web.readers import Reader


def visible_cells(picture: Picture, reader: Reader) -> Iterator[CellSummary]:
    """Yield the cells that the reader may see something of."""
    places = places_of(picture)
    for cell in picture.view.cells:
        if may_name(picture, cell.id, reader):
            yield cell_summary(picture, cell, reader, places)


def may_name(picture: Picture, cell: int, reader: Reader) -> bool:
    """Whether the reader may see the name and the state of a cell."""
    member = picture.members.get(cell)
    serves = bool(reader.particles) and member is not None and member.serves_particles
    return reader.is_owner or bool(reader.cells) or serves


def places_of(picture: Picture) -> Mapping[int, tuple[float, float]]:
    """Return the place of each cell on the map."""
    directory = picture.directory
    return _places(
        tuple(picture.cells),
        picture.links,
        tuple(member.id for member in picture.roster.members if member.endpoint),
        tuple(directory.ring) if directory else (),
        directory.strategy if directory else "",
    )


@lru_cache(maxsize=2)
def _places(
    cells: tuple[int, ...],
    links: tuple[tuple[int, int], ...],
    public: tuple[int, ...],
    ring: tuple[int, ...],
    strategy: str,
) -> Mapping[int, tuple[float, float]]:
    return layout(cells, links, public=public, ring=ring, strategy=strategy)


def cell_summary(
    picture: Picture, cell: CellView, reader: Reader, places: Mapping[int, tuple[float, float]]
) -> CellSummary:
    """Return a cell in short; `places` are those of the map."""
    health, why = picture.cell_health(cell)
    member = picture.members.get(cell.id)
    x, y = places[cell.id]
    lans = tuple(map(str, member.lans)) if member and (reader.is_owner or reader.cells) else ()
    short = CellSummary(
        id=cell.id,
        name=cell.name,
        kind=_kind(member),
        health=health,
        own=cell.id in reader.cells,
        lans=lans,
        serves_particles=bool(member and member.serves_particles),
        x=x,
        y=y,
    )
    if not reader.owns(cell.id):
        return short
    status = cell.status
    known = picture.directory.cell(cell.id) if picture.directory else None
    pairs = picture.links_of[cell.id]
    up = sum(picture.link_health[pair][0] in (LinkHealth.UP, LinkHealth.DEGRADED) for pair in pairs)
    short = replace(
        short,
        why=why,
        owner=owner_name(picture, known.owner, reader) if known else "",
        location=known.location if known else "",
        page=_page(member, known.httpd_port) if known and member else "",
        age=None if cell.age is None else round(cell.age, 1),
        package=cell.package,
        links=len(pairs),
        links_up=up,
    )
    if status is None:
        return short
    return replace(
        short,
        uptime=status.uptime,
        generation=status.generation,
        staged=status.staged,
        version=status.version,
        unreachable=len(status.unreachable),
        particles_online=sum(particle.is_online for particle in status.particles)
        if cell.alive
        else None,
    )


def _kind(member: Member | None) -> str:
    if member is not None and member.endpoint:
        return "public"
    return "private" if member is None or member.lans else "roaming"


def _page(member: Member, port: int) -> str:
    suffix = "" if port == 443 else f":{port}"
    return f"https://{member.node4}{suffix}/"


def owner_name(picture: Picture, email: str, reader: Reader) -> str:
    """Return an owner's name; the address itself only to the UVN's owner, and to its user."""
    user = picture.directory.user(email) if picture.directory else None
    if reader.is_owner or reader.email == email:
        return f"{user.name} <{email}>" if user and user.name else email
    return user.name if user else ""


def link_summary(picture: Picture, pair: tuple[int, int], reader: Reader) -> LinkSummary:
    """Return a link in short."""
    health, why = picture.link_health[pair]
    short = LinkSummary(name=link_name(pair), a=pair[0], b=pair[1], health=health)
    if not reader.owns(*pair):
        return short
    reports = [(picture.cells[cell], state) for cell, _, state in picture.reports(pair)]
    rates = picture.rates.get(link_name(pair), LinkRates())
    first = reports[0][1] if reports else None
    ages = [seen.status_age for seen, _ in reports if seen.status_age is not None]
    losses = [state.loss for _, state in reports if state.loss is not None]
    rtts = [state.rtt for _, state in reports if state.rtt is not None]
    sizes = [state.mtu for _, state in reports if state.mtu is not None]
    return replace(
        short,
        why=why,
        age=round(min(ages), 1) if ages else None,
        handshake=first.handshake if first else None,
        rtt=round(rtts[0], 1) if rtts else None,
        loss=max(losses, default=None),
        mtu=min(sizes, default=None),
        receive_rate=rates.receive,
        send_rate=rates.send,
    )


def lan_summaries(picture: Picture, reader: Reader) -> Iterator[LanSummary]:
    """Yield all LANs; of those of other owners the state alone."""
    own = picture.cells.get(picture.view.viewer)
    paths = {path.cell: path.via for path in own.status.paths} if own and own.status else {}
    for lan, cell in picture.lans:
        short = LanSummary(network=str(lan), cell=cell, health=picture.lan_health(lan, cell))
        if not reader.owns(cell):
            yield short
            continue
        status = picture.alive(cell)
        states = status.lans if status else ()
        state = next((each for each in states if each.network == lan), None)
        via = paths.get(cell, ())
        yield replace(
            short,
            interface=(state.interface or "") if state else "",
            address=str(state.address) if state and state.address else "",
            forwards=state.forwards if state else None,
            via=via,
            gateway=_gateway(picture, via),
            unreached_by=picture.unreached.get(lan, ()),
        )


def _gateway(picture: Picture, via: tuple[int, ...]) -> str:
    peer = picture.peer(picture.view.viewer, via[0]) if via else None
    return str(peer.remote4) if peer else ""
