"""Names that occur twice, and owners that are missing or excluded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.diagnostics import Severity
from uno.model.checks.finding import Finding, Findings, Path
from uno.model.syntax import quoted, shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uno.model.uvn import Uvn


def check(uvn: Uvn) -> Findings:
    """Find duplicate users, cells and particles, and owners that are unknown or excluded."""
    emails = [user.email for user in uvn.users]
    # Mail systems ignore the case of addresses, RFC 5321 section 2.4 notwithstanding.
    yield from _check_unique("e-mail address", (email.lower() for email in emails), "users")
    yield from _check_unique("name", (cell.name for cell in uvn.cells), "cells")
    yield from _check_unique("name", (particle.name for particle in uvn.particles), "particles")
    yield from _check_owners(uvn)


def _check_unique(noun: str, texts: Iterable[str], group: str) -> Findings:
    key = "email" if group == "users" else "name"
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        if text not in first:
            first[text] = index
            continue
        yield Finding(
            path=(group, index, key),
            what=f"two {group} have the {noun} {quoted(text)}",
            hint="remove one of them"
            if group == "users"
            else "give one of them another name, or remove it",
            also=((group, first[text], key),),
        )


def _check_owners(uvn: Uvn) -> Findings:
    excluded = {user.email: user.excluded for user in uvn.users}
    for path, thing, owner, is_excluded in _owned(uvn):
        if owner not in excluded:
            # E-mail addresses of one domain are all alike.
            guess = suggestion(owner, excluded, likeness=0.9)
            hint = guess or "add this user, or name one of those there are"
            yield Finding(
                path=path,
                what=f"{thing} belongs to {quoted(owner)}, who is not a user",
                hint=hint,
                needs=(("users",), ("owner",)),
            )
        elif excluded[owner] and not is_excluded:
            yield _excluded_owner(path, thing, owner)


def _excluded_owner(path: Path, thing: str, owner: str) -> Finding:
    if path == ("owner",):
        return Finding(
            path=path,
            what=f"{thing} belongs to {quoted(owner)}, who is excluded",
            hint="name another owner first",
        )
    return Finding(
        path=path,
        what=f"{thing} takes part, but its owner {quoted(owner)} is excluded"
        if path[0] == "cells"
        else f"{thing} cannot connect, since its owner {quoted(owner)} is excluded",
        hint="give it another owner, or exclude it too",
        severity=Severity.WARNING,
    )


def _owned(uvn: Uvn) -> Iterable[tuple[Path, str, str, bool]]:
    yield ("owner",), "the UVN", uvn.owner, False
    # A problem of the UVN's owner is reported once, not again for each of their cells.
    for index, cell in enumerate(uvn.cells):
        if cell.owner != uvn.owner:
            yield ("cells", index, "owner"), f"cell {shown(cell.name)}", cell.owner, cell.excluded
    for index, particle in enumerate(uvn.particles):
        path = ("particles", index, "owner")
        if particle.owner != uvn.owner:
            yield path, f"particle {shown(particle.name)}", particle.owner, particle.excluded
