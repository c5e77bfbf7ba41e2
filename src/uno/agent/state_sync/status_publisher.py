"""When a cell says how it is, and passes on how others are."""

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
    """Tells what is new at once, what is not every now and then. For one event loop."""

    def __init__(
        self,
        flood: FloodRunner,
        *,
        clock: Callable[[], float],
        told: Callable[[], None],
        on_trial: Callable[[], bool],
    ) -> None:
        """Speak through `flood`, and call `told` whenever the cell has said how it is.

        `clock` is monotonic, in seconds; `on_trial` tells whether the cell is in the middle of a
        change.
        """
        self.status: CellStatus | None = None
        self._flood = flood
        self._clock = clock
        self._note_told = told
        self._on_trial = on_trial
        self._told: object = None
        self._tell_due = clock()
        self._wake = asyncio.Event()

    def report(self, status: CellStatus) -> bool:
        """Tell the others of a status if there is news in it, and return whether there is."""
        self.status = status
        is_news = significant(status) != self._told
        if is_news:
            self._tell(status)
        return is_news

    def stir(self) -> None:
        """See to what there is to pass on."""
        if self._flood.state.queue:
            self._wake.set()

    async def keep_telling(self) -> None:
        """Tell how the cell is every now and then, also while something takes long."""
        while True:
            await asyncio.sleep(max(0.0, self._tell_due - self._clock()))
            if self._tell_due <= self._clock() and self.status is not None:
                self._tell(self.status)

    async def keep_passing_on(self) -> None:
        """Pass on what others said, when it is time."""
        while True:
            due = self._flood.flood_due(awaiting_confirm=self._on_trial())
            rest = None if due is None else max(0.0, due - self._clock())
            try:
                async with asyncio.timeout(rest):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    def _tell(self, status: CellStatus) -> None:
        self._told = significant(status)
        self._tell_due = self._clock() + REFRESH_INTERVAL
        self._flood.originate(status, Kind.STATUS)
        self._note_told()


def significant(status: CellStatus) -> Hashable:
    """Return the part of a status whose change is advertised at once.

    Ages, traffic, round-trip times and losses wait for the next refresh. So does the state of a
    session that is not up, and what is staged, which an acknowledgement reports at once.
    """
    return (
        (status.generation, status.registry, status.problem, status.pending),
        (status.wireguard, status.version, status.lans, status.reachable, status.unreachable),
        tuple(
            (link.interface, link.cell, link.works, link.mtu, _has_session(link.handshake))
            for link in status.links
        ),
        tuple((path.cell, path.answers) for path in status.paths),
        tuple(particle.id for particle in status.particles if particle.is_online),
    )


def _has_session(handshake: int | None) -> bool:
    return handshake is not None and handshake < SESSION_SECONDS
