"""An agent that `observation.py` measures: it appends the times of each observation to a file.

Run as `python -c 'import timed_agent; timed_agent.main(FILE, [ARGUMENTS OF uno])'`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from uno.agent.host_loop import cell_status
from uno.cli.main import main as uno

P = ParamSpec("P")
T = TypeVar("T")


def main(file: str, arguments: list[str]) -> None:
    """Run uno; each line of the file has when an observation ended, its ms and its processor's."""
    with Path(file).open("a", buffering=1) as out:
        cell_status.collect = timed(cell_status.collect, lambda line: out.write(f"{line}\n"))
        sys.argv = ["uno", *arguments]
        uno()


def timed(function: Callable[P, T], write: Callable[[str], object]) -> Callable[P, T]:
    """Return the function, which writes when it ended, its ms and those of its thread."""

    @wraps(function)
    def measured(*given: P.args, **named: P.kwargs) -> T:
        began, used = time.monotonic(), time.thread_time()
        try:
            return function(*given, **named)
        finally:
            ended, spent = time.monotonic(), time.thread_time() - used
            write(f"{ended} {1000 * (ended - began)} {1000 * spent}")

    return measured
