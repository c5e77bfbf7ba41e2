"""Whether a cell hears nothing of others that it should hear. Pure.

Forged packets can make DDS take what is new for old. Joining the bus anew mends that, and costs
little; but a neighbour whose agent does not run is silent, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from uno.statesync.timers import MAX_AGE, REFRESH_INTERVAL

# Seconds between two attempts: the first ones come soon, and then they get seldom.
_FIRST = 2 * MAX_AGE
_LONGEST = 3600.0


class BusWatchdog:
    """When to join the bus anew."""

    def __init__(self) -> None:
        """Start with nobody missed."""
        self._pause = _FIRST
        self._due: float | None = None

    def is_due(self, ages: Iterable[float | None], *, now: float) -> bool:
        """Whether to join anew `now`, in seconds.

        `ages` tell how long ago each neighbour was heard whose link works, None if never: there may
        be no agent.
        """
        if not any(age is not None and age > MAX_AGE + REFRESH_INTERVAL for age in ages):
            self._pause, self._due = _FIRST, None
            return False
        if self._due is not None and now < self._due:
            return False
        self._due = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST)
        return True
