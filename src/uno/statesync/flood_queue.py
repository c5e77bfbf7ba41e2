"""The statuses that a cell has received and not flooded yet, and when they are due. Pure.

A flood costs much the same for one status as for many, so they are flooded together. Times are of
a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

# Seconds between two floods: per member of the UVN, and the maximum. The cost of a flood grows
# with the members.
PACING, MAX_PACING = 0.01, 1.0
# Seconds that statuses are held during a change, whose messages go first: per member, the maximum.
HOLD, MAX_HOLD = 0.08, 5.0


class FloodQueue:
    """The cells whose newest status is to be flooded."""

    def __init__(self) -> None:
        """Start empty."""
        self._cells: dict[int, None] = {}
        self._filled_at = 0.0
        self._flooded_at: float | None = None

    def __bool__(self) -> bool:
        """Whether there is a status to flood."""
        return bool(self._cells)

    def put(self, cell: int, *, now: float) -> None:
        """Queue the status of a cell, whichever is the newest when the queue is flooded."""
        if not self._cells:
            self._filled_at = now
        self._cells[cell] = None

    def take(self, cells: Iterable[int]) -> tuple[int, ...]:
        """Remove some cells, which are flooded ahead of the rest; return those that were queued."""
        taken = tuple(cell for cell in cells if cell in self._cells)
        for cell in taken:
            del self._cells[cell]
        return taken

    def due(self, *, members: int, changing: bool) -> float | None:
        """Return when the queue is to be flooded, None if it is empty.

        `members` is the number of cells of the UVN; `changing`: a change is under way.
        """
        if not self._cells:
            return None
        if changing:
            return self._filled_at + min(HOLD * members, MAX_HOLD)
        if self._flooded_at is None:
            return self._filled_at
        return max(self._filled_at, self._flooded_at + min(PACING * members, MAX_PACING))

    def take_all(self, *, now: float) -> tuple[int, ...]:
        """Remove and return all cells, the first queued one first; the pacing starts at `now`."""
        cells = tuple(self._cells)
        self._cells.clear()
        self._flooded_at = now
        return cells
