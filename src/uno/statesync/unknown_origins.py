"""Advertisements of cells that are not members yet. Pure.

A new cell advertises its status when it starts, which can be before another cell receives the
package that names it. The next refresh is a long time away, so the advertisement is kept, neither
verified nor flooded, until a package names its originator.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from uno.model.messages import Envelope, Kind
from uno.statesync.timers import REFRESH_INTERVAL

Origin = TypeVar("Origin")

# Unverified messages can name any number of cells: limits on their number, size (bytes) and age.
MAX_KEPT, MAX_SIZE, MAX_KEPT_FOR = 128, 1 << 15, REFRESH_INTERVAL

_KINDS = frozenset({Kind.STATUS, Kind.ACK})


class UnknownOrigins(Generic[Origin]):
    """The newest advertisement of each kind and cell, with what the caller keeps beside it.

    Times are of a monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._kept: dict[tuple[int, int], tuple[Envelope, Origin, float]] = {}

    def keep(self, envelope: Envelope, origin: Origin, *, now: float) -> None:
        """Keep an advertisement of a cell, unless a limit is reached."""
        if envelope.kind not in _KINDS or len(envelope.body) > MAX_SIZE:
            return
        self._expire(now)
        key = envelope.kind, envelope.subject
        known = self._kept.get(key)
        if known is None and len(self._kept) >= MAX_KEPT:
            return
        if known is None or envelope.sequence > known[0].sequence:
            self._kept[key] = envelope, origin, now

    def take(self, members: Collection[int], *, now: float) -> tuple[tuple[Envelope, Origin], ...]:
        """Remove and return the advertisements of cells that are members now."""
        self._expire(now)
        found = {key: kept for key, kept in self._kept.items() if key[1] in members}
        for key in found:
            del self._kept[key]
        return tuple((envelope, origin) for envelope, origin, _ in found.values())

    def _expire(self, now: float) -> None:
        old = [key for key, (_, _, at) in self._kept.items() if now - at > MAX_KEPT_FOR]
        for key in old:
            del self._kept[key]
