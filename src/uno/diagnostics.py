"""Errors, problems and levels of the log: what is wrong, where, and what happens next.

A problem in what a person wrote or typed is a `Problem` value. All problems of one input are
raised together, as one `Rejected`. Every other failure that uno foresees is one of the errors
below, with a message, a hint, and an answer to the question whether to try again:

    UnoError                root, never raised itself
    ├── InvalidInput        input or a file is refused; nothing was changed           exit status 2
    │   └── Rejected        the same, with every `Problem` of the input
    ├── ActionNeeded        fails again until a person changes something              exit status 2
    ├── TransientFailure    may succeed if it is tried again without a change         exit status 1
    └── InternalError       uno broke one of its own invariants: to be reported       exit status 1

A loop (an agent, `service up`) decides by `UnoError.transient`: what is transient is tried again at
the next pass; anything else is logged once, and tried again only at the slow interval at which the
loop looks for changes. Errors of a package add their own names below these.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

ACTIVITY = 15
"""Level of the log between INFO and DEBUG: each program that is run."""
TRACE = 5
"""Level of the log below DEBUG: each statement of the registry's database."""


class Severity(StrEnum):
    """How much a problem matters: an error refuses the input, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Position(Struct, frozen=True, kw_only=True, order=True):
    """A place in a text. `line` and `column` count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with what a person gave.

    `what` is a sentence without a full stop; `hint` is what to do about it; `where` is its place
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


class UnoError(Exception):
    """Something that uno was doing failed. Raise one of its subclasses.

    `what` is the failure and its place, `hint` what to do about it. `transient` is whether the
    same may succeed later without a change by a person; `exit_status` is that of a command that
    ends with this error.
    """

    exit_status: int = 1
    transient: bool = False

    def __init__(self, what: str, hint: str = "") -> None:
        """Hold the message."""
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class InvalidInput(UnoError):
    """The input, or a file that was given, is refused. Nothing was changed."""

    exit_status = 2


class Rejected(InvalidInput):
    """The input has problems. Nothing was changed."""

    def __init__(self, *problems: Problem) -> None:
        """Hold `problems`, errors and warnings, in the order of their places."""
        self.problems = tuple(sorted(problems, key=_reading_order))
        super().__init__("\n".join(map(str, self.problems)))


class TransientFailure(UnoError):
    """The cause may go away by itself: the next pass of a loop tries again."""

    transient = True


class ActionNeeded(UnoError):
    """Trying again fails in the same way until a person changes something; the hint names it."""

    exit_status = 2


class InternalError(UnoError):
    """One of uno's own invariants does not hold. Trying again does not help."""


def refuse_errors(problems: tuple[Problem, ...] | list[Problem]) -> tuple[Problem, ...]:
    """Raise `Rejected` if one of `problems` is an error; return the warnings, in reading order."""
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise Rejected(*problems)
    return tuple(sorted(problems, key=_reading_order))


def _reading_order(problem: Problem) -> tuple[bool, Position]:
    return problem.where is None, problem.where or Position(file="", line=0, column=0)
