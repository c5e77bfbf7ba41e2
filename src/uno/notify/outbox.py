"""Messages that wait to be delivered. Pure; `notifier` stores them on disk.

At most `LIMIT` wait: the oldest go first where there are more. An attempt that failed is repeated
after 1 s, then after twice as long each time, 10 minutes at most, for `KEEP` seconds.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from uno.notify.policy import Notice

LIMIT = 100
KEEP = 24 * 3600.0
_FIRST, _MOST = 1.0, 600.0


class Waiting(Struct, frozen=True, kw_only=True):
    """A notice for one target.

    `target` is the place of the target in the settings. `id` is the message's own. `created` and
    `due` are times of the wall clock in seconds, since the queue outlives the process and a boot.
    """

    id: str
    target: int
    notice: Notice
    created: float
    due: float
    attempts: int = 0
    fault: str = ""


class Outbox(Struct, frozen=True, kw_only=True):
    """What waits, in order of its age, and how many messages were dropped."""

    waiting: tuple[Waiting, ...] = ()
    dropped: int = 0

    def added(self, *messages: Waiting) -> Outbox:
        """Return the outbox with `messages`, without the oldest above the limit."""
        every = (*self.waiting, *messages)
        over = max(0, len(every) - LIMIT)
        return Outbox(waiting=every[over:], dropped=self.dropped + over)

    def delivered(self, id_: str) -> Outbox:
        """Return the outbox without the message `id_`."""
        return replace(self, waiting=tuple(each for each in self.waiting if each.id != id_))

    def failed(self, id_: str, fault: str, now: float) -> Outbox:
        """Return the outbox after an attempt that failed, without the message if it is too old."""
        kept, dropped = [], self.dropped
        for each in self.waiting:
            if each.id != id_:
                kept.append(each)
            elif now - each.created >= KEEP:
                dropped += 1
            else:
                pause = min(_FIRST * 2**each.attempts, _MOST)
                kept.append(replace(each, attempts=each.attempts + 1, due=now + pause, fault=fault))
        return Outbox(waiting=tuple(kept), dropped=dropped)

    def due(self, now: float) -> tuple[Waiting, ...]:
        """Return the messages to attempt now, the oldest first.

        A message whose time is more than the longest pause ahead is due too: the clock was set.
        """
        return tuple(each for each in self.waiting if each.due <= now or each.due > now + 2 * _MOST)

    def due_in(self, now: float) -> float | None:
        """Return the seconds until a message is due, None if none waits."""
        if not self.waiting:
            return None
        return min(0.0 if each in self.due(now) else each.due - now for each in self.waiting)
