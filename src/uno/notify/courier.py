"""A process that sends messages and ends: it has neither root's rights nor the cell's keys.

    python -m uno.notify.courier < ERRANDS

It reads `Errand`s as JSON from standard input, sends each, and prints an `Outcome` for each. An
agent starts it when there is something to send, so that it takes no memory at rest.
"""

from __future__ import annotations

# Both are imported late by others, where the files of modules may be out of reach.
import concurrent.futures.thread  # noqa: F401
import encodings.idna  # noqa: F401
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from uno.diagnostics import TransientFailure
from uno.model.notification_targets import target
from uno.notify import delivery
from uno.notify.errands import Errand, Outcome
from uno.unprivileged.confinement import COURIER, confine

# Messages that are under way at once.
_AT_ONCE = 5


def run(errands: Sequence[Errand]) -> tuple[Outcome, ...]:
    """Send all, some at once; return what became of each."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(_run, errands))


def _run(errand: Errand) -> Outcome:
    found = target(errand.url)
    try:
        if errand.message is None:
            delivery.fetch(found)
        else:
            delivery.deliver(found, errand.message)
    except TransientFailure as error:
        return Outcome(fault=error.what)
    return Outcome()


def main() -> None:
    """Send what standard input has."""
    errands = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Errand])
    confine(COURIER, parent=os.getppid())
    sys.stdout.buffer.write(msgspec.json.encode(run(errands)))


if __name__ == "__main__":
    main()
