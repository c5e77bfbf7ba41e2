"""When a cell advertises its status, sends a hello, and floods the statuses of other cells."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from uno.model.messages import Kind
from uno.model.status import SESSION_SECONDS
from uno.statesync.flap_damping import FlapDamping
from uno.statesync.state_database import advertised
from uno.statesync.timers import HELLO_INTERVAL, REFRESH_INTERVAL, WATCHED_INTERVAL

if TYPE_CHECKING:
    from uno.agent.state_sync.flood_runner import FloodRunner
    from uno.model.status import CellStatus


class StatusPublisher:
    """Advertises a significant change at once, and the rest at each refresh. For one event loop.

    What flaps waits (`statesync.flap_damping`), unless people or the registry have caused it. The
    rest, what the cell measures, is refreshed often only while someone watches the UVN.
    """

    def __init__(
        self,
        flood: FloodRunner,
        *,
        clock: Callable[[], float],
        on_published: Callable[[], None],
        awaiting_confirm: Callable[[], bool],
    ) -> None:
        """Advertise through `flood`, and call `on_published` after each change and advertisement.

        `clock` is monotonic, in seconds; `awaiting_confirm`: the cell has a pending commit.
        """
        self.status: CellStatus | None = None
        self._flood = flood
        self._clock = clock
        self._on_published = on_published
        self._awaiting_confirm = awaiting_confirm
        self._published: Hashable = None
        self._damping = FlapDamping()
        self._held_until: float | None = None
        self._published_at = self._sent_at = clock()
        self._queued = asyncio.Event()
        self._wake = asyncio.Event()

    def update(self, status: CellStatus) -> bool:
        """Set the status; advertise it if it has changed significantly, and return whether."""
        before, self.status = self.status, status
        if significant(status) == self._published:
            self._held_until = None
            return False
        opens_at = self._damping.opens_at(now=self._clock())
        is_caused = before is None or caused(status) != caused(before)
        if opens_at <= self._clock() or is_caused or self._awaiting_confirm():
            self._publish(status)
            return True
        self._held_until = opens_at
        self._wake.set()
        self._on_published()
        return False

    def wake_flooding(self) -> None:
        """Have `run_flooding` check the queue, to which a status may have been added."""
        if self._flood.state.has_waiting:
            self._queued.set()

    def wake_refresh(self) -> None:
        """Have `run_refresh` check whether a refresh is due, as someone may watch the UVN."""
        age = self._clock() - self._published_at
        if age >= WATCHED_INTERVAL and self._flood.state.is_watched(now=self._clock()):
            self._wake.set()

    async def run_refresh(self) -> None:
        """Advertise the last status, or send a hello, when it is due, also while a pass is long."""
        while True:
            self._wake.clear()
            due = self._sent_at + HELLO_INTERVAL
            self._refresh(is_hello_due=self._clock() >= due)
            due = min(self._sent_at + HELLO_INTERVAL, self._held_until or math.inf)
            try:
                async with asyncio.timeout(max(0.0, due - self._clock())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _refresh(self, *, is_hello_due: bool) -> None:
        state, now = self._flood.state, self._clock()
        if self.status is None:
            self._sent_at = max(self._sent_at, now - HELLO_INTERVAL + 1)
            return
        interval = WATCHED_INTERVAL if state.is_watched(now=now) else REFRESH_INTERVAL
        is_due = now - self._published_at >= interval
        if self._held_until is not None:
            is_due = is_due or self._held_until <= now
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
        if significant(status) != self._published:
            self._damping.note_advertised(now=self._clock())
        self._published, self._held_until = significant(status), None
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


def caused(status: CellStatus) -> Hashable:
    """Return the part of a status that changes only because of a person or of the registry."""
    return (
        (status.generation, status.pending, status.proof, str(status.undone or "")),
        (status.version, status.watched, status.muted_until),
    )


def _has_session(handshake: int | None) -> bool:
    return handshake is not None and handshake < SESSION_SECONDS
