"""What the agent keeps of the network while nobody reads its page: events and measurements. Pure.

Most of the time nothing has happened but that the viewer's own cell has measured again. Then
pictures are compared seldom, as that takes longer than to find it out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

from uno.model.status import CellStatus, CellView, UvnView
from uno.web.events import NetworkEvent, events
from uno.web.picture import Picture
from uno.web.series import RecordedLink, SeriesRecorder, samples

COMPARE_EVERY: Final = 30.0
"""Seconds between two comparisons where only measurements have changed."""


class Journal:
    """The measurements of a day, and what happens between two pictures. For one viewer."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.series = SeriesRecorder()
        self._received: dict[int, tuple[CellStatus | None, float]] = {}
        self._compared: Picture | None = None
        self._compare_at = 0.0
        self._is_restored = False

    def restore(self, recorded: Iterable[RecordedLink]) -> None:
        """Have what an earlier run of the agent has recorded."""
        for each in recorded:
            self.series.restore(each)
        self._is_restored = True

    def measure(self, view: UvnView, *, now: float) -> None:
        """Record what cells have measured, at the monotonic time `now`."""
        for cell in view.cells:
            known = self._received.get(cell.id)
            if known is None or known[0] is not cell.status:
                self._received[cell.id] = cell.status, now
                for link, sample in samples(cell):
                    self.series.note(link, sample, at=now)
        if self._is_restored or len(self._received) > len(view.cells):
            self._is_restored = False
            ids = frozenset(cell.id for cell in view.cells)
            self._received = {id_: it for id_, it in self._received.items() if id_ in ids}
            self.series.keep_only(ids)

    def received_at(self, cell: int) -> float:
        """Return the time at which the status of a cell was first recorded."""
        return self._received[cell][1]

    def happened(self, picture: Picture, *, now: float) -> tuple[NetworkEvent, ...]:
        """Return what has happened since the picture that was compared last."""
        before = self._compared
        if before is not None and now < self._compare_at and _is_alike(before, picture):
            return ()
        self._compared, self._compare_at = picture, now + COMPARE_EVERY
        return events(before, picture) if before is not None else ()


def is_same(cell: CellView, before: CellView) -> bool:
    """Whether nothing was received of a cell meanwhile: its ages are greater, and no more."""
    return (
        cell.status is before.status
        and not (before.age is not None and cell.age is not None and cell.age < before.age)
        and cell.ack is before.ack
        and _contact(cell) == _contact(before)
    )


def _is_alike(before: Picture, after: Picture) -> bool:
    """Whether nothing but measurements of the viewer's own cell is known to differ."""
    was, now = before.view, after.view
    return (
        before.directory is after.directory
        and before.package is after.package
        and _of_all(was) == _of_all(now)
        and len(was.cells) == len(now.cells)
        and all(map(_is_alike_at, was.cells, now.cells))
    )


def _is_alike_at(before: CellView, after: CellView) -> bool:
    if before.id != after.id or _contact(before) != _contact(after):
        return False
    was, now = before.status, after.status
    return was is now or (was is not None and now is not None and _state(was) == _state(now))


def _contact(cell: CellView) -> Hashable:
    return cell.alive, cell.unproven, cell.package, cell.name


def _of_all(view: UvnView) -> Hashable:
    return view.generation, view.registry, view.undone, view.reason


def _state(status: CellStatus) -> Hashable:
    """Return what can be an event at once, without what is measured again and again."""
    return (
        (status.generation, status.staged, str(status.undone or "")),
        (status.problem, status.pending, status.obstacles, status.unproved),
        (status.lans, status.unreachable),
        tuple((link.cell, link.works, link.adjacent, link.mtu) for link in status.links),
        tuple(each.id for each in status.particles if each.is_online),
    )
