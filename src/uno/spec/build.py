"""From what was written to what it means: defaults filled in, ids given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from uno.model.uvn import (
    BACKBONE_VPN,
    PARTICLES_VPN,
    ROOT_VPN,
    Cell,
    Particle,
    Settings,
    User,
    Uvn,
)
from uno.spec.kinds import HASH_MARK
from uno.spec.values import (
    CellSpec,
    ParticleSpec,
    Person,
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
        settings=_settings(spec.settings or SettingsSpec()),
        next_cell=len(cells) + 1,
        next_particle=len(particles) + 1,
    )


def order_of_users(spec: Spec) -> tuple[int, ...]:
    """Return the places of the spec's users in the order of the definition's: by e-mail."""
    emails = [user.email or "" for user in _listed_users(spec)]
    return tuple(sorted(range(len(emails)), key=lambda index: emails[index]))


def _listed_users(spec: Spec) -> tuple[UserSpec, ...]:
    if spec.users is None and spec.owner:
        return (UserSpec(email=spec.owner.email, name=spec.owner.name),)
    return spec.users or ()


def _users(spec: Spec, hash_password: Callable[[str], str]) -> list[User]:
    names = {person.email: person.name for person in _persons(spec) if person.name}
    return [
        User(
            email=user.email or "",
            name=user.name or names.get(user.email or ""),
            password=_hashed(user.password.reveal, hash_password) if user.password else None,
            excluded=bool(user.excluded),
        )
        for user in _listed_users(spec)
    ]


def _persons(spec: Spec) -> Iterable[Person]:
    owners = [
        *(particle.owner for particle in spec.particles or ()),
        *(cell.owner for cell in spec.cells or ()),
        spec.owner,
    ]
    return [owner for owner in owners if owner]


def _hashed(password: str, hash_password: Callable[[str], str]) -> str:
    return password if password.startswith(HASH_MARK) else hash_password(password)


def _cell(spec: CellSpec, *, id: int, owner: str) -> Cell:  # noqa: A002 - the field's name
    return Cell(
        id=id,
        name=spec.name or "",
        owner=spec.owner.email if spec.owner else owner,
        address=spec.address,
        allowed_lans=spec.allowed_lans or (),
        settings=_filled(spec.settings, _CELL.settings),
        excluded=bool(spec.excluded),
    )


def _particle(spec: ParticleSpec, *, id: int, owner: str) -> Particle:  # noqa: A002
    return Particle(
        id=id,
        name=spec.name or "",
        owner=spec.owner.email if spec.owner else owner,
        excluded=bool(spec.excluded),
    )


def _settings(spec: SettingsSpec) -> Settings:
    values = written(spec)
    default = _UVN.settings
    values["deployment"] = _filled(spec.deployment, default.deployment)
    values["root_vpn"] = _filled(spec.root_vpn, ROOT_VPN)
    values["particles_vpn"] = _filled(spec.particles_vpn, PARTICLES_VPN)
    values["backbone_vpn"] = _filled(spec.backbone_vpn, BACKBONE_VPN)
    found = replace(default, **values)
    return default if found == default else found


def _filled(spec: Struct | None, default: S) -> S:
    # The default itself where nothing differs: in JSON, msgspec leaves out that object alone, and
    # equal definitions are to be the same bytes.
    found = replace(default, **written(spec)) if spec else default
    return default if found == default else found
