"""The lists of `uno list`, and the lookup of one object by its name."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct

from uno.cli.output import printing
from uno.cli.output.definition_view import whole
from uno.diagnostics import InvalidInput
from uno.model import codec
from uno.model.syntax import suggestion
from uno.model.uvn import Cell, Particle, User, Uvn
from uno.render.package_file import fingerprint

if TYPE_CHECKING:
    from uno.cli.input.options import JsonOption
    from uno.model.plan import LinkEnd, Plan, PlannedCell
    from uno.registry.store.generation_store import Generation
    from uno.registry.store.secret_table import PublicFacts


class Listing(Struct, frozen=True, kw_only=True):
    """A list as a table for people, and as values for programs, which are computed on demand."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    values: Iterable[dict[str, Any]]


def print_listing(shown: Listing, output: JsonOption, *, empty: str) -> None:
    """Print a list; `empty` is the sentence for one that has nothing in it."""
    if output.json:
        printing.json(list(shown.values))
    else:
        printing.table(shown.columns, shown.rows, empty=empty)


def users(head: Generation) -> Listing:
    """Return the users and how much each owns."""
    uvn = head.uvn
    return Listing(
        columns=("EMAIL", "NAME", "OWNS", ""),
        rows=[
            (
                user.email,
                user.name,
                _belongings(uvn, user.email),
                "banned" if user.excluded else "",
            )
            for user in uvn.users
        ],
        values=(
            {
                "email": user.email,
                "name": user.name,
                "is_owner": user.email == uvn.owner,
                "excluded": user.excluded,
                "cells": [cell.name for cell in uvn.cells if cell.owner == user.email],
                "particles": [each.name for each in uvn.particles if each.owner == user.email],
            }
            for user in uvn.users
        ),
    )


def cells(head: Generation) -> Listing:
    """Return the cells with what was declared and decided of each."""
    planned = {cell.member.id: cell for cell in head.plan.cells}
    links = Counter(cell for link in head.plan.links for cell in link.cells)
    return Listing(
        columns=("ID", "NAME", "ADDRESS", "LANS", "LINKS", "SERVES", "OWNER"),
        rows=[
            (
                cell.id,
                cell.name,
                "banned" if cell.excluded else cell.address or "private",
                cell.allowed_lans or "roaming",
                links[cell.id],
                "particles"
                if cell.id in planned and planned[cell.id].member.serves_particles
                else None,
                cell.owner,
            )
            for cell in head.uvn.cells
        ],
        values=(
            {**whole(cell), **decided(planned.get(cell.id)), "links": links[cell.id]}
            for cell in head.uvn.cells
        ),
    )


def particles(head: Generation) -> Listing:
    """Return the particles with their addresses."""
    planned = {particle.id: particle for particle in head.plan.particles}
    return Listing(
        columns=("ID", "NAME", "ADDRESS", "OWNER"),
        rows=[
            (
                each.id,
                each.name,
                planned[each.id].address4 if each.id in planned else "banned",
                each.owner,
            )
            for each in head.uvn.particles
        ],
        values=(
            {
                **whole(each),
                **(codec.to_builtins(planned[each.id]) if each.id in planned else {}),
            }
            for each in head.uvn.particles
        ),
    )


def links(head: Generation) -> Listing:
    """Return the links with the addresses and ports of both ends."""
    names = names_of(head.plan)
    return Listing(
        columns=("LINK", "CELL", "ADDRESS", "PORT", "CELL", "ADDRESS", "PORT"),
        rows=[
            (
                link.number,
                names[link.a.cell],
                link.a.address4,
                link.a.port,
                names[link.b.cell],
                link.b.address4,
                link.b.port,
            )
            for link in head.plan.links
        ],
        values=(
            {
                "number": link.number,
                "name": link.name,
                "a": end_of(link.a, names),
                "b": end_of(link.b, names),
            }
            for link in head.plan.links
        ),
    )


