"""Problems phrased for the person who can mend them: what is wrong, where, and what to do.

Everything that a person wrote or typed is answered with `Problem` values, all of them at once,
raised together as one `Rejected`. Everything else that can fail while uno works for a person is
an `UnoError`: one message, one hint, never a traceback.

    UnoError            something failed; exit status 1
    └── Rejected        the input cannot be accepted; holds every `Problem`; exit status 2
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How much a problem matters: an error refuses the input, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """A place in a text. `line` and `column` count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with what a person gave.

    `what` is a sentence without a full stop; `hint` says what to do about it; `where` is its place
    in a file, `option` the command-line option that it came from; `also` are the other places that
    it involves.
    """

    what: str
    hint: str = ""
    where: Position | None = None
    option: str | None = None
    also: tuple[Position, ...] = ()
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else f"{self.option}: " if self.option else ""
        others = f" (see also {', '.join(map(str, self.also))})" if self.also else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}{self.what}{others}{hint}"


@dataclass(eq=False)
class UnoError(Exception):
    """Something that uno was doing failed. `what` says what and where, `hint` what to do."""

    what: str
    hint: str = ""
    exit_status: int = field(default=1, kw_only=True)

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class Rejected(UnoError):
    """The input has problems; nothing was changed."""

    def __init__(self, *problems: Problem) -> None:
        """Hold `problems`, errors and warnings, in the order of their places."""
        self.problems = tuple(sorted(problems, key=_reading_order))
        super().__init__("\n".join(map(str, self.problems)), exit_status=2)


def refuse_errors(problems: tuple[Problem, ...] | list[Problem]) -> tuple[Problem, ...]:
    """Raise `Rejected` if one of `problems` is an error; return the warnings otherwise."""
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise Rejected(*problems)
    return tuple(problems)


def _reading_order(problem: Problem) -> tuple[bool, Position]:
    return problem.where is None, problem.where or Position(file="", line=0, column=0)
