"""How soon a cell advertises what changes, if it changes again and again. Pure.

As routers space the advertisements that they originate (MinLSInterval of RFC 2328, appendix B; the
back-off of RFC 8405): the first changes are advertised at once, so that a failure and what follows
from it is not late. Of a link that fails and returns for minutes all cells receive the newest state
every 5 s. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math

AT_ONCE = 12
"""Changes that are advertised at once, one after the other."""

FIRST_HOLD, MAX_HOLD = 2.0, 5.0
"""Seconds from one advertisement to the next after those; it doubles up to MinLSInterval."""

QUIET = 60.0
"""Seconds without an advertisement after which the next ones are at once again."""


class FlapDamping:
    """The advertisements of one cell."""

    def __init__(self) -> None:
        """Start quiet."""
        self._count = 0
        self._advertised_at = -math.inf

    def note_advertised(self, *, now: float) -> None:
        """Note that a change is advertised."""
        self._count = 1 if now - self._advertised_at >= QUIET else self._count + 1
        self._advertised_at = now

    def opens_at(self, *, now: float) -> float:
        """Return when another change may be advertised: `now`, or later."""
        # The clock of a machine that was suspended, or restored, may be behind.
        if self._count < AT_ONCE or not 0 <= now - self._advertised_at < QUIET:
            return now
        hold = min(math.ldexp(FIRST_HOLD, min(self._count - AT_ONCE, 10)), MAX_HOLD)
        return max(now, self._advertised_at + hold)