def secrets(head: Generation, found: Iterable[PublicFacts]) -> Listing:
    """Return the secrets that are kept: what each is for, and a fingerprint where it has one.

    Only public halves have one: one of a secret itself would help an attacker who guesses it.
    """
    names = {cell.id: cell.name for cell in head.uvn.cells}
    particles = {particle.id: particle.name for particle in head.uvn.particles}
    rows = [
        (each, fingerprint(b64encode(each.public).decode()) if each.public else None)
        for each in found
    ]
    return Listing(
        # The names of what they are for would not fit beside fingerprints.
        columns=("ID", "KIND", "FINGERPRINT OF THE PUBLIC KEY"),
        rows=[(each.id, each.kind, mark) for each, mark in rows],
        values=(
            {
                "id": each.id,
                "kind": each.kind,
                "of": _purpose(each, names, particles),
                "epoch": each.epoch,
                "public_key": b64encode(each.public).decode() if each.public else None,
                "fingerprint": mark,
            }
            for each, mark in rows
        ),
    )


def cell(uvn: Uvn, name: str) -> Cell:
    """Return the cell called `name`. Raises `UnoError` with a similar name."""
    found = next((each for each in uvn.cells if each.name == name), None)
    return found or _missing("cell", name, [each.name for each in uvn.cells])


def particle(uvn: Uvn, name: str) -> Particle:
    """Return the particle called `name`. Raises `UnoError` with a similar name."""
    found = next((each for each in uvn.particles if each.name == name), None)
    return found or _missing("particle", name, [each.name for each in uvn.particles])


def user(uvn: Uvn, email: str) -> User:
    """Return the user `email`. Raises `UnoError` with a similar address."""
    found = next((each for each in uvn.users if each.email == email), None)
    return found or _missing("user", email, [each.email for each in uvn.users])


def names_of(plan: Plan) -> dict[int, str]:
    """Return the names of the cells of `plan`, by id."""
    return {each.member.id: each.member.name for each in plan.cells}


def decided(planned: PlannedCell | None) -> dict[str, Any]:
    """Return what is added to the value of a cell by the plan."""
    if planned is None:
        return {}
    member = planned.member
    return {
        "node4": str(member.node4),
        "node6": str(member.node6),
        "asn": member.asn,
        "serves_particles": member.serves_particles,
    }


def end_of(end: LinkEnd, names: dict[int, str]) -> dict[str, Any]:
    """Return one end of a link for programs."""
    return {
        "cell": names[end.cell],
        "slot": end.slot,
        "address4": str(end.address4),
        "address6": str(end.address6),
        "port": end.port,
    }


def _missing(kind: str, name: str, known: Sequence[str]) -> NoReturn:
    hint = suggestion(name, known) or f"uno list {kind}s shows those there are"
    raise InvalidInput(f"there is no {kind} called {name!r}", hint)


def _purpose(secret: PublicFacts, cells: Mapping[int, str], particles: Mapping[int, str]) -> str:
    """Return the purpose of a key with the names of its objects; see `model.key_ids`."""
    kind, *rest = secret.id.split("/")
    numbers = [int(each) for part in rest for each in part.split("-") if each.isdigit()]
    match kind, numbers:
        case "registry", _:
            return "the registry: signs packages"
        case "web", _:
            return "the certificates of the web pages"
        case "particle", [particle, *at]:
            where = f" at {cells.get(at[0], at[0])}" if at else ""
            return f"particle {particles.get(particle, particle)}{where}"
        case "link", [one, other, *_]:
            return f"link {cells.get(one, one)} ↔ {cells.get(other, other)}"
        case _, [cell]:
            return f"cell {cells.get(cell, cell)}"
        case _:
            return "the registry"


def _belongings(uvn: Uvn, email: str) -> str | None:
    cells = sum(cell.owner == email for cell in uvn.cells)
    particles = sum(particle.owner == email for particle in uvn.particles)
    owned = (
        "the UVN" if email == uvn.owner else "",
        printing.count(cells, "cell") if cells else "",
        printing.count(particles, "particle") if particles else "",
    )
    return ", ".join(filter(None, owned)) or None
