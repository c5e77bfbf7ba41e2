"""Rolls a definition back to an earlier one, and compares two definitions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields, replace

from uno.diagnostics import Problem, Severity
from uno.model import codec
from uno.model.notification_targets import redacted
from uno.model.uvn import Cell, Particle, User, Uvn
from uno.registry.changes.edits import Edited

# A difference in a password shows that it changed, and not its hash.
_HIDDEN = {"password": "a password"}
# Whoever has one of these URLs can send in its name.
_REDACTED = {"settings.notify.to", "settings.notify.heartbeat"}
_LISTED = {"users", "cells", "particles"}
# What no owner declares, and which follows from what they do.
_FOLLOWS = {"next_cell", "next_particle"}


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that differs between two definitions.

    `thing` is what it is about: `cell lan-a`, or empty for the UVN itself. `key` is the path of the
    value in it; empty where the thing itself comes or goes. The values are as in JSON.
    """

    sign: str
    thing: str = ""
    key: str = ""
    before: Any = None
    after: Any = None


class Bans(Struct, frozen=True, kw_only=True):
    """Who is banned: ids of cells and particles, e-mail addresses of users."""

    cells: frozenset[int] = frozenset()
    particles: frozenset[int] = frozenset()
    users: frozenset[str] = frozenset()


def bans(newest_first: Iterable[Uvn], of: Uvn) -> Bans:
    """Return who of the definition `of` is banned, in the newest definition that has them.

    A ban outlives the deletion of the banned: their last definition counts. No more definitions
    are taken from `newest_first` than necessary.
    """
    cells = {cell.id for cell in of.cells}
    particles = {particle.id for particle in of.particles}
    users = {user.email for user in of.users}
    found = Bans()
    for uvn in newest_first:
        found = Bans(
            cells=found.cells | {it.id for it in uvn.cells if it.id in cells and it.excluded},
            particles=found.particles
            | {it.id for it in uvn.particles if it.id in particles and it.excluded},
            users=found.users | {it.email for it in uvn.users if it.email in users and it.excluded},
        )
        cells -= {cell.id for cell in uvn.cells}
        particles -= {particle.id for particle in uvn.particles}
        users -= {user.email for user in uvn.users}
        if not (cells or particles or users):
            break
    return found


def rolled_back(now: Uvn, then: Uvn, banned: Bans) -> Edited:
    """Return `then` as the definition to follow `now`.

    It equals `then`, with three exceptions: ids that were assigned since are not assigned again,
    users that exist in both keep their present password, and who is `banned` (`bans`) stays so; a
    warning names each. Keys are not part of a definition: deleted or replaced ones do not return.
    """
    passwords = {user.email: user.password for user in now.users}
    users = tuple(
        replace(user, password=passwords.get(user.email, user.password)) for user in then.users
    )
    cells = _kept_banned("cell", ((it.id, it) for it in then.cells), banned.cells)
    particles = _kept_banned("particle", ((it.id, it) for it in then.particles), banned.particles)
    owners = _kept_banned("user", ((it.email, it) for it in users), banned.users - {then.owner})
    back = replace(
        then,
        users=tuple(user for user, _ in owners),
        cells=tuple(cell for cell, _ in cells),
        particles=tuple(particle for particle, _ in particles),
        next_cell=max(now.next_cell, then.next_cell),
        next_particle=max(now.next_particle, then.next_particle),
    )
    notes = [note for kept in (cells, particles, owners) for _, note in kept]
    return Edited(uvn=back, problems=tuple(note for note in notes if note is not None))


def differences(old: Uvn, new: Uvn) -> tuple[Difference, ...]:
    """Return what differs between two definitions: the UVN itself, users, cells, particles."""
    return (
        *_fields("", old, new, but=_LISTED | _FOLLOWS),
        *_items("user", _by_email(old.users), _by_email(new.users)),
        *_items("cell", _by_id(old.cells), _by_id(new.cells)),
        *_items("particle", _by_id(old.particles), _by_id(new.particles)),
    )


