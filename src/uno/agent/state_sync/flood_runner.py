"""Executes the commands of `statesync.flooding` on the bus, the disk and the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, assert_never

from uno.agent.state_sync.sequence_file import SequenceFile
from uno.diagnostics import UnoError
from uno.ports.bus import Channel, Topic
from uno.statesync.flooding import (
    Flood,
    Rejoin,
    ReserveSequence,
    StateChanged,
    Subscribe,
    Warn,
    Withdraw,
    Write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from uno.model.messages import Ack, Envelope, Kind
    from uno.model.package import Package
    from uno.model.status import CellStatus
    from uno.ports.bus import Bus, BusEvent, EnvelopeDigest
    from uno.statesync.flooding import Command

_log = logging.getLogger(__name__)


class FloodRunner:
    """Connects a `Flood`, its `state`, to a bus and a clock. For one event loop."""

    def __init__(
        self,
        bus: Bus,
        package: Package,
        *,
        directory: Path,
        clock: Callable[[], float],
        grace: float = 0.0,
    ) -> None:
        """Flood for the cell of `package`, whose files are in `directory`.

        `clock` is monotonic, in seconds; `grace` is as for `Flood`.
        """
        self._bus = bus
        self._clock = clock
        self._file = SequenceFile(directory)
        self._unsent: dict[tuple[Channel, int | None], str] = {}
        self.state = Flood(package, reserved=self._file.read(), grace=grace)

    @property
    def registry_present(self) -> bool:
        """Whether the registry is in contact."""
        return self.state.registry.is_present(now=self._clock())

    @property
    def registry_reachable(self) -> bool:
        """Whether the registry is present, or left less than the grace period ago."""
        return self.state.registry.is_reachable(now=self._clock())

    def had_registry(self, *, within: float) -> bool:
        """Whether the registry is in contact, or was so less than so many seconds ago."""
        return self.state.registry.was_in_contact(within=within, now=self._clock())

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be sent, received or recorded at present."""
        found = (self._file.problem, *self._unsent.values())
        return tuple(dict.fromkeys(each for each in found if each))

    def subscribe(self) -> None:
        """Subscribe to all that concerns the cell and its neighbours."""
        self._execute(self.state.subscribe())

    def follow(self, package: Package) -> None:
        """Use another package of the cell."""
        self._execute(self.state.follow(package, now=self._clock()))

    def restore(self, messages: Iterable[Envelope]) -> None:
        """Accept and flood the registry's messages that an earlier process received."""
        self._execute(self.state.restore(messages, now=self._clock()))

    def receive(self, event: BusEvent) -> bool:
        """Process an event of the bus; return whether it changed the state."""
        commands = self.state.receive(event, now=self._clock())
        self._execute(commands)
        return StateChanged() in commands

    def originate(self, body: CellStatus | Ack, kind: Kind) -> None:
        """Advertise the status, or an acknowledgement, of the cell itself."""
        self._execute(self.state.originate(body, kind, now=self._clock()))

    def send_hello(self) -> None:
        """Give the neighbours, and the registry, a sign of life."""
        self._execute(self.state.send_hello(now=self._clock()))

    def flood_due(self, *, awaiting_confirm: bool) -> float | None:
        """Flood the queue if it is due; return when it is due next, None if it is empty."""
        now = self._clock()
        self._execute(self.state.flood_due(awaiting_confirm=awaiting_confirm, now=now))
        return self.state.next_flood(awaiting_confirm=awaiting_confirm, now=now)

    def _lacks(self, _channel: Channel, digest: EnvelopeDigest) -> bool:
        return self.state.database.lacks(digest, now=self._clock())

    def _use_bus(self, key: tuple[Channel, int | None], call: Callable[[], None]) -> None:
        """Do what can fail without ending the agent: a problem is logged once, and reported."""
        try:
            call()
        except UnoError as error:
            if self._unsent.get(key) != error.what:
                _log.warning("%s", error)
            self._unsent[key] = error.what
        else:
            self._unsent.pop(key, None)

    def _execute(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case Subscribe(channel):
                    subscribe = partial(self._bus.subscribe, channel, self._lacks)
                    self._use_bus((channel, None), subscribe)
                case Write(channel, envelope):
                    key = (channel, envelope.subject)
                    self._use_bus(key, partial(self._bus.write, channel, envelope))
                case Withdraw(channel, subject):
                    self._use_bus((channel, subject), partial(self._bus.withdraw, channel, subject))
                case ReserveSequence(through):
                    self._file.write(through)
                case Warn(complaint):
                    _log.warning("%s", complaint)
                case Rejoin():
                    self._use_bus((Channel(Topic.TRUST), None), self._bus.rejoin)
                case StateChanged():
                    pass
                case _:
                    assert_never(command)
