"""The static strategy: the links that the owner lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from uno.diagnostics import Problem, refuse_errors
from uno.model.uvn import Cell
from uno.planning.topology.graph import Pair, pair


def pairs(cells: Iterable[Cell], peers: Mapping[str, Any]) -> frozenset[Pair]:
    """Return the links of `peers`, which maps a cell's name to the names of its peers.

    A link that one side names is a link of both. Names of excluded cells are ignored, so that
    excluding a cell needs no change of the list. Raises `Rejected` for two private cells.
    """
    known = {cell.name: cell for cell in cells}
    named = [
        (known[name], known[peer])
        for name, others in peers.items()
        for peer in others
        if name in known and peer in known and name != peer
    ]
    refuse_errors([_unreachable(a, b) for a, b in named if not (a.is_public or b.is_public)])
    return frozenset(pair(a.id, b.id) for a, b in named)


def _unreachable(one: Cell, other: Cell) -> Problem:
    return Problem(
        what=f"the static deployment links {one.name} and {other.name}, "
        "and neither has a public address",
        hint="link each of them with a public cell",
    )
