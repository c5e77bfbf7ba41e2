"""What is said in the name of cells that are no members of the UVN, yet.

A cell that is added says how it is as soon as it runs, which others may hear before they have the
package that tells them of it. As nobody says anything twice but after a long while, it is kept
until it can be believed, or not. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from uno.model.messages import Envelope, Kind

Way = TypeVar("Way")

# Anybody can be named: so many statements, of so many bytes, are kept, and no more; and in seconds
# for how long, since who is there says it again by then.
MOST, LARGEST, LASTING = 128, 1 << 15, 30.0

_KINDS = frozenset({Kind.STATUS, Kind.ACK})


class UnknownOrigins(Generic[Way]):
    """The newest of each kind and cell, with the way that it came.

    Times are of a monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        """Know nobody."""
        self._kept: dict[tuple[int, int], tuple[Envelope, Way, float]] = {}

    def keep(self, envelope: Envelope, way: Way, *, now: float) -> None:
        """Keep what somebody who is no member is said to say; nothing that is no news of a cell."""
        if envelope.kind not in _KINDS or len(envelope.body) > LARGEST:
            return
        self._forget(now)
        key = envelope.kind, envelope.subject
        known = self._kept.get(key)
        if known is None and len(self._kept) >= MOST:
            return
        if known is None or envelope.sequence > known[0].sequence:
            self._kept[key] = envelope, way, now

    def take(self, members: Collection[int], *, now: float) -> tuple[tuple[Envelope, Way], ...]:
        """Return, and forget, what is of those who are members now."""
        self._forget(now)
        found = {key: kept for key, kept in self._kept.items() if key[1] in members}
        for key in found:
            del self._kept[key]
        return tuple((envelope, way) for envelope, way, _ in found.values())

    def _forget(self, now: float) -> None:
        old = [key for key, (_, _, at) in self._kept.items() if now - at > LASTING]
        for key in old:
            del self._kept[key]
