"""How many advertisements of one cell a node accepts: a token bucket for each kind. Pure.

What is too much is not dropped: the newest of it waits, so that a cell that has sent too much is
seen as it is, a little later, and costs others neither processor nor links. Times are of a
monotonic clock, in seconds.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from uno.model.messages import Kind

RATE, BURST = 1.0, 20.0
"""Advertisements of a kind and cell in a second, and at once. A change takes a few of each."""

Key: TypeAlias = tuple[Kind, int]


class _Bucket(Struct):
    tokens: float
    filled_at: float


class Admission:
    """The buckets of all cells whose advertisements a node has accepted."""

    def __init__(self) -> None:
        """Start with full buckets."""
        self._buckets: dict[Key, _Bucket] = {}

    def is_open(self, key: Key, *, now: float) -> bool:
        """Whether another advertisement is accepted."""
        return self._tokens(key, now) >= 1

    def take(self, key: Key, *, now: float) -> None:
        """Note that an advertisement is accepted."""
        tokens = self._tokens(key, now) - 1
        self._buckets[key] = _Bucket(max(tokens, 0.0), now)

    def opens_at(self, key: Key, *, now: float) -> float:
        """Return when another advertisement is accepted."""
        return now + max(0.0, 1 - self._tokens(key, now)) / RATE

    def _tokens(self, key: Key, now: float) -> float:
        bucket = self._buckets.get(key)
        # The clock of a machine that was suspended, or restored, may be behind.
        if bucket is None or now < bucket.filled_at:
            return BURST
        return min(BURST, bucket.tokens + (now - bucket.filled_at) * RATE)
