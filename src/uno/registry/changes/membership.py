"""Edits that ban, admit again or delete cells, particles and users. Pure.

A banned or deleted cell or particle is in no plan, and so in no package or roster, and no peer of
another one. The transaction that stores the edit deletes its keys; admitted again, it gets new
ones.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from uno.diagnostics import Problem
from uno.model.uvn import Uvn
from uno.registry.changes import edits, lookup, updates
from uno.registry.changes.edits import Edited, Setting


class Belongings(Struct, frozen=True, kw_only=True):
    """The names of the cells and particles that a user owns."""

    cells: tuple[str, ...]
    particles: tuple[str, ...]


def belongings(uvn: Uvn, email: str) -> Belongings:
    """Return what the user `email` owns, the UVN itself apart."""
    return Belongings(
        cells=tuple(cell.name for cell in uvn.cells if cell.owner == email),
        particles=tuple(particle.name for particle in uvn.particles if particle.owner == email),
    )


def exclude_cell(uvn: Uvn, name: str, *, excluded: bool) -> Edited:
    """Ban a cell, or admit it again. Raises `Rejected` if there is none."""
    at, _ = lookup.cell(uvn, name)
    return _exclude(uvn, "cells", at, excluded=excluded)


def exclude_particle(uvn: Uvn, name: str, *, excluded: bool) -> Edited:
    """Ban a particle, or admit it again. Raises `Rejected` if there is none."""
    at, _ = lookup.particle(uvn, name)
    return _exclude(uvn, "particles", at, excluded=excluded)


def exclude_user(uvn: Uvn, email: str, *, excluded: bool) -> Edited:
    """Ban a user and with them their particles, or admit them again. Raises `Rejected`.

    Their cells stay, since other people's LANs depend on them; a warning names those.
    """
    at, _ = lookup.user(uvn, email)
    if excluded and email == uvn.owner:
        return Edited(uvn=uvn, problems=(_is_owner(email, "banned"),))
    return _exclude(uvn, "users", at, excluded=excluded)


def delete_cell(uvn: Uvn, name: str) -> Edited:
    """Delete a cell and the static links that name it. Raises `Rejected` if there is none."""
    at, _ = lookup.cell(uvn, name)
    left = replace(uvn, cells=(*uvn.cells[:at], *uvn.cells[at + 1 :]))
    alone = updates.without_sender(updates.without_links(left, name), name)
    return Edited(uvn=alone, options={("cells",): "NAME"})


def delete_particle(uvn: Uvn, name: str) -> Edited:
    """Delete a particle. Raises `Rejected` if there is none."""
    at, _ = lookup.particle(uvn, name)
    return Edited(uvn=replace(uvn, particles=(*uvn.particles[:at], *uvn.particles[at + 1 :])))


def delete_user(uvn: Uvn, email: str) -> Edited:
    """Delete a user; what they own goes to the UVN's owner. Raises `Rejected` if there is none."""
    at, _ = lookup.user(uvn, email)
    if email == uvn.owner:
        return Edited(uvn=uvn, problems=(_is_owner(email, "deleted"),))
    return Edited(
        uvn=replace(
            uvn,
            users=(*uvn.users[:at], *uvn.users[at + 1 :]),
            cells=tuple(
                replace(cell, owner=uvn.owner) if cell.owner == email else cell
                for cell in uvn.cells
            ),
            particles=tuple(
                replace(particle, owner=uvn.owner) if particle.owner == email else particle
                for particle in uvn.particles
            ),
        )
    )


def _exclude(uvn: Uvn, group: str, at: int, *, excluded: bool) -> Edited:
    place = (group, at, "excluded")
    changed = edits.apply(uvn, [Setting(option="NAME", path=place, value=excluded)])
    return Edited(uvn=changed.uvn, options={(group,): "NAME"})


def _is_owner(email: str, done: str) -> Problem:
    return Problem(
        what=f"{email} owns the UVN and cannot be {done}",
        hint="name another owner first: uno config uvn -U -o EMAIL",
        option="EMAIL",
    )
