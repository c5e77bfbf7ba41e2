"""Cells, particles and users by name, for edits. An unknown name is a problem. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from uno.diagnostics import Problem, Rejected
from uno.model.syntax import shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.model.uvn import Cell, Particle, User, Uvn


def cell(uvn: Uvn, name: str, *, option: str = "NAME") -> tuple[int, Cell]:
    """Return the cell called `name`, and its place among the cells. Raises `Rejected`."""
    return _found("cell", name, uvn.cells, [each.name for each in uvn.cells], option)


def particle(uvn: Uvn, name: str) -> tuple[int, Particle]:
    """Return the particle called `name`, and its place among the particles. Raises `Rejected`."""
    return _found("particle", name, uvn.particles, [each.name for each in uvn.particles], "NAME")


def user(uvn: Uvn, email: str) -> tuple[int, User]:
    """Return the user `email`, and their place among the users. Raises `Rejected`."""
    return _found("user", email, uvn.users, [each.email for each in uvn.users], "EMAIL")


_T = TypeVar("_T")


def _found(
    kind: str, name: str, things: Sequence[_T], names: Sequence[str], option: str
) -> tuple[int, _T]:
    if name in names:
        at = names.index(name)
        return at, things[at]
    raise Rejected(
        Problem(
            what=f"there is no {kind} {shown(name)}",
            hint=suggestion(name, names) or f"uno list {kind}s shows those there are",
            option=option,
        )
    )
