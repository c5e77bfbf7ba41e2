"""A spec's text as a value, with the position of every key and all problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from uno.diagnostics import Position, Problem, Rejected, refuse_errors
from uno.model.checks import Finding, Path
from uno.spec.known_keys import DEPLOYMENT, SPEC
from uno.spec.reading import Reading
from uno.spec.tree import compose
from uno.spec.written_values import Spec


class Document(Struct, frozen=True, kw_only=True):
    """A text that was read. `problems` are those of the text; values at `broken` are missing."""

    spec: Spec
    file: str
    positions: Mapping[Path, Position]
    problems: tuple[Problem, ...] = ()
    broken: frozenset[Path] = frozenset()


def parse(text: str, *, file: str) -> Document:
    """Read a spec from YAML 1.2 or JSON. `file` is what problems call the text.

    Raises `Rejected` with every problem of the text, and nothing else, for any text. The
    definition is not checked.
    """
    document = read(text, file=file)
    refuse_errors(document.problems)
    return document


def arguments(text: str, *, file: str) -> dict[str, Any]:
    """Read the arguments of a strategy: one mapping, with any values that JSON has.

    Raises `Rejected` with every problem of the text, and nothing else, for any text.
    """
    root = compose(text, file=file)
    if root is None:
        return {}
    reading = Reading()
    found = DEPLOYMENT.keys["strategy_args"].read(reading, root, ("strategy_args",))
    refuse_errors(reading.problems)
    assert isinstance(found, dict)
    return found


def read(text: str, *, file: str) -> Document:
    """Read a spec; `problems` of the result has what could not be read."""
    start = Position(file=file, line=1, column=1)
    try:
        root = compose(text, file=file)
    except Rejected as rejected:
        return Document(
            spec=Spec(),
            file=file,
            positions={(): start},
            problems=rejected.problems,
            broken=frozenset({()}),
        )
    reading = Reading()
    reading.positions[()] = root.position if root else start
    spec = SPEC.read(reading, root, ()) if root else Spec()
    assert isinstance(spec, Spec)
    return Document(
        spec=spec,
        file=file,
        positions=reading.positions,
        problems=tuple(reading.problems),
        broken=frozenset(reading.broken),
    )


def problems(
    findings: Iterable[Finding], positions: Mapping[Path, Position], file: str
) -> tuple[Problem, ...]:
    """Add to each finding its position in the text.

    That is the first of its paths that the text writes. If it writes none (a default is wrong, a
    key is missing), it is the nearest key around the finding's own path.
    """
    return tuple(_problem(finding, positions, file) for finding in findings)


def _problem(finding: Finding, positions: Mapping[Path, Position], file: str) -> Problem:
    places = [positions[path] for path in (finding.path, *finding.also) if path in positions]
    where = places[0] if places else _around(finding.path, positions, file)
    return Problem(
        what=finding.what,
        hint=finding.hint,
        where=where,
        also=tuple(dict.fromkeys(place for place in places if place != where)),
        severity=finding.severity,
    )


def _around(path: Path, positions: Mapping[Path, Position], file: str) -> Position:
    lengths = range(len(path) - 1, -1, -1)
    found = (positions[path[:length]] for length in lengths if path[:length] in positions)
    return next(found, Position(file=file, line=1, column=1))
