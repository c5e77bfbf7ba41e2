"""The statuses that a cell has received and not flooded yet, and when they are due. Pure.

A flood costs much the same for one status as for many, so they are flooded together. Times are of
a monotonic clock, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

# Seconds between two floods: per member of the UVN, and the maximum. The cost of a flood grows
# with the members.
PACING, MAX_PACING = 0.01, 1.0
# Seconds that statuses are held during a change, whose messages go first: per member, the maximum.
HOLD, MAX_HOLD = 0.08, 5.0
# Seconds between two floods of what is urgent.
URGENT_PACING = 0.1


class FloodQueue:
    """The cells whose newest status is to be flooded.

    Urgent is the loss of a neighbour: what all cells derive of the others follows from it. It waits
    neither for the pacing of the rest, nor for a change.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._cells: dict[int, None] = {}
        self._urgent: dict[int, None] = {}
        self._filled_at = self._urgent_at = 0.0
        self._flooded_at: float | None = None

    def __bool__(self) -> bool:
        """Whether there is a status to flood."""
        return bool(self._cells or self._urgent)

    def put(self, cell: int, *, now: float, is_urgent: bool = False) -> None:
        """Queue the status of a cell, whichever is the newest when the queue is flooded."""
        if is_urgent or cell in self._urgent:
            self._cells.pop(cell, None)
            if not self._urgent:
                self._urgent_at = now
            self._urgent[cell] = None
            return
        if not self._cells:
            self._filled_at = now
        self._cells[cell] = None

    def take(self, cells: Iterable[int]) -> tuple[int, ...]:
        """Remove some cells, which are flooded ahead of the rest; return those that were queued."""
        taken = tuple(cell for cell in cells if cell in self._cells or cell in self._urgent)
        for cell in taken:
            self._cells.pop(cell, None)
            self._urgent.pop(cell, None)
        return taken

    def due(self, *, members: int, changing: bool) -> float | None:
        """Return when something is to be flooded, None if nothing is queued.

        `members` is the number of cells of the UVN; `changing`: a change is under way.
        """
        times = (self._urgent_due(), self._due(members, changing=changing))
        return min((at for at in times if at is not None), default=None)

    def _urgent_due(self) -> float | None:
        if not self._urgent:
            return None
        return max(self._urgent_at, self._after_flood(URGENT_PACING))

    def _due(self, members: int, *, changing: bool) -> float | None:
        if not self._cells:
            return None
        if changing:
            return self._filled_at + min(HOLD * members, MAX_HOLD)
        return max(self._filled_at, self._after_flood(min(PACING * members, MAX_PACING)))

    def _after_flood(self, pause: float) -> float:
        return -math.inf if self._flooded_at is None else self._flooded_at + pause

    def take_due(self, *, members: int, changing: bool, now: float) -> tuple[int, ...]:
        """Remove and return the cells that are due at `now`, urgent ones first.

        The pacing starts at `now`. `members` and `changing` are as for `due`.
        """
        due = self._due(members, changing=changing)
        urgent_due = self._urgent_due()
        taken: list[int] = []
        if urgent_due is not None and urgent_due <= now:
            taken += self._urgent
            self._urgent.clear()
        if due is not None and due <= now:
            taken += self._cells
            self._cells.clear()
        if taken:
            self._flooded_at = now
        return tuple(taken)
