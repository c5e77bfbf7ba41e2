"""From what was written to what it means: defaults filled in, ids given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from uno.model.uvn import (
    Cell,
    Particle,
    Settings,
    User,
    Uvn,
)
from uno.spec.kinds import HASH_MARK
from uno.spec.written_values import (
    CellSpec,
    Mailbox,
    ParticleSpec,
    SettingsSpec,
    Spec,
    UserSpec,
    written,
)

S = TypeVar("S", bound=Struct)
# Where the defaults are taken from.
_UVN = Uvn(name="", identity="", owner="")
_CELL = Cell(id=0, name="", owner="")


def uvn_from(spec: Spec, *, name: str, identity: str, hash_password: Callable[[str], str]) -> Uvn:
    """Return the definition that `spec` writes, under `name`.

    Cells and particles get ids from 1 in the order in which they stand. A spec that lists no users
    has one, its owner. Nothing is checked: `model.checks` does that. `hash_password` turns a plain
    password into an argon2id hash; hashes that the spec holds are taken as they are.
    """
    owner = spec.owner.email if spec.owner else ""
    users = _users(spec, hash_password)
    cells = tuple(_cell(cell, id=i, owner=owner) for i, cell in enumerate(spec.cells or (), 1))
    particles = tuple(
        _particle(particle, id=i, owner=owner) for i, particle in enumerate(spec.particles or (), 1)
    )
    return Uvn(
        name=name,
        identity=identity,
        owner=owner,
        address=spec.address,
        users=tuple(users[index] for index in order_of_users(spec)),
        cells=cells,
        particles=particles,
        settings=settings_on(_UVN.settings, spec.settings),
        next_cell=len(cells) + 1,
        next_particle=len(particles) + 1,
    )


def order_of_users(spec: Spec) -> tuple[int, ...]:
    """Return the places of the spec's users in the order of the definition's: by e-mail."""
    emails = [user.email or "" for user in listed_users(spec)]
    return tuple(sorted(range(len(emails)), key=lambda index: emails[index]))


def listed_users(spec: Spec) -> tuple[UserSpec, ...]:
    """Return the users that a spec lists; one that lists none has one, its owner."""
    if spec.users is None and spec.owner:
        return (UserSpec(email=spec.owner.email, name=spec.owner.name),)
    return spec.users or ()


def mailboxes(spec: Spec) -> Iterable[Mailbox]:
    """Return every owner that a spec names, the owner of the UVN last."""
    owners = [
        *(particle.owner for particle in spec.particles or ()),
        *(cell.owner for cell in spec.cells or ()),
        spec.owner,
    ]
    return [owner for owner in owners if owner]


def settings_on(base: Settings, spec: SettingsSpec | None) -> Settings:
    """Return `base` with what `spec` says."""
    if spec is None:
        return base
    values = written(spec)
    for group in ("deployment", "root_vpn", "particles_vpn", "backbone_vpn"):
        values[group] = filled(getattr(spec, group), getattr(base, group))
    return replace(base, **values)


def filled(spec: Struct | None, base: S) -> S:
    """Return `base` with what `spec` says, key by key."""
    return replace(base, **written(spec)) if spec else base


def _users(spec: Spec, hash_password: Callable[[str], str]) -> list[User]:
    names = {each.email: each.name for each in mailboxes(spec) if each.name}
    return [
        User(
            email=user.email or "",
            name=user.name or names.get(user.email or ""),
            password=_hashed(user.password.reveal, hash_password) if user.password else None,
            excluded=bool(user.excluded),
        )
        for user in listed_users(spec)
    ]


def _hashed(password: str, hash_password: Callable[[str], str]) -> str:
    return password if password.startswith(HASH_MARK) else hash_password(password)


def _cell(spec: CellSpec, *, id: int, owner: str) -> Cell:  # noqa: A002 - the field's name
    return Cell(
        id=id,
        name=spec.name or "",
        owner=spec.owner.email if spec.owner else owner,
        address=spec.address,
        allowed_lans=spec.allowed_lans or (),
        settings=filled(spec.settings, _CELL.settings),
        excluded=bool(spec.excluded),
    )


def _particle(spec: ParticleSpec, *, id: int, owner: str) -> Particle:  # noqa: A002
    return Particle(
        id=id,
        name=spec.name or "",
        owner=spec.owner.email if spec.owner else owner,
        excluded=bool(spec.excluded),
    )
