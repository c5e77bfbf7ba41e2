"""Runs `uno` commands within a test's own process, for the tests of the command line."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TypeAlias
from unittest.mock import patch

import pytest

from uno.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Uno: TypeAlias = Callable[..., Outcome]


def run(*arguments: str) -> Outcome:
    """Run `uno ARGUMENTS` with its output going to a pipe.

    An agent keeps all privileges: what it gives up, the tests that follow would not have either.
    """
    out, err = StringIO(), StringIO()
    log = logging.getLogger("uno")
    before = (log.handlers, log.level, log.propagate)
    environment = patch.dict(os.environ)
    try:
        with (
            environment,
            patch("uno.host.privileges.restrict"),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as caught,
        ):
            main(arguments)
    finally:
        log.handlers, log.propagate = before[0], before[2]
        log.setLevel(before[1])
    code = caught.value.code
    return Outcome(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
