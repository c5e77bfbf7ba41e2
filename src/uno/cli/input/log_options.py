"""How much a command logs: `-q`, up to five times `-v`, or what VERBOSITY names."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Annotated

import typer

from uno.diagnostics import ACTIVITY, TRACE, Problem, Rejected

Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        help="More log output, up to five times: steps; programs that are run; their "
        "messages; statements of the database; time and place of each.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print results and errors only.")]

_LEVELS = ("warning", "info", "activity", "debug", "trace", "all")
# The second is for five times -v: when, where in the program, and in which thread.
_LINES = (
    "uno: %(message)s",
    "%(asctime)s.%(msecs)03d uno: %(name)s [%(threadName)s] %(message)s",
)
_LOGGED = (logging.WARNING, logging.INFO, ACTIVITY, logging.DEBUG, TRACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """How much is logged."""

    verbose: Verbose = 0
    quiet: Quiet = False

    def start(self) -> None:
        """Set up logging. Raises `Rejected` if VERBOSITY names no level."""
        verbosity = self.verbosity
        log = logging.getLogger("uno")
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_LINES[verbosity >= len(_LOGGED)]))
        log.handlers = [handler]
        log.setLevel(logging.CRITICAL if verbosity < 0 else _LOGGED[min(verbosity, 4)])
        log.propagate = False

    @property
    def verbosity(self) -> int:
        """The level of output: -1 with `-q`, else the number of `-v`, or what VERBOSITY names."""
        if self.quiet:
            return -1
        named = os.environ.get("VERBOSITY", "").lower()
        if not self.verbose and named:
            if named not in _LEVELS:
                raise Rejected(
                    Problem(
                        what=f"VERBOSITY is {named!r}, which is no level",
                        hint=f"use one of {', '.join(_LEVELS)}",
                    )
                )
            return _LEVELS.index(named)
        return self.verbose
