"""Of which cells there is news to be passed on, and when: together, since all of it costs.

Pure. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

# Seconds between two rounds, for each cell of the UVN, and at most: what a round costs grows with
# their number, and what comes meanwhile goes with the next.
PAUSE, LONGEST_PAUSE = 0.01, 1.0
# The same while a change is under way, which is more urgent, from when the first has come.
HOLD, LONGEST_HOLD = 0.08, 5.0


class FloodQueue:
    """The cells of which something newer was heard than was passed on."""

    def __init__(self) -> None:
        """Have nothing to pass on."""
        self._cells: dict[int, None] = {}
        self._since = 0.0
        self._emptied: float | None = None

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self._cells)

    def put(self, cell: int, *, now: float) -> None:
        """Have what is newest of a cell go out with all else."""
        if not self._cells:
            self._since = now
        self._cells[cell] = None

    def drop(self, cells: Iterable[int]) -> tuple[int, ...]:
        """Return those of some cells of which there is something: it goes out now."""
        dropped = tuple(cell for cell in cells if cell in self._cells)
        for cell in dropped:
            del self._cells[cell]
        return dropped

    def due(self, *, members: int, busy: bool) -> float | None:
        """Return when all is to go out, None if there is nothing.

        `members` is how many cells the UVN has; `busy` tells whether a change is under way.
        """
        if not self._cells:
            return None
        if busy:
            return self._since + min(HOLD * members, LONGEST_HOLD)
        if self._emptied is None:
            return self._since
        return max(self._since, self._emptied + min(PAUSE * members, LONGEST_PAUSE))

    def empty(self, *, now: float) -> tuple[int, ...]:
        """Return all cells, in the order in which they came: they go out now."""
        cells = tuple(self._cells)
        self._cells.clear()
        self._emptied = now
        return cells
