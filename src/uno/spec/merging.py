"""Merges a spec into a definition, for `uno apply`.

A key that the text writes replaces the value of the definition. A key that it leaves out keeps its
value; with `prune` it gets the default, and cells, particles and users that are not in the text are
removed. Passwords, notification targets, bans, the middleware and the seed of the random strategy
are kept in either case: they are often left out of a text on purpose, and the default middleware is
another one than in earlier versions.

Cells and particles are identified by name: one that keeps its name keeps its id, and with it its
keys and addresses. New ones get the next ids, in the order of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from uno.diagnostics import Problem, Severity, refuse_errors
from uno.model.checks import Path, check
from uno.model.syntax import quoted
from uno.model.uvn import Cell, Particle, Settings, User, Uvn
from uno.spec.build import NEW_CELL, NEW_PARTICLE, listed_users, mailboxes
from uno.spec.document import Document, problems, read
from uno.spec.kinds import HASH_MARK
from uno.spec.loading import trusted
from uno.spec.written_values import CellSpec, ParticleSpec, Spec, UserSpec, filled

# Returns the hash of a password; the second argument is the hash stored so far, if any.
Hashing = Callable[[str, str | None], str]

_T = TypeVar("_T")
_Thing = TypeVar("_Thing", bound=Cell | Particle)


class Removal(Struct, frozen=True, kw_only=True):
    """Names that are in a definition and not in a text."""

    users: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    particles: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.users or self.cells or self.particles)


class Merged(Struct, frozen=True, kw_only=True):
    """A definition with a text merged into it. `lacking`: what the text does not have."""

    uvn: Uvn
    lacking: Removal
    warnings: tuple[Problem, ...] = ()


def merge(text: str, *, file: str, uvn: Uvn, prune: bool, hash_password: Hashing) -> Merged:
    """Read a spec and merge it into `uvn`. Raises `Rejected` with every problem of both.

    Passwords are hashed only if there is no problem.
    """
    document = read(text, file=file)
    found = list(document.problems)
    if () not in document.broken:
        found += _two_names(document, uvn)
        found += _renamed(document, uvn, is_pruned=prune)
        found += _findings(document, uvn, prune=prune)
    warnings = refuse_errors(found)
    spec = document.spec
    merged = overlay(uvn, spec, prune=prune, hash_password=hash_password)
    return Merged(uvn=merged, lacking=lacking(uvn, spec), warnings=warnings)


def overlay(uvn: Uvn, spec: Spec, *, prune: bool, hash_password: Hashing) -> Uvn:
    """Return `uvn` with `spec` merged into it. Nothing is checked."""
    owner = spec.owner.email if spec.owner else uvn.owner
    users = _users(uvn, spec, prune=prune, hash_password=hash_password)
    cells, next_cell = _placed(uvn.cells, spec.cells or (), prune=prune, start=uvn.next_cell)
    particles, next_particle = _placed(
        uvn.particles, spec.particles or (), prune=prune, start=uvn.next_particle
    )
    return replace(
        uvn,
        owner=owner,
        address=spec.address or (None if prune else uvn.address),
        users=tuple(user for user, _ in users),
        cells=tuple(_merged(each, replace(NEW_CELL, owner=owner), prune=prune) for each in cells),
        particles=tuple(
            _merged(each, replace(NEW_PARTICLE, owner=owner), prune=prune) for each in particles
        ),
        settings=_settings(uvn.settings, spec, prune=prune),
        next_cell=next_cell,
        next_particle=next_particle,
    )


def lacking(uvn: Uvn, spec: Spec) -> Removal:
    """Return what is in `uvn` and not in `spec`."""
    emails = {user.email for user in listed_users(spec)} or {uvn.owner}
    cells = {cell.name for cell in spec.cells or ()}
    particles = {particle.name for particle in spec.particles or ()}
    return Removal(
        users=tuple(user.email for user in uvn.users if user.email not in emails),
        cells=tuple(cell.name for cell in uvn.cells if cell.name not in cells),
        particles=tuple(each.name for each in uvn.particles if each.name not in particles),
    )


class _Place(Struct, Generic[_Thing], frozen=True, kw_only=True):
    """A cell or particle of the result: the old one, what the spec writes, and its index there."""

    id: int
    old: _Thing | None = None
    spec: CellSpec | ParticleSpec | None = None
    at: int | None = None


def _placed(
    olds: Sequence[_Thing],
    specs: Sequence[CellSpec | ParticleSpec],
    *,
    prune: bool,
    start: int = 0,
) -> tuple[list[_Place[_Thing]], int]:
    first: dict[str | None, int] = {}
    for at, spec in enumerate(specs):
        first.setdefault(spec.name, at)
    kept: list[_Place[_Thing]] = []
    for old in olds:
        # Popped, so that a second one of the same name is new, and refused by the checks.
        at_old = first.pop(old.name, None)
        if at_old is not None:
            kept.append(_Place(id=old.id, old=old, spec=specs[at_old], at=at_old))
        elif not prune:
            kept.append(_Place(id=old.id, old=old))
    known = {place.at for place in kept}
    new = [(at, spec) for at, spec in enumerate(specs) if at not in known]
    added: list[_Place[_Thing]] = [
        _Place(id=start + i, spec=spec, at=at) for i, (at, spec) in enumerate(new)
    ]
    return kept + added, start + len(added)


def _merged(place: _Place[_Thing], new: _Thing, *, prune: bool) -> _Thing:
    """Return the cell or particle of `place`; keys that are left out come from the old or `new`."""
    old, spec = place.old, place.spec
    if spec is None:
        assert old is not None
        return old
    base = new if old is None or prune else old
    merged = filled(
        spec,
        base,
        id=place.id,
        name=spec.name or "",
        owner=spec.owner.email if spec.owner else base.owner,
        excluded=_is_banned(spec.excluded, old),
    )
    # The same LANs in another order are no change.
    if isinstance(merged, Cell) and isinstance(old, Cell) and _same_lans(merged, old):
        return replace(merged, allowed_lans=old.allowed_lans)
    return merged


def _same_lans(one: Cell, other: Cell) -> bool:
    return set(one.allowed_lans) == set(other.allowed_lans)


def _users(
    uvn: Uvn, spec: Spec, *, prune: bool, hash_password: Hashing
) -> list[tuple[User, int | None]]:
    """Return the users by e-mail, each with its index in the text."""
    olds = {user.email: user for user in uvn.users}
    names = {each.email: each.name for each in mailboxes(spec) if each.name}
    listed = listed_users(spec)
    written_users: list[tuple[User, int | None]] = [
        (_user(each, olds.get(each.email or ""), names, prune, hash_password), at)
        for at, each in enumerate(listed)
    ]
    emails = {user.email for user, _ in written_users}
    gone = prune and bool(listed)
    kept = [] if gone else [(user, None) for user in uvn.users if user.email not in emails]
    if not listed and prune:
        kept = [(user, at) for user, at in kept if user.email == uvn.owner]
    return sorted([*written_users, *kept], key=lambda each: each[0].email)


def _user(
    spec: UserSpec,
    old: User | None,
    names: Mapping[str, str | None],
    prune: bool,  # noqa: FBT001 - a helper of one caller
    hash_password: Hashing,
) -> User:
    email = spec.email or ""
    password = old.password if old else None
    if spec.password:
        given = spec.password.reveal
        password = given if given.startswith(HASH_MARK) else hash_password(given, password)
    kept = old.name if old and not prune else None
    return User(
        email=email,
        name=spec.name or names.get(email) or kept,
        password=password,
        excluded=_is_banned(spec.excluded, old),
    )


def _is_banned(written: bool | None, old: User | Cell | Particle | None) -> bool:  # noqa: FBT001
    return (old is not None and old.excluded) if written is None else written


def _settings(old: Settings, spec: Spec, *, prune: bool) -> Settings:
    base = old
    if prune:
        default = Settings()
        secret = replace(default.notify, to=old.notify.to, heartbeat=old.notify.heartbeat)
        seeded = replace(default.deployment, seed=old.deployment.seed)
        base = replace(default, deployment=seeded, notify=secret, middleware=old.middleware)
    return filled(spec.settings, base)


def _findings(document: Document, uvn: Uvn, *, prune: bool) -> Iterable[Problem]:
    """Return the problems of the result that `uvn` did not have."""
    spec = document.spec
    draft = overlay(uvn, spec, prune=prune, hash_password=lambda _, old: old or "")
    places = _as_in_uvn(document.positions, uvn, spec, prune=prune)
    broken = _as_in_uvn(dict.fromkeys(document.broken), uvn, spec, prune=prune)
    known = {finding.what for finding in check(uvn) if finding.severity is Severity.WARNING}
    found = trusted(check(draft), frozenset(broken))
    added = [finding for finding in found if finding.what not in known]
    return problems(added, places, document.file)


def _as_in_uvn(by_path: Mapping[Path, _T], uvn: Uvn, spec: Spec, *, prune: bool) -> dict[Path, _T]:
    """Return `by_path` with the paths of the result in place of those of the text."""
    moved = {
        "users": {
            at: index
            for index, (_, at) in enumerate(
                _users(uvn, spec, prune=prune, hash_password=lambda _, old: old or "")
            )
        },
        "cells": _indexes(_placed(uvn.cells, spec.cells or (), prune=prune)),
        "particles": _indexes(_placed(uvn.particles, spec.particles or (), prune=prune)),
    }
    found: dict[Path, _T] = {}
    for path, value in by_path.items():
        match path:
            case (str(kind), int(at), *rest) if kind in moved and at in moved[kind]:
                found[kind, moved[kind][at], *rest] = value
            case _:
                found[path] = value
    return found


def _indexes(placed: tuple[list[_Place[_Thing]], int]) -> dict[int | None, int]:
    return {place.at: index for index, place in enumerate(placed[0]) if place.at is not None}


def _two_names(document: Document, uvn: Uvn) -> Iterable[Problem]:
    name = document.spec.name
    if name and name != uvn.name:
        yield Problem(
            what=f"the UVN is called {quoted(name)} here and {quoted(uvn.name)} in the registry",
            hint="is it the right registry, or the right file?",
            where=document.positions["name",],
        )


def _renamed(document: Document, uvn: Uvn, *, is_pruned: bool) -> Iterable[Problem]:
    """Warn where a new cell or particle is probably a renamed one that the text lacks."""
    spec = document.spec
    gone = lacking(uvn, spec)
    known = {cell.name for cell in uvn.cells}
    for at, cell in enumerate(spec.cells or ()):
        if cell.name is None or cell.name in known:
            continue
        for old in uvn.cells:
            if old.name in gone.cells and _is_alike(cell, old):
                yield _rename("cell", old.name, cell.name, document, ("cells", at, "name"))
                break
    new = [each for each in spec.particles or () if each.name not in _names(uvn.particles)]
    if is_pruned and len(new) == len(gone.particles) == 1 and new[0].name:
        at = (spec.particles or ()).index(new[0])
        path: Path = ("particles", at, "name")
        yield _rename("particle", gone.particles[0], new[0].name, document, path)


def _is_alike(spec: CellSpec, old: Cell) -> bool:
    if spec.address and spec.address == old.address:
        return True
    return bool(set(spec.allowed_lans or ()) & set(old.allowed_lans))


def _names(items: Iterable[Particle]) -> set[str]:
    return {item.name for item in items}


def _rename(kind: str, old: str, new: str, document: Document, path: Path) -> Problem:
    return Problem(
        what=f"{kind} {new} is new and {old} is not in the file",
        hint=f"if it is the same, keep its keys and addresses: "
        f"uno config {kind} {old} -U --name {new}",
        where=document.positions.get(path),
        severity=Severity.WARNING,
    )
