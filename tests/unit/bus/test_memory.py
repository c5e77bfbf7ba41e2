"""The bus in memory keeps the contract of `ports.bus`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address
from typing import Any

import pytest

from uno.bus.memory import Impairment, MemoryBus, MemoryNetwork
from uno.diagnostics import UnoError
from uno.model.messages import Envelope, Kind
from uno.ports.bus import (
    FOR_REGISTRY,
    REGISTRY_INDEX,
    Bus,
    BusConfig,
    BusEvent,
    BusPeer,
    Channel,
    Presence,
    Received,
    Topic,
)

STATUS = Channel(Topic.STATUS)
A, B = IPv4Address("10.255.128.1"), IPv4Address("10.255.128.2")


def test_a_late_reader_receives_the_newest_of_each_subject() -> None:
    async def scene() -> list[BusEvent]:
        network = MemoryNetwork()
        writer = joined(network, A)
        for sequence in (1, 2, 3):
            writer.write(STATUS, status(subject=1, sequence=sequence))
        writer.write(STATUS, status(subject=2, sequence=1))

        received: list[BusEvent] = []
        reader = joined(network, B, peers=(A,), received=received)
        reader.subscribe(STATUS)

        await until(lambda: len(received) == 3)
        return received

    received = run(scene())

    assert Presence(STATUS, 1) in received
    assert Received(STATUS, status(subject=1, sequence=3)) in received
    assert Received(STATUS, status(subject=2, sequence=1)) in received


def test_two_nodes_connect_if_one_has_the_other_as_a_peer() -> None:
    async def scene() -> tuple[list[BusEvent], list[BusEvent]]:
        network = MemoryNetwork()
        known, unconnected = list[BusEvent](), list[BusEvent]()
        joined(network, A, received=known).subscribe(STATUS)
        joined(network, B, received=unconnected).subscribe(STATUS)

        joined(network, IPv4Address("10.255.128.3"), peers=(A,)).write(STATUS, status(subject=3))

        await until(lambda: Received(STATUS, status(subject=3)) in known)
        return known, unconnected

    known, unconnected = run(scene())

    assert known == [Presence(STATUS, 1), Received(STATUS, status(subject=3))]
    assert unconnected == []


def test_uvns_and_partitions_are_separate() -> None:
    async def scene() -> list[BusEvent]:
        network, received = MemoryNetwork(), list[BusEvent]()
        reader = joined(network, A, received=received)
        reader.subscribe(STATUS)
        foreign = network.bus()
        foreign.configure(config(B, peers=(A,), tag="other"), ignore)
        foreign.write(STATUS, status(subject=1))
        other = joined(network, IPv4Address("10.255.128.3"), peers=(A,))
        other.write(Channel(Topic.STATUS, FOR_REGISTRY), status(subject=3))
        other.write(STATUS, status(subject=3, sequence=9))

        await until(lambda: len(received) == 2)
        return received

    assert run(scene()) == [Presence(STATUS, 1), Received(STATUS, status(subject=3, sequence=9))]


def test_a_reconnected_node_catches_up() -> None:
    async def scene() -> list[BusEvent]:
        network, received = MemoryNetwork(), list[BusEvent]()
        writer = joined(network, A)
        writer.write(STATUS, status(subject=1, sequence=1))
        joined(network, B, peers=(A,), received=received).subscribe(STATUS)
        await until(lambda: len(received) == 2)
        network.disconnect(A, B)
        writer.write(STATUS, status(subject=1, sequence=2))
        await until(lambda: Presence(STATUS, 0) in received)

        network.reconnect(B, A)

        await until(lambda: len(received) == 5)
        return received[3:]

    assert run(scene()) == [Presence(STATUS, 1), Received(STATUS, status(subject=1, sequence=2))]


def test_a_withdrawn_envelope_is_not_delivered() -> None:
    async def scene() -> list[BusEvent]:
        network, received = MemoryNetwork(), list[BusEvent]()
        writer = joined(network, A)
        writer.write(STATUS, status(subject=1))
        writer.withdraw(STATUS, 1)
        joined(network, B, peers=(A,), received=received).subscribe(STATUS)
        writer.write(Channel(Topic.ACK), status(subject=1))
        joined(network, IPv4Address("10.255.128.3"), peers=(B,)).write(STATUS, status(subject=3))

        await until(lambda: len(received) == 2)
        return received

    assert run(scene()) == [Presence(STATUS, 1), Received(STATUS, status(subject=3))]


def test_another_configuration_keeps_what_was_written_and_subscribed() -> None:
    async def scene() -> tuple[list[BusEvent], list[BusEvent]]:
        network, near, far = MemoryNetwork(), list[BusEvent](), list[BusEvent]()
        joined(network, A, received=far).subscribe(STATUS)
        node = joined(network, B, received=near)
        node.subscribe(STATUS)
        node.write(STATUS, status(subject=2))

        node.configure(config(B, peers=(A,)), near.append)
        await until(lambda: len(far) == 2)
        joined(network, IPv4Address("10.255.128.3"), peers=(B,)).write(STATUS, status(subject=3))
        await until(lambda: len(near) == 2)
        return near, far

    near, far = run(scene())

    assert near == [Presence(STATUS, 1), Received(STATUS, status(subject=3))]
    assert far == [Presence(STATUS, 1), Received(STATUS, status(subject=2))]


def test_an_address_is_for_one_node_but_two_indices_can_share_it() -> None:
    async def scene() -> None:
        network = MemoryNetwork()
        joined(network, A)
        network.bus().configure(config(A, index=REGISTRY_INDEX), ignore)

        with pytest.raises(UnoError, match="in use"):
            joined(network, A)

    run(scene())


def test_a_crash_is_noticed_after_the_lease_and_a_close_at_once() -> None:
    async def scene() -> list[tuple[float, BusEvent]]:
        clock = asyncio.get_running_loop()
        start = clock.time()
        network, received = MemoryNetwork(impairment=Impairment(lease=0.2)), []
        first, second = joined(network, A), joined(network, IPv4Address("10.255.128.3"))
        for node in (first, second):
            node.write(STATUS, status(subject=1))
        reader = network.bus()
        peers = (A, IPv4Address("10.255.128.3"))
        reader.configure(
            config(B, peers=peers), lambda event: received.append((clock.time() - start, event))
        )
        reader.subscribe(STATUS)
        await until(lambda: len(received) == 3)

        first.close()
        await until(lambda: received[-1][1] == Presence(STATUS, 1))
        second.crash()
        await until(lambda: received[-1][1] == Presence(STATUS, 0))
        return received

    *_, closed, crashed = run(scene())

    assert crashed[0] - closed[0] >= 0.19


@pytest.mark.parametrize("seed", range(5))
def test_with_loss_and_reordering_the_newest_arrives_in_order(seed: int) -> None:
    async def scene() -> list[BusEvent]:
        impairment = Impairment(loss=0.5, delay=0.002, reorder=0.5, duplicate=0.5)
        network, received = MemoryNetwork(seed=seed, impairment=impairment), list[BusEvent]()
        writer = joined(network, A)
        joined(network, B, peers=(A,), received=received).subscribe(STATUS)
        for sequence in range(20):
            for subject in (1, 2, 3):
                writer.write(STATUS, status(subject=subject, sequence=sequence))
            await asyncio.sleep(0.001)

        newest = [Received(STATUS, status(subject=subject, sequence=19)) for subject in (1, 2, 3)]
        await until(lambda: all(it in received for it in newest))
        return received

    received = [it.envelope for it in run(scene()) if isinstance(it, Received)]

    for subject in (1, 2, 3):
        sequences = [it.sequence for it in received if it.subject == subject]
        assert sequences == sorted(sequences)


def test_envelopes_may_be_delivered_again() -> None:
    async def scene() -> list[BusEvent]:
        network, received = MemoryNetwork(), list[BusEvent]()
        joined(network, A).write(STATUS, status(subject=1))
        joined(network, B, peers=(A,), received=received).subscribe(STATUS)
        await until(lambda: len(received) == 2)

        network.redeliver()

        await until(lambda: len(received) == 3)
        return received

    assert run(scene())[-1] == Received(STATUS, status(subject=1))


def test_a_node_that_rejoins_receives_everything_again() -> None:
    async def scene() -> list[BusEvent]:
        network, received = MemoryNetwork(), list[BusEvent]()
        joined(network, A).write(STATUS, status(subject=1))
        reader = joined(network, B, peers=(A,), received=received)
        reader.subscribe(STATUS)
        await until(lambda: len(received) == 2)

        reader.rejoin()

        await until(lambda: len(received) == 3)
        return received

    assert run(scene())[1:] == 2 * [Received(STATUS, status(subject=1))]


def test_the_bus_in_memory_implements_the_port() -> None:
    bus: Bus = MemoryNetwork().bus()

    bus.close()


def status(*, subject: int, sequence: int = 1) -> Envelope:
    return Envelope(
        subject=subject,
        kind=Kind.STATUS,
        sequence=sequence,
        relayed_by=subject,
        body=b"{}",
        signature=b"",
    )


def config(
    address: IPv4Address,
    *,
    peers: tuple[IPv4Address, ...] = (),
    tag: str = "uvn",
    index: int = 0,
) -> BusConfig:
    return BusConfig(
        domain=46, address=address, tag=tag, index=index, peers=tuple(BusPeer(it) for it in peers)
    )


def joined(
    network: MemoryNetwork,
    address: IPv4Address,
    *,
    peers: tuple[IPv4Address, ...] = (),
    received: list[BusEvent] | None = None,
) -> MemoryBus:
    bus = network.bus()
    bus.configure(config(address, peers=peers), ignore if received is None else received.append)
    return bus


def ignore(_event: BusEvent) -> None:
    pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def run(scene: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(scene)
