"""Sequence numbers of one originator: each is used once, also across restarts. Pure.

Numbers are reserved in blocks, so that the store is written once per block. A restart skips the
rest of the block.
"""

from __future__ import annotations

from collections.abc import Callable

BLOCK = 1000
"""Numbers per reservation: a cell at rest reserves a few times a day."""

# A sequence has 64 bits on the wire. A peer cannot push the counter near the end of them.
LIMIT = 1 << 62


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
        """Continue above `seen`, a number of this originator that another node has received."""
        self.last = max(self.last, min(seen, LIMIT))


def block(above: int) -> range:
    """Return the `BLOCK` numbers above `above`, for an originator that alone reserves its own."""
    return range(above + 1, above + 1 + BLOCK)
