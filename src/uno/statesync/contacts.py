"""Which cells are in contact, as one node derives it. Pure.

Hellos are between neighbours only. Of any other cell a node knows that it is in contact by what
cells advertise of their neighbours: it follows adjacencies, as a router computes its tree (RFC
2328, section 16.1), and like it takes none whose other end does not have the link. A cell that has
just advertised something is in contact too, until any adjacency is lost. So the death of a cell is
known everywhere as soon as its neighbours have flooded that their links to it are down. Times are
of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import inf

from uno.model.status import CellStatus
from uno.statesync.timers import MAX_AGE

LACKING_AFTER = 5.0
"""Seconds that a status may take longer than the hello that names it."""


class Contacts:
    """The contacts of one node. `own` is its cell, None for the registry."""

    def __init__(self, own: int | None) -> None:
        """Start without contact."""
        self._own = own
        # When a cell's newest message was first received: from the cell itself, and in any way; and
        # when the first was, which may be as old as its cell is gone.
        self._direct: dict[int, float] = {}
        self._newest: dict[int, float] = {}
        self._first: dict[int, float] = {}
        self._down: dict[int, float] = {}
        self._lacking: dict[int, float] = {}
        self._lost: dict[int, float] = {}
        # Cells in contact by their own messages; and those in contact in any way.
        self._near: frozenset[int] = frozenset()
        self._current: frozenset[int] = frozenset()
        self._is_current_until = -inf

    def note_message(self, cell: int, *, now: float) -> None:
        """Note a new message of a cell, whoever relayed it."""
        if cell in self._first:
            self._newest[cell] = now
        self._first.setdefault(cell, now)
        self.recompute()

    def note_direct(self, cell: int, *, received_at: float) -> None:
        """Note that a cell's newest message, first received then, came from the cell itself."""
        if received_at > max(self._direct.get(cell, -inf), self._down.get(cell, -inf)):
            self._direct[cell] = received_at
            self.recompute()

    def note_link_down(self, cell: int, *, now: float) -> None:
        """Note that the link to a neighbour has failed: its earlier messages do not count."""
        self._down[cell] = now
        self._direct.pop(cell, None)
        self._forget_relayed()

    def note_status(self, before: CellStatus | None, after: CellStatus) -> None:
        """Note a newer status of a cell, which may have lost a neighbour."""
        if loses_neighbor(before, after):
            self._forget_relayed()
        self.recompute()

    def _forget_relayed(self) -> None:
        """Have what others relayed count no more: what has failed may have been on its way."""
        self._newest.clear()
        self.recompute()

    def note_named(self, node: int, *, is_here: bool, now: float) -> None:
        """Note whether what a node's hello names as its newest advertisement is here."""
        if is_here:
            self._lacking.pop(node, None)
        else:
            self._lacking.setdefault(node, now)

    def lacking_for(self, node: int, *, now: float) -> float:
        """Return for how many seconds a node's newest advertisement is missing here."""
        return max(0.0, now - self._lacking.get(node, now))

    def adjacent(self, *, now: float) -> frozenset[int]:
        """Return the cells whose own messages arrive, with all that they have advertised."""
        return frozenset(
            cell
            for cell, at in self._direct.items()
            if now - at <= MAX_AGE and self.lacking_for(cell, now=now) <= LACKING_AFTER
        )

    def recompute(self) -> None:
        """Compute the contacts again when they are asked for, as something has changed."""
        self._is_current_until = -inf

    def current(
        self,
        statuses: Callable[[], Mapping[int, CellStatus]],
        members: Collection[int],
        *,
        now: float,
    ) -> frozenset[int]:
        """Return the cells in contact, by the newest `statuses` of all `members`."""
        if now > self._is_current_until:
            times = {cell: self._last_message(cell) for cell in {*self._newest, *self._direct}}
            near = frozenset(cell for cell, at in times.items() if now - at <= MAX_AGE)
            current = reached(near, statuses(), own=self._own)
            self._note_lost(members, current, now)
            self._near, self._current = near, current
            self._is_current_until = min((times[cell] for cell in near), default=inf) + MAX_AGE
        return self._current

    def lost_for(self, cell: int, *, now: float) -> float | None:
        """Return for how many seconds a cell is lost, as computed last; None if it is not."""
        lost_at = self._lost.get(cell)
        return None if lost_at is None else max(0.0, now - lost_at)

    def _last_message(self, cell: int) -> float:
        return max(self._newest.get(cell, -inf), self._direct.get(cell, -inf))

    def _note_lost(self, members: Collection[int], current: frozenset[int], now: float) -> None:
        """Note the cells that are lost: since their last message, or since others lost them."""
        for cell in members:
            if cell in current:
                self._lost.pop(cell, None)
                continue
            last = self._last_message(cell)
            if cell not in self._current:
                last = max(last, self._first.get(cell, -inf))
            elif cell not in self._near:
                last = now
            self._lost.setdefault(cell, now if last == -inf else last)


def loses_neighbor(before: CellStatus | None, after: CellStatus) -> bool:
    """Whether a cell has lost an adjacency since its status `before`."""
    had = {link.cell for link in before.links if link.adjacent} if before else frozenset[int]()
    return any(link.cell in had and not link.adjacent for link in after.links)


def reached(
    start: Collection[int], statuses: Mapping[int, CellStatus], *, own: int | None
) -> frozenset[int]:
    """Return the cells to which adjacencies lead from those in `start`, and `own`.

    What the node itself has advertised does not count: it has newer observations of its neighbours.
    """
    found = {*start, *(() if own is None else (own,))}
    left = [cell for cell in found if cell != own]
    while left:
        cell = left.pop()
        status = statuses.get(cell)
        for link in status.links if status is not None else ():
            if link.adjacent and link.cell not in found and _has_link(statuses, link.cell, cell):
                found.add(link.cell)
                left.append(link.cell)
    return frozenset(found)


def _has_link(statuses: Mapping[int, CellStatus], cell: int, other: int) -> bool:
    status = statuses.get(cell)
    return status is not None and any(link.cell == other for link in status.links)
