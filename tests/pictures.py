"""Pictures of networks: of a real plan, with statuses that say that all is well, or do not."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from packages import package_of
from strategies import OWNER, uvns
from uno.controller.public_directory import directory_of
from uno.model.messages import Ack, Phase
from uno.model.plan import Plan
from uno.model.status import (
    CellStatus,
    CellView,
    LanState,
    LinkState,
    ParticleState,
    PathState,
    UvnView,
)
from uno.model.uvn import Cell, CellSettings, Particle, Settings, User, Uvn
from uno.planning.cell_plans import roster
from uno.planning.planner import plan
from uno.statesync.state_database import advertised, seen
from uno.web.picture import Picture
from uno.web.readers import Reader

NOW = 1_700_000_000
MTU = 1320
BOSS = Reader(email=OWNER, is_owner=True)


def picture_of(uvn: Uvn, *, viewer: int = 0, generation: int = 1) -> Picture:
    """Return the picture of a UVN in which all is well, as a cell or the registry has it."""
    planned = plan(uvn, None)
    cells = tuple(_cell(planned, each.member.id, generation) for each in planned.cells)
    view = UvnView(uvn=uvn.name, viewer=viewer, generation=generation, cells=cells, registry=True)
    return Picture(
        view=view,
        roster=roster(planned),
        directory=directory_of(generation, uvn, planned),
        package=package_of(viewer, uvn) if viewer else None,
        now=NOW,
    )


def with_cell(picture: Picture, cell: int, **changes: Any) -> Picture:
    """Return a picture in which a cell is seen in another way."""
    cells = tuple(
        replace(each, **changes) if each.id == cell else each for each in picture.view.cells
    )
    return replace(picture, view=replace(picture.view, cells=cells))


def with_status(picture: Picture, cell: int, **changes: Any) -> Picture:
    """Return a picture in which a cell advertises something else."""
    status = picture.cells[cell].status
    assert status is not None
    return with_cell(picture, cell, status=replace(status, **changes))


def with_view(picture: Picture, **changes: Any) -> Picture:
    """Return a picture in which something else holds of the whole UVN."""
    return replace(picture, view=replace(picture.view, **changes))


def silent(picture: Picture, cell: int, *, age: float = 400.0) -> Picture:
    """Return what all others have when a cell is silent: its links are down, its LANs lost."""
    lost = tuple(lan for lan, owner in picture.lans if owner == cell)
    picture = with_cell(picture, cell, alive=False, age=age)
    for pair in picture.links_of[cell]:
        picture = link_down(picture, *pair)
    for other in picture.cells:
        if other != cell:
            picture = unreached(picture, other, *lost)
    return picture


def link_down(picture: Picture, a: int, b: int) -> Picture:
    """Return a picture in which both ends report a link as down."""
    for one, other in ((a, b), (b, a)):
        status = picture.cells[one].status
        if status is None:
            continue
        links = tuple(
            replace(link, bgp="Active", bfd="down", handshake=200, rtt=None, loss=1.0)
            if link.cell == other
            else link
            for link in status.links
        )
        picture = with_status(picture, one, links=links)
    return picture


def unreached(picture: Picture, cell: int, *lans: Any) -> Picture:
    """Return a picture in which a cell does not reach these LANs."""
    status = picture.cells[cell].status
    if status is None:
        return picture
    lost = {lan for lan in lans if lan in status.reachable}
    return with_status(
        picture,
        cell,
        reachable=tuple(lan for lan in status.reachable if lan not in lost),
        unreachable=(*status.unreachable, *sorted(lost, key=str)),
    )


def healthy_pictures(*, max_cells: int = 6) -> st.SearchStrategy[Picture]:
    """Draw the picture that the registry has of a UVN in which all is well."""
    return uvns(max_cells=max_cells).map(picture_of)


def _cell(planned: Plan, cell: int, generation: int) -> CellView:
    member = next(each.member for each in planned.cells if each.member.id == cell)
    others = [each.member for each in planned.cells if each.member.id != cell]
    ends = [
        (ours, theirs)
        for link in planned.links
        for ours, theirs in ((link.a, link.b), (link.b, link.a))
        if ours.cell == cell
    ]
    status = CellStatus(
        generation=generation,
        lans=tuple(
            LanState(network=lan, interface="eth0", address=lan.network_address + 2, forwards=True)
            for lan in member.lans
        ),
        links=tuple(
            LinkState(
                interface=f"uwg-b{ours.slot}",
                cell=theirs.cell,
                handshake=30,
                bgp="Established",
                bfd="up",
                rtt=12.5,
                loss=0.0,
                mtu=MTU,
                received=1000 * cell,
                sent=2000,
                endpoint="203.0.113.77:63550",
                prefixes=7,
                flaps=1,
            )
            for ours, theirs in ends
        ),
        paths=tuple(
            PathState(cell=other.id, rtt=20.0, loss=0.0, via=(ends[0][1].cell,) if ends else ())
            for other in others
        ),
        reachable=tuple(lan for other in others for lan in other.lans),
        registry=True,
        wireguard="kernel",
        version="0.1.0",
        clock=NOW - 10,
        uptime=3600,
        host_uptime=86400,
    )
    ack = Ack(generation=generation, phase=Phase.CONFIRMED, running=generation)
    return CellView(
        id=cell,
        name=member.name,
        package=generation,
        status=status,
        ack=ack,
        age=10.0,
        status_age=10.0,
        alive=True,
    )


@cache
def corp() -> Uvn:
    """Return a UVN of four sites with three owners, particles, and what is banned."""
    return Uvn(
        name="corp",
        identity="ab" * 16,
        owner=OWNER,
        address="registry.example.org",
        users=(
            User(email="ann@example.org", name="Ann"),
            User(email="gone@example.org", excluded=True),
            User(email=OWNER, name="Olga", password="$argon2id$v=19$never"),  # noqa: S106
            User(email="phil@example.org", name="Phil"),
        ),
        cells=(
            _site(1, "paris", OWNER, address="paris.example.org"),
            _site(2, "rome", "ann@example.org", address="rome.example.org"),
            _site(3, "oslo", OWNER, address="oslo.example.org"),
            _site(4, "attic", "ann@example.org", location="the attic"),
            Cell(id=5, name="old", owner="ann@example.org", excluded=True),
        ),
        particles=(
            Particle(id=1, name="phone", owner="phil@example.org"),
            Particle(id=2, name="laptop", owner="ann@example.org"),
            Particle(id=3, name="lost", owner=OWNER, excluded=True),
        ),
        settings=Settings(),
        next_cell=6,
        next_particle=4,
    )


@cache
def large() -> Picture:
    """Return the picture that the registry has of two hundred sites, every other one public."""
    first = corp().cells[0]
    many = tuple(
        replace(
            first,
            id=n,
            name=f"site-{n:03}",
            address=f"site-{n}.example.org" if n % 2 else None,
            allowed_lans=(IPv4Network(f"10.1.{n}.0/24"),),
        )
        for n in range(1, 201)
    )
    made = picture_of(replace(corp(), name="large", cells=many, next_cell=201))
    return as_advertised(made, watched=True)


def as_advertised(picture: Picture, *, watched: bool) -> Picture:
    """Return a picture as a node has it that receives what cells advertise."""
    for cell in picture.view.cells:
        if cell.status is not None:
            status = advertised(cell.status, watched=watched)
            status = seen(status, picture.roster.members, cell=cell.id)
            picture = with_cell(picture, cell.id, status=status)
    return picture


def _site(
    number: int, name: str, owner: str, *, address: str | None = None, location: str | None = None
) -> Cell:
    return Cell(
        id=number,
        name=name,
        owner=owner,
        address=address,
        allowed_lans=(IPv4Network(f"192.168.{number}.0/24"),),
        settings=CellSettings(location=location),
    )


def phone_at(picture: Picture, cell: int, *, handshake: int = 20) -> Picture:
    """Return a picture in which the particle 1 has connected to a cell."""
    return with_status(
        picture,
        cell,
        particles=(ParticleState(id=1, handshake=handshake, received=500, sent=700),),
    )
