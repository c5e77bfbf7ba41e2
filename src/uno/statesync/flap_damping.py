"""How soon a cell advertises what changes, if it changes again and again. Pure.

As routers space the advertisements that they originate (MinLSInterval of RFC 2328, appendix B), but
after a burst, so that a failure, what follows from it, and a start are not late. Of a link that
fails and returns for minutes all cells receive the newest state every 5 s. Times are of a monotonic
clock, in seconds.
"""

from __future__ import annotations

import math

AT_ONCE = 60
"""Changes that are advertised at once, one after the other."""

INTERVAL = 5.0
"""Seconds from one advertisement to the next after those, and until one more is at once again."""


class FlapDamping:
    """The advertisements of one cell: a bucket of `AT_ONCE`, with one more each `INTERVAL`."""

    def __init__(self) -> None:
        """Start with all of them."""
        self._full_at = -math.inf

    def note_advertised(self, *, now: float) -> None:
        """Note that a change is advertised."""
        full_at = max(self._full_at, now) + INTERVAL
        self._full_at = min(full_at, now + AT_ONCE * INTERVAL)

    def opens_at(self, *, now: float) -> float:
        """Return when another change may be advertised: `now`, or later."""
        opens = self._full_at - (AT_ONCE - 1) * INTERVAL
        # The clock of a machine that was suspended, or restored, may be behind.
        return opens if now < opens <= now + INTERVAL else now
