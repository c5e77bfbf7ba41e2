"""Whether the registry itself is in contact. Pure.

Any member of the bus can write to the registry's channel, and keep a writer of it alive. So a
heartbeat counts only if the registry has signed it, it is the newest message of the registry that
the node has, and it is not older than `MAX_AGE`. That a writer leaves is reported by DDS within
seconds; a false report lasts until the next heartbeat. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

import math

from uno.statesync.timers import MAX_AGE


class RegistryPresence:
    """The presence of the registry, as one cell has it."""

    def __init__(self, *, grace: float) -> None:
        """Start without contact. A registry that leaves is reachable for `grace` more seconds."""
        self._grace = grace
        self._writers = 0
        self._heartbeat_at: float | None = None
        self._newest_at = -math.inf
        self._left_at: float | None = None
        self._contact_at: float | None = None

    def note_writers(self, alive: int, *, now: float) -> None:
        """Note how many writers the registry's channel has: without one the registry has left."""
        self._writers = alive
        if alive:
            return
        if self._is_fresh(now):
            self._left_at = now
        self._heartbeat_at = None

    def note_heartbeat(self, *, received_at: float) -> None:
        """Note that the registry's newest message, first received then, was received directly."""
        # What is delivered again, after a false report that the writer has left, may be older.
        self._newest_at = max(self._newest_at, received_at)
        self._heartbeat_at, self._left_at = self._newest_at, None

    def note_contact(self, *, now: float) -> None:
        """Note that a message of the registry has come directly, whichever it is."""
        self._contact_at = now

    def is_present(self, *, now: float) -> bool:
        """Whether the registry is in contact."""
        return self._writers > 0 and self._is_fresh(now)

    def is_reachable(self, *, now: float) -> bool:
        """Whether the registry is present, or left less than the grace period ago."""
        return self.is_present(now=now) or _is_within(self._grace, self._left_at, now)

    def was_in_contact(self, *, within: float, now: float) -> bool:
        """Whether the registry is present, or was in contact less than so many seconds ago."""
        since = (self._left_at, self._contact_at)
        return self.is_present(now=now) or any(_is_within(within, each, now) for each in since)

    def changes_at(self) -> float | None:
        """Return when the registry stops being reachable unless something is received."""
        if self._left_at is not None:
            return self._left_at + self._grace
        return None if self._heartbeat_at is None else self._heartbeat_at + MAX_AGE

    def _is_fresh(self, now: float) -> bool:
        return self._heartbeat_at is not None and now - self._heartbeat_at < MAX_AGE


def _is_within(seconds: float, since: float | None, now: float) -> bool:
    return since is not None and now < since + seconds
