"""When a cell advertises its status, sends a hello, and floods the statuses of other cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from uno.model.messages import Kind
from uno.model.status import SESSION_SECONDS
from uno.statesync.state_database import advertised
from uno.statesync.timers import HELLO_INTERVAL, REFRESH_INTERVAL, WATCHED_INTERVAL

if TYPE_CHECKING:
    from uno.agent.state_sync.flood_runner import FloodRunner
    from uno.model.status import CellStatus


class StatusPublisher:
    """Advertises a significant change at once, and the rest at each refresh. For one event loop.

    The rest, what the cell measures, is refreshed often only while someone watches the UVN.
    """

    def __init__(
        self,
        flood: FloodRunner,
        *,
        clock: Callable[[], float],
        on_published: Callable[[], None],
        awaiting_confirm: Callable[[], bool],
    ) -> None:
        """Advertise through `flood`, and call `on_published` after each advertisement.

        `clock` is monotonic, in seconds; `awaiting_confirm`: the cell has a pending commit.
        """
        self.status: CellStatus | None = None
        self._flood = flood
        self._clock = clock
        self._on_published = on_published
        self._awaiting_confirm = awaiting_confirm
        self._published: Hashable = None
        self._published_at = self._sent_at = clock()
        self._queued = asyncio.Event()
        self._watched = asyncio.Event()

    def update(self, status: CellStatus) -> bool:
        """Set the status; advertise it if it has changed significantly, and return whether."""
        self.status = status
        is_changed = significant(status) != self._published
        if is_changed:
            self._publish(status)
        return is_changed

    def wake_flooding(self) -> None:
        """Have `run_flooding` check the queue, to which a status may have been added."""
        if self._flood.state.has_waiting:
            self._queued.set()

    def wake_refresh(self) -> None:
        """Have `run_refresh` check whether a refresh is due, as someone may watch the UVN."""
        age = self._clock() - self._published_at
        if age >= WATCHED_INTERVAL and self._flood.state.is_watched(now=self._clock()):
            self._watched.set()

    async def run_refresh(self) -> None:
        """Advertise the last status, or send a hello, when it is due, also while a pass is long."""
        while True:
            self._watched.clear()
            due = self._sent_at + HELLO_INTERVAL
            self._refresh(is_hello_due=self._clock() >= due)
            due = max(self._sent_at + HELLO_INTERVAL, self._clock())
            try:
                async with asyncio.timeout(max(0.0, due - self._clock())):
                    await self._watched.wait()
            except TimeoutError:
                continue

    def _refresh(self, *, is_hello_due: bool) -> None:
        state, now = self._flood.state, self._clock()
        if self.status is None:
            self._sent_at = max(self._sent_at, now - HELLO_INTERVAL + 1)
            return
        interval = WATCHED_INTERVAL if state.is_watched(now=now) else REFRESH_INTERVAL
        is_due = now - self._published_at >= interval
        if is_due or (is_hello_due and state.is_overlooked(now=now)):
            self._publish(self.status)
        elif is_hello_due:
            self._sent_at = now
            self._flood.send_hello()

    async def run_flooding(self) -> None:
        """Flood the queue each time that it is due."""
        while True:
            due = self._flood.flood_due(awaiting_confirm=self._awaiting_confirm())
            timeout = None if due is None else max(0.0, due - self._clock())
            try:
                async with asyncio.timeout(timeout):
                    await self._queued.wait()
            except TimeoutError:
                continue
            self._queued.clear()

    def _publish(self, status: CellStatus) -> None:
        self._published = significant(status)
        self._published_at = self._sent_at = self._clock()
        is_watched = status.watched or self._flood.state.is_watched(now=self._clock())
        self._flood.originate(advertised(status, watched=is_watched), Kind.STATUS)
        self._on_published()


def significant(status: CellStatus) -> Hashable:
    """Return the part of a status whose change is advertised at once.

    Ages, traffic, round-trip times and losses wait for the next refresh. So does the state of a
    session that is not up, and what is staged, which an acknowledgement reports at once.
    """
    return (
        (status.generation, status.registry, status.problem, status.pending, status.obstacles),
        (status.proof, status.notified, status.muted_until),
        str(status.undone or ""),
        (status.wireguard, status.version, status.lans, status.unreachable, status.watched),
        status.unproved,
        tuple(
            (
                (link.interface, link.cell, link.works, link.adjacent, link.mtu),
                _has_session(link.handshake),
            )
            for link in status.links
        ),
        tuple(particle.id for particle in status.particles if particle.is_online),
    )


def _has_session(handshake: int | None) -> bool:
    return handshake is not None and handshake < SESSION_SECONDS
