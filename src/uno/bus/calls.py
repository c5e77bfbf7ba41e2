"""When a node calls a neighbour, and which of two connections with it stays. Pure.

Either end may call. The one with the lower address calls first; the other waits, so that both
seldom call at once. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from uno.bus.stream_frames import Hello

ATTEMPT: Final = 4.0
"""Seconds for a connection to be established, and for its first frame to arrive."""

HEAD_START: Final = 1.0
"""Seconds that the higher address leaves to the lower one to call first."""

# A route that is missing costs no packet, so its return is noticed soon.
_NO_ROUTE: Final = 1.0
# Seconds between attempts, doubled from the first to the last. Where an agent is not running the
# host answers; it calls itself once it runs. Silence is a path that may return at any time; a
# tunnel without a session sends a handshake every 5 s in any case (wg(8)).
_FIRST, _LAST_REFUSED, _LAST_SILENT = 0.5, 60.0, 5.0
# Seconds after which a connection counts as one that works.
_LASTING: Final = 10.0
# Calls of one neighbour that are taken: so many at once, and one more in so many seconds.
_CALLS, _CALL_INTERVAL = 6, 2.0


class CallFailure(Enum):
    """Why a call has failed."""

    NO_ROUTE = "no route"
    REFUSED = "refused"
    SILENT = "silent"


class Standing(Struct, frozen=True):
    """A connection on which both ends have greeted: who called, and the hello of the other end."""

    called: bool
    hello: Hello


def replaces(new: Standing, old: Standing, *, is_lower: bool) -> bool:
    """Whether `new` stays rather than `old`. Both ends decide alike.

    `is_lower`: the own address is lower than the other end's. Another session, or one that has lost
    more connections, no longer has the old one. Else both have called at once: the call of the
    lower address stays.
    """
    if new.hello.session != old.hello.session:
        return True
    if new.hello.losses != old.hello.losses:
        return new.hello.losses > old.hello.losses
    return new.called in {old.called, is_lower}


class CallSchedule:
    """When to call one neighbour that there is no connection with."""

    def __init__(self, *, is_lower: bool, now: float) -> None:
        """Call at once, or after the head start of the other end."""
        self._head_start = 0.0 if is_lower else HEAD_START
        self._failures = 0
        self._connected_at: float | None = None
        self.due: float | None = now + self._head_start

    def started(self) -> None:
        """A call is under way."""
        self.due = None

    def connected(self, *, now: float) -> None:
        """There is a connection, whoever has called."""
        self.due, self._connected_at = None, now

    def lost(self, *, now: float, chance: float) -> None:
        """The connection has ended. `chance` is a random number from 0 to 1."""
        since, self._connected_at = self._connected_at, None
        if since is not None and now - since >= _LASTING:
            self._failures = 0
        pause = self._pause(_LAST_SILENT, chance) if self._failures else 0.0
        self._failures += 1
        self.due = now + max(self._head_start, pause)

    def failed(self, why: CallFailure, *, now: float, chance: float) -> None:
        """A call has failed."""
        if why is CallFailure.NO_ROUTE:
            self.due = now + _NO_ROUTE * (0.75 + chance / 2)
            return
        last = _LAST_REFUSED if why is CallFailure.REFUSED else _LAST_SILENT
        self.due = now + self._pause(last, chance)
        self._failures += 1

    def _pause(self, most: float, chance: float) -> float:
        longest = min(_FIRST * (1 << min(self._failures, 10)), most)
        return longest * (0.75 + chance / 2)


class CallLimit:
    """How many calls of one neighbour are taken: each costs what it receives from the start."""

    def __init__(self, *, now: float) -> None:
        """Take the first ones at once."""
        self._left, self._at = float(_CALLS), now

    def take(self, *, now: float) -> bool:
        """Whether a call is taken `now`."""
        self._left = min(float(_CALLS), self._left + (now - self._at) / _CALL_INTERVAL)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
