"""Sequence numbers of one originator: each is used once, also across restarts. Pure.

Numbers are reserved in blocks, so that the store is written once per block. A restart skips the
rest of the block.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1000
"""Numbers per reservation: a cell at rest reserves a few times a day."""

# A sequence has 64 bits on the wire. No node accepts one from here on.
LIMIT = 1 << 62

# The most that a sequence may be above the one before it, while its originator is in contact. A
# restart skips a block. At one number a second this is 136 years.
MAX_STEP = 1 << 32


MOST_UNSEEN = 1 << 20
"""How far an originator's hellos may be above its newest advertisement that others keep."""


class Sequence:
    """A growing counter over reserved blocks."""

    def __init__(self, reserve: Callable[[int], range], *, last: int = 0) -> None:
        """Continue above `last`.

        `reserve` returns a block of numbers that are all above its argument, and records it before
        the first of them is used.
        """
        self.last = last
        self._reserve = reserve
        self._block = range(0)

    def next(self) -> int:
        """Return a number above all that were returned before."""
        if self.last + 1 not in self._block:
            self._block = self._reserve(self.last)
        self.last = max(self.last + 1, self._block.start)
        return self.last

    def above(self, seen: int) -> None:
        """Continue above `seen`, a number of this originator that another node has received.

        There is no continuing above the last numbers below `LIMIT`. A thief of the originator's key
        may have used them; other nodes forget them (`FORGET_AGE`).
        """
        if seen < LIMIT - MAX_STEP:
            self.last = max(self.last, seen)


def block(above: int) -> range:
    """Return the `BLOCK` numbers above `above`, for an originator that alone reserves its own."""
    return range(above + 1, above + 1 + BLOCK)
