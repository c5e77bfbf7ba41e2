"""Whether the other end of a connection is alive. Pure.

At rest one end pings, and the other answers: three packets with TCP's acknowledgement. Between two
cells their hellos come first: BFD detects that a link is down. The registry's root VPN has no BFD.
A path that is gone is detected by what the other kernel acknowledges, so that an agent that is busy
for some seconds is not taken for dead. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

PING_REGISTRY: Final = 6.5
"""Seconds without a sign of life after which an end pings, if either is the registry.

A metered cell and the registry ping as cells do.
"""

PING_CELL: Final = 33.0
"""The same between cells: their agents send a hello every 30 s (`statesync.timers`)."""

PING_TIMEOUT: Final = 3.5
"""Seconds from a ping until a peer is gone whose kernel does not acknowledge it either."""

AGENT_TIMEOUT: Final = 45.0
"""Seconds without a frame after which a peer is gone, though its kernel acknowledges."""

PATH_TIMEOUT: Final = PING_REGISTRY + PING_TIMEOUT
"""Seconds for which the other kernel may leave what was sent unacknowledged."""

# The end that does not call first pings later: the ping of the other one is a sign of life.
_LATER: Final = 0.7


def ping_after(*, with_registry: bool, metered: bool) -> float:
    """Return the seconds without a sign of life after which a node pings a peer."""
    return PING_REGISTRY if with_registry and not metered else PING_CELL


class Verdict(Enum):
    """What follows from a check."""

    ALIVE = "alive"
    PING = "ping"
    GONE = "gone"


class Liveness:
    """The signs of life of one peer."""

    def __init__(self, *, ping_after: float, is_lower: bool, now: float) -> None:
        """Begin with a sign of life. The lower address pings first."""
        self._ping_after = ping_after if is_lower else ping_after + _LATER
        self._gone_after = ping_after + PING_TIMEOUT
        self._received_at = self._proved_at = now
        self._pinged_at: float | None = None
        self._unacknowledged = 0

    @property
    def due(self) -> float:
        """When to check next."""
        patience = self._ping_after if self._pinged_at is None else self._gone_after
        return min(self._proved_at + patience, self._received_at + AGENT_TIMEOUT)

    def received(self, *, now: float) -> None:
        """Something has been received."""
        self._received_at = self._proved_at = now
        self._pinged_at = None

    def check(self, unacknowledged: int, *, now: float) -> Verdict:
        """Judge. `unacknowledged` are the octets that were sent and not acknowledged yet."""
        was_answered = self._pinged_at is not None and not unacknowledged
        if was_answered or unacknowledged < self._unacknowledged:
            self._proved_at, self._pinged_at = now, None
        self._unacknowledged = unacknowledged
        # Sums as in `due`, so that a check that is due by the one is by the other.
        is_silent = now >= self._received_at + AGENT_TIMEOUT
        if is_silent or now >= self._proved_at + self._gone_after:
            return Verdict.GONE
        if self._pinged_at is None and now >= self._proved_at + self._ping_after:
            self._pinged_at = now
            return Verdict.PING
        return Verdict.ALIVE
