"""Nodes to values of the right types; every problem is recorded and none is raised.

A `ValueKind` reads one type of value and returns None for a value that it refuses. It checks the
type alone. `model.checks` checks the meaning (a name, a port, an owner), since it also checks
definitions that come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct, field

from uno.diagnostics import Position, Problem
from uno.model.checks import Path
from uno.model.syntax import quoted
from uno.spec.scalars import Meaning, means
from uno.spec.tree import MappingNode, Node, Scalar

# More than a person fixes at once; a binary file would otherwise fill the screen for minutes.
MAX_PROBLEMS = 200


class Reading(Struct):
    """The state of reading one text.

    `positions` has the position of every value, by its path in the definition. `broken` are the
    paths of refused values: a check must conclude nothing from their absence.
    """

    positions: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    def refuse(self, node: Node, path: Path, what: str, hint: str) -> None:
        """Record that the value at `path` cannot be used."""
        self.broken.add(path)
        self.report(Problem(what=what, hint=hint, where=node.position))

    def report(self, problem: Problem) -> None:
        """Record a problem; all values stay usable."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def move(self, old: Path, new: Path) -> None:
        """Record a refused value at the path `new` instead of `old`."""
        self.positions[new] = self.positions.pop(old)
        self.broken.remove(old)
        self.broken.add(new)


Read: TypeAlias = Callable[[Reading, Node, Path], Any]


class ValueKind(Struct, frozen=True, kw_only=True):
    """How one type of value is read, and its JSON Schema."""

    read: Read
    schema: Mapping[str, Any]


def label(path: Path) -> str:
    """Return the name of the value at `path` for messages."""
    match path:
        case (*_, str(group), int()):
            return f"an item of {group}"
        case (*_, key):
            return str(key)
        case _:
            return "the spec"


def described(node: Node) -> str:
    """Return a description of a node of the wrong type, for messages."""
    if isinstance(node, Scalar):
        return _described_scalar(node)
    return "a mapping" if isinstance(node, MappingNode) else "a list"


def is_null(node: Node) -> bool:
    """Whether nothing was written, or null."""
    return isinstance(node, Scalar) and means(node) is Meaning.NULL


def _described_scalar(node: Scalar) -> str:
    match means(node):
        case Meaning.NULL:
            return "nothing"
        case Meaning.TEXT:
            return f"the text {quoted(node.text)}"
        case Meaning.BOOLEAN:
            return node.text
        case _:
            return f"the number {node.text[:40]}"
