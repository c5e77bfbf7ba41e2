"""The registry in several DDS domains at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from uno.bus.memory import MemoryBus, MemoryNetwork
from uno.controller.registry_bus import RegistryBus
from uno.diagnostics import UnoError
from uno.model.messages import Envelope, Kind
from uno.ports.bus import REGISTRY_INDEX, BusConfig, BusEvent, BusPeer, Channel, Received, Topic

HERE, THERE = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
OLD = BusConfig(domain=1, address=HERE, tag="uvn", index=REGISTRY_INDEX)
NEW = replace(OLD, domain=2)
UVN, STATUS = Channel(Topic.UVN), Channel(Topic.STATUS)


def envelope(sequence: int, *, subject: int = 0) -> Envelope:
    return Envelope(
        subject=subject,
        kind=Kind.UVN if subject == 0 else Kind.STATUS,
        sequence=sequence,
        relayed_by=subject,
        body=b"",
        signature=b"",
    )


class Cell:
    """A cell in one domain."""

    def __init__(self, network: MemoryNetwork, domain: int) -> None:
        self.received: list[int] = []
        self.bus = network.bus()
        peers = (BusPeer(HERE, REGISTRY_INDEX),)
        self.bus.configure(
            BusConfig(domain=domain, address=THERE, tag="uvn", peers=peers), self._receive
        )
        self.bus.subscribe(UVN)

    def _receive(self, event: BusEvent) -> None:
        if isinstance(event, Received):
            self.received.append(event.envelope.sequence)


def play(scene: Callable[[MemoryNetwork], object]) -> None:
    async def run() -> None:
        result = scene(MemoryNetwork())
        assert asyncio.iscoroutine(result)
        await result

    asyncio.run(run())


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_it_reaches_and_receives_from_cells_in_the_old_and_the_new_domain() -> None:
    async def scene(network: MemoryNetwork) -> None:
        received: list[int] = []

        def deliver(event: BusEvent) -> None:
            if isinstance(event, Received):
                received.append(event.envelope.sequence)

        bus = RegistryBus(network.bus)
        bus.subscribe(STATUS)
        bus.configure(OLD, deliver)
        bus.write(UVN, envelope(1))
        behind, ahead = Cell(network, 1), Cell(network, 2)
        await settle()
        assert (behind.received, ahead.received) == ([1], [])

        bus.configure(NEW, deliver, also=(OLD,))
        await settle()
        assert (behind.received, ahead.received) == ([1], [1]), "what was written is repeated"
        bus.write(UVN, envelope(2))
        behind.bus.write(STATUS, envelope(7, subject=1))
        ahead.bus.write(STATUS, envelope(8, subject=2))
        await settle()
        assert (behind.received, ahead.received) == ([1, 2], [1, 2])
        assert sorted(received) == [7, 8]

        bus.configure(NEW, deliver)
        bus.write(UVN, envelope(3))
        await settle()
        assert (behind.received, ahead.received) == ([1, 2], [1, 2, 3])

        bus.withdraw(UVN, 0)
        bus.configure(OLD, deliver)
        await settle()
        assert behind.received == [1, 2]
        bus.close()

    play(scene)


def test_a_domain_that_it_cannot_be_in_as_well_is_reported_and_one_that_it_needs_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(network: MemoryNetwork) -> None:
        made: list[MemoryBus] = []

        def make() -> MemoryBus:
            made.append(network.bus())
            return made[-1]

        taken = network.bus()
        taken.configure(OLD, lambda _: None)
        bus = RegistryBus(make)

        for _ in range(2):
            bus.configure(NEW, lambda _: None, also=(OLD,))
        assert caplog.text.count("the address 10.0.0.1 is in use") == 1
        with pytest.raises(UnoError, match="is in use"):
            bus.configure(OLD, lambda _: None)

        taken.close()
        bus.configure(OLD, lambda _: None)
        bus.rejoin()

    play(scene)
