"""Removal of a lab, whatever ends the program that makes it, at any moment."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from uno.lab import lab_state

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def temporary_lab(*, keep: bool = False) -> Iterator[str]:
    """An id for a lab that the block makes. However the block ends, the lab is gone afterwards.

    With `keep` it stays if the block ends well. The lab need not be there, nor be finished.
    Raises `UnoError` as `state.remove` does.
    """
    # A signal raises its exception anywhere: also between a call that made something and the next
    # line. So removal is certain while there is nothing yet, and what is not there does no harm.
    lab_id = lab_state.unused_id()
    # Twice: the signal may come while the lab is removed. `ended_by_signals` lets none come again.
    try:
        try:
            yield lab_id
            if not keep:
                lab_state.remove(lab_id)
        except BaseException:
            lab_state.remove(lab_id)
            raise
    except BaseException:
        lab_state.remove(lab_id)
        raise


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions, as SIGINT, so that cleanup runs; once."""

    def end(number: int, _frame: FrameType | None) -> None:
        # A second Ctrl-C would leave behind what the first one began to take down.
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {one: signal.signal(one, end) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