def lines(found: Iterable[Difference]) -> tuple[str, ...]:
    """Return differences for people: `+` comes, `-` goes, `~` changes."""
    return tuple(map(_line, found))


_Thing = TypeVar("_Thing", User, Cell, Particle)


def _kept_banned(
    kind: str, things: Iterable[tuple[int | str, _Thing]], banned: AbstractSet[int | str]
) -> list[tuple[_Thing, Problem | None]]:
    """Return `things` with a ban where one holds, and a warning where `things` had none."""
    found: list[tuple[_Thing, Problem | None]] = []
    for key, thing in things:
        if thing.excluded or key not in banned:
            found.append((thing, None))
            continue
        named = _named(kind, thing)
        note = Problem(
            what=f"{named} stays banned",
            hint=f"lift the ban with: uno unban {named}",
            severity=Severity.WARNING,
        )
        found.append((replace(thing, excluded=True), note))
    return found


def _line(found: Difference) -> str:
    named = " ".join(filter(None, (found.sign, found.thing, found.key)))
    if found.sign != "~":
        return named
    if found.key in _HIDDEN:
        words = {True: _HIDDEN[found.key], False: "none"}
        before, after = words[found.before is not None], words[found.after is not None]
        return f"{named} changed" if before == after else f"{named} {before} → {after}"
    if found.before == found.after:
        return f"{named} changed"
    return f"{named} {_shown(found.before)} → {_shown(found.after)}"


def _items(
    kind: str,
    old: Mapping[Any, User | Cell | Particle],
    new: Mapping[Any, User | Cell | Particle],
) -> Iterator[Difference]:
    for key in new:
        if key not in old:
            yield Difference(sign="+", thing=_named(kind, new[key]), after=_public(new[key]))
    for key in old:
        if key not in new:
            yield Difference(sign="-", thing=_named(kind, old[key]), before=_public(old[key]))
    for key, item in new.items():
        if key in old and old[key] != item:
            yield from _fields(_named(kind, old[key]), old[key], item)


def _named(kind: str, item: User | Cell | Particle) -> str:
    return f"{kind} {item.email if isinstance(item, User) else item.name}"


def _fields(
    thing: str, old: Struct, new: Struct, *, but: Iterable[str] = (), above: str = ""
) -> Iterator[Difference]:
    for each in fields(new):
        before, after = getattr(old, each.name), getattr(new, each.name)
        key = f"{above}{each.name}"
        if each.name in but or before == after:
            continue
        if isinstance(before, Struct) and isinstance(after, Struct):
            yield from _fields(thing, before, after, above=f"{key}.")
        elif each.name in _HIDDEN:
            hidden = {True: "…", False: None}
            yield Difference(
                sign="~",
                thing=thing,
                key=key,
                before=hidden[before is not None],
                after=hidden[after is not None],
            )
        elif key in _REDACTED:
            yield Difference(
                sign="~", thing=thing, key=key, before=_redacted(before), after=_redacted(after)
            )
        else:
            yield Difference(
                sign="~",
                thing=thing,
                key=key,
                before=codec.to_builtins(before),
                after=codec.to_builtins(after),
            )


def _redacted(urls: Sequence[str] | str | None) -> Any:
    if urls is None or isinstance(urls, str):
        return redacted(urls) if urls else None
    return [redacted(url) for url in urls]


def _public(item: Struct) -> Any:
    """Return an item as in JSON, without its password."""
    found = codec.to_builtins(item)
    return {key: value for key, value in found.items() if key not in _HIDDEN}


def _by_email(users: Sequence[User]) -> dict[str, User]:
    return {user.email: user for user in users}


def _by_id(items: Sequence[Cell] | Sequence[Particle]) -> dict[int, Cell | Particle]:
    return {item.id: item for item in items}


def _shown(value: Any) -> str:
    if value is None or value in ((), [], {}):
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return codec.encode(value).decode() if isinstance(value, dict) else str(value)
