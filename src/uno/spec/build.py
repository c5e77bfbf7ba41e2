"""From the keys as written to a definition: fills in defaults and assigns ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from uno.model.syntax import Mailbox
from uno.model.uvn import (
    Cell,
    Particle,
    User,
    Uvn,
)
from uno.spec.kinds import HASH_MARK
from uno.spec.written_values import (
    CellSpec,
    ParticleSpec,
    Spec,
    UserSpec,
    filled,
)

T = TypeVar("T", Cell, Particle)
# The defaults.
_UVN = Uvn(name="", identity="", owner="")
NEW_CELL = Cell(id=0, name="", owner="")
NEW_PARTICLE = Particle(id=0, name="", owner="")


def uvn_from(spec: Spec, *, name: str, identity: str, hash_password: Callable[[str], str]) -> Uvn:
    """Return the definition of `spec`, with the name `name`.

    Cells and particles get ids from 1 in the order of the text. A spec that lists no users has
    one, its owner. Nothing is checked: `model.checks` does that. `hash_password` returns the
    argon2id hash of a plain password; hashes in the spec are kept as they are.
    """
    owner = spec.owner.email if spec.owner else ""
    users = _users(spec, hash_password)
    cells = tuple(
        _laid_on(NEW_CELL, cell, id=i, owner=owner) for i, cell in enumerate(spec.cells or (), 1)
    )
    particles = tuple(
        _laid_on(NEW_PARTICLE, particle, id=i, owner=owner)
        for i, particle in enumerate(spec.particles or (), 1)
    )
    return Uvn(
        name=name,
        identity=identity,
        owner=owner,
        address=spec.address,
        users=tuple(users[index] for index in order_of_users(spec)),
        cells=cells,
        particles=particles,
        settings=filled(spec.settings, _UVN.settings),
        next_cell=len(cells) + 1,
        next_particle=len(particles) + 1,
    )


def order_of_users(spec: Spec) -> tuple[int, ...]:
    """Return the indexes of the spec's users in the order of the definition: by e-mail."""
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


def _laid_on(base: T, spec: CellSpec | ParticleSpec, *, id: int, owner: str) -> T:  # noqa: A002
    return filled(
        spec,
        base,
        id=id,
        name=spec.name or "",
        owner=spec.owner.email if spec.owner else owner,
    )
