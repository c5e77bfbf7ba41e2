"""The registry on the bus: in one place, or in several while a change moves the cells to another.

A change of the DDS domain reaches no cell that has missed it, and a cell that rolls back from it
returns to the old one. So the registry is in both until no cell can be in the old one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from uno.diagnostics import UnoError
from uno.model.messages import Envelope
from uno.ports.bus import Bus, BusConfig, BusEvent, Channel, Lacks

_log = logging.getLogger(__name__)


class RegistryBus:
    """`ports.bus.Bus` with a participant for each of several configurations.

    All participants write the same, and what any of them receives is delivered.
    """

    def __init__(self, make: Callable[[], Bus]) -> None:
        """Start without a participant; `make` makes one that has not joined."""
        self._make = make
        self._joined: dict[BusConfig, Bus] = {}
        self._channels: dict[Channel, None] = {}
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._failed: dict[BusConfig, str] = {}

    @property
    def problem(self) -> str:
        """Why the registry is not on the bus in one of its places; empty while it is in all."""
        return next((bus.problem for bus in self._joined.values() if bus.problem), "")

    def configure(
        self,
        config: BusConfig,
        deliver: Callable[[BusEvent], None],
        *,
        also: Sequence[BusConfig] = (),
    ) -> None:
        """Be on the bus with `config`, with those in `also` too, and with no other.

        Raises `UnoError` if that is not possible with `config`. A failure of another one is logged.
        """
        for left in [it for it in self._joined if it != config and it not in also]:
            self._joined.pop(left).close()
        for each in also:
            try:
                self._join(each, deliver)
            except UnoError as error:
                if self._failed.get(each) != str(error):
                    _log.warning("%s", error)
                self._failed[each] = str(error)
            else:
                self._failed.pop(each, None)
        self._join(config, deliver)

    def rejoin(self) -> None:
        """Leave and join again with every configuration. Raises `UnoError`."""
        for bus in self._joined.values():
            bus.rejoin()

    def subscribe(self, channel: Channel, lacks: Lacks | None = None) -> None:  # noqa: ARG002
        """Deliver what is on a channel from now on; no effect if subscribed."""
        self._channels[channel] = None
        for bus in self._joined.values():
            bus.subscribe(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its subject on a channel, without blocking."""
        self._written.setdefault(channel, {})[envelope.subject] = envelope
        for bus in self._joined.values():
            bus.write(channel, envelope)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Withdraw what was written about a subject, so that later readers do not receive it."""
        self._written.get(channel, {}).pop(subject, None)
        for bus in self._joined.values():
            bus.withdraw(channel, subject)

    def close(self) -> None:
        """Leave the bus; other nodes are notified."""
        while self._joined:
            _, bus = self._joined.popitem()
            bus.close()

    def _join(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        if config in self._joined:
            self._joined[config].configure(config, deliver)
            return
        bus = self._make()
        bus.configure(config, deliver)
        for channel in self._channels:
            bus.subscribe(channel)
        for channel, envelopes in self._written.items():
            for envelope in envelopes.values():
                bus.write(channel, envelope)
        self._joined[config] = bus
