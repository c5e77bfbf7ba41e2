"""The public facts of a generation, as the registry states them to all cells. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from uno.model.network_directory import (
    Directory,
    DirectoryCell,
    DirectoryLink,
    DirectoryParticle,
    DirectoryUser,
    Risk,
    bounded,
)
from uno.planning.survivability.failures import failure_impacts

if TYPE_CHECKING:
    from uno.model.plan import Plan, PlannedCell, PlannedParticle
    from uno.model.uvn import Cell, Particle, Uvn


def directory_of(generation: int, uvn: Uvn, plan: Plan) -> Directory:
    """Return the public facts of `generation`, which has this definition and plan."""
    active = {each.id for each in uvn.active_particles}
    planned = {each.id: each for each in plan.particles}
    return bounded(
        Directory(
            generation=generation,
            uvn=uvn.name,
            owner=uvn.owner,
            address=uvn.address,
            strategy=plan.strategy,
            interface=plan.backbone.interface,
            ring=plan.ring,
            settings=dict(_rows(uvn.settings)),
            users=tuple(
                DirectoryUser(email=user.email, name=user.name or "", excluded=user.excluded)
                for user in uvn.users
            ),
            cells=(
                *map(_planned, plan.cells),
                *(_banned(cell) for cell in uvn.cells if cell.excluded),
            ),
            links=tuple(
                DirectoryLink(
                    number=link.number,
                    a=link.a.cell,
                    b=link.b.cell,
                    slot_a=link.a.slot,
                    slot_b=link.b.slot,
                    port_a=link.a.port,
                    port_b=link.b.port,
                    address4=link.a.address4,
                    address6=link.a.address6,
                )
                for link in plan.links
            ),
            particles=tuple(
                _particle(each, planned.get(each.id), banned=each.id not in active)
                for each in uvn.particles
            ),
            risks=tuple(
                Risk(
                    kind=each.kind,
                    failed=each.failed,
                    cut_off=each.cut_off,
                    lan_pairs=each.lan_pairs,
                    particle_paths=each.particle_paths,
                )
                for each in failure_impacts(plan)
            ),
        )
    )


def _planned(cell: PlannedCell) -> DirectoryCell:
    return DirectoryCell(
        id=cell.member.id,
        name=cell.member.name,
        owner=cell.owner,
        location=cell.location or "",
        endpoint=cell.member.endpoint,
        lans=cell.member.lans,
        root_port=cell.root_port,
        particles_port=cell.particles_port,
        httpd_port=cell.httpd_port,
    )


def _banned(cell: Cell) -> DirectoryCell:
    return DirectoryCell(
        id=cell.id,
        name=cell.name,
        owner=cell.owner,
        location=cell.settings.location or "",
        endpoint=cell.address,
        lans=cell.allowed_lans,
        httpd_port=cell.settings.httpd_port,
        banned=True,
    )


def _particle(
    particle: Particle, planned: PlannedParticle | None, *, banned: bool
) -> DirectoryParticle:
    return DirectoryParticle(
        id=particle.id,
        name=particle.name,
        owner=particle.owner,
        banned=banned,
        address4=planned.address4 if planned else None,
        address6=planned.address6 if planned else None,
    )


def _rows(settings: Struct, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings by the names of the specification, with their values as text."""
    for key, value in asdict(settings).items():
        if isinstance(value, Struct):
            yield from _rows(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple() | list():
            return ", ".join(map(_text, value))
        case dict():
            return "; ".join(f"{key}: {_text(each)}" for key, each in sorted(value.items()))
        case _:
            return str(value)
