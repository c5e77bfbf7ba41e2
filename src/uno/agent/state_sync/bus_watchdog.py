"""Whether a cell has to rejoin the bus, since it receives nothing from its neighbours. Pure.

Forged RTPS packets can make DDS discard new messages as duplicates. To rejoin repairs that at
little cost. A stopped agent has the same symptom, so attempts become rarer.
"""

from __future__ import annotations

from collections.abc import Iterable

from uno.statesync.timers import HELLO_INTERVAL, MAX_AGE

# Seconds between two attempts: the first pause, doubled after each attempt up to the maximum.
_FIRST_PAUSE = 2 * MAX_AGE
_MAX_PAUSE = 3600.0


class BusWatchdog:
    """Decides when to rejoin the bus. Times are of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        """Start without a silent neighbour."""
        self._pause = _FIRST_PAUSE
        self._due: float | None = None

    def is_due(self, ages: Iterable[float | None], *, now: float) -> bool:
        """Whether to rejoin `now`; if so, the next attempt is a pause away.

        `ages` are the seconds since the last message of each neighbour whose link works; None for
        a neighbour without one, which may have no agent.
        """
        if not any(age is not None and age > MAX_AGE + HELLO_INTERVAL for age in ages):
            self._pause, self._due = _FIRST_PAUSE, None
            return False
        if self._due is not None and now < self._due:
            return False
        self._due = now + self._pause
        self._pause = min(2 * self._pause, _MAX_PAUSE)
        return True
