"""When a cell advertises its status, and floods the statuses of other cells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from uno.model.messages import Kind
from uno.model.status import SESSION_SECONDS
from uno.statesync.timers import REFRESH_INTERVAL

if TYPE_CHECKING:
    from uno.agent.state_sync.flood_runner import FloodRunner
    from uno.model.status import CellStatus


class StatusPublisher:
    """Advertises a significant change at once, and the rest at each refresh. For one event loop."""

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
        self._refresh_due = clock()
        self._queued = asyncio.Event()

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

    async def run_refresh(self) -> None:
        """Advertise the last status at each refresh interval, also while a pass takes long."""
        while True:
            await asyncio.sleep(max(0.0, self._refresh_due - self._clock()))
            if self._refresh_due <= self._clock() and self.status is not None:
                self._publish(self.status)

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
        self._refresh_due = self._clock() + REFRESH_INTERVAL
        self._flood.originate(status, Kind.STATUS)
        self._on_published()


def significant(status: CellStatus) -> Hashable:
    """Return the part of a status whose change is advertised at once.

    Ages, traffic, round-trip times and losses wait for the next refresh. So does the state of a
    session that is not up, and what is staged, which an acknowledgement reports at once.
    """
    return (
        (status.generation, status.registry, status.problem, status.pending, status.obstacles),
        status.proof,
        str(status.undone or ""),
        (status.wireguard, status.version, status.lans, status.reachable, status.unreachable),
        status.unproved,
        tuple(
            (link.interface, link.cell, link.works, link.mtu, _has_session(link.handshake))
            for link in status.links
        ),
        tuple((path.cell, path.answers) for path in status.paths),
        tuple(particle.id for particle in status.particles if particle.is_online),
    )


def _has_session(handshake: int | None) -> bool:
    return handshake is not None and handshake < SESSION_SECONDS
