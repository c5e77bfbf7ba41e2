"""What the bus in memory promises, which is what `ports.bus` does."""

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


def test_who_comes_later_gets_the_newest_of_each_cell() -> None:
    async def scene() -> list[BusEvent]:
        network = MemoryNetwork()
        writer = joined(network, A)
        for sequence in (1, 2, 3):
            writer.write(STATUS, status(subject=1, sequence=sequence))
        writer.write(STATUS, status(subject=2, sequence=1))

        heard: list[BusEvent] = []
        reader = joined(network, B, peers=(A,), heard=heard)
        reader.subscribe(STATUS)

        await until(lambda: len(heard) == 3)
        return heard

    heard = run(scene())

    assert Presence(STATUS, 1) in heard
    assert Received(STATUS, status(subject=1, sequence=3)) in heard
    assert Received(STATUS, status(subject=2, sequence=1)) in heard


def test_one_peer_of_the_two_is_enough_and_none_is_not() -> None:
    async def scene() -> tuple[list[BusEvent], list[BusEvent]]:
        network = MemoryNetwork()
        known, stranger = list[BusEvent](), list[BusEvent]()
        joined(network, A, heard=known).subscribe(STATUS)
        joined(network, B, heard=stranger).subscribe(STATUS)

        joined(network, IPv4Address("10.255.128.3"), peers=(A,)).write(STATUS, status(subject=3))

        await until(lambda: Received(STATUS, status(subject=3)) in known)
        return known, stranger

    known, stranger = run(scene())

    assert known == [Presence(STATUS, 1), Received(STATUS, status(subject=3))]
    assert stranger == []


def test_nothing_passes_between_uvns_or_partitions() -> None:
    async def scene() -> list[BusEvent]:
        network, heard = MemoryNetwork(), list[BusEvent]()
        reader = joined(network, A, heard=heard)
        reader.subscribe(STATUS)
        foreign = network.bus()
        foreign.configure(config(B, peers=(A,), tag="other"), ignore)
        foreign.write(STATUS, status(subject=1))
        other = joined(network, IPv4Address("10.255.128.3"), peers=(A,))
        other.write(Channel(Topic.STATUS, FOR_REGISTRY), status(subject=3))
        other.write(STATUS, status(subject=3, sequence=9))

        await until(lambda: len(heard) == 2)
        return heard

    assert run(scene()) == [Presence(STATUS, 1), Received(STATUS, status(subject=3, sequence=9))]


def test_what_is_cut_off_catches_up_when_it_is_mended() -> None:
    async def scene() -> list[BusEvent]:
        network, heard = MemoryNetwork(), list[BusEvent]()
        writer = joined(network, A)
        writer.write(STATUS, status(subject=1, sequence=1))
        joined(network, B, peers=(A,), heard=heard).subscribe(STATUS)
        await until(lambda: len(heard) == 2)
        network.disconnect(A, B)
        writer.write(STATUS, status(subject=1, sequence=2))
        await until(lambda: Presence(STATUS, 0) in heard)

        network.reconnect(B, A)

        await until(lambda: len(heard) == 5)
        return heard[3:]

    assert run(scene()) == [Presence(STATUS, 1), Received(STATUS, status(subject=1, sequence=2))]


def test_what_is_withdrawn_comes_to_nobody_any_more() -> None:
    async def scene() -> list[BusEvent]:
        network, heard = MemoryNetwork(), list[BusEvent]()
        writer = joined(network, A)
        writer.write(STATUS, status(subject=1))
        writer.withdraw(STATUS, 1)
        joined(network, B, peers=(A,), heard=heard).subscribe(STATUS)
        writer.write(Channel(Topic.ACK), status(subject=1))
        joined(network, IPv4Address("10.255.128.3"), peers=(B,)).write(STATUS, status(subject=3))

        await until(lambda: len(heard) == 2)
        return heard

    assert run(scene()) == [Presence(STATUS, 1), Received(STATUS, status(subject=3))]


def test_another_configuration_keeps_what_was_written_and_subscribed() -> None:
    async def scene() -> tuple[list[BusEvent], list[BusEvent]]:
        network, near, far = MemoryNetwork(), list[BusEvent](), list[BusEvent]()
        joined(network, A, heard=far).subscribe(STATUS)
        node = joined(network, B, heard=near)
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


def test_who_crashes_is_missed_after_the_lease_and_who_closes_at_once() -> None:
    async def scene() -> list[tuple[float, BusEvent]]:
        clock = asyncio.get_running_loop()
        start = clock.time()
        network, heard = MemoryNetwork(impairment=Impairment(lease=0.2)), []
        first, second = joined(network, A), joined(network, IPv4Address("10.255.128.3"))
        for node in (first, second):
            node.write(STATUS, status(subject=1))
        reader = network.bus()
        peers = (A, IPv4Address("10.255.128.3"))
        reader.configure(
            config(B, peers=peers), lambda event: heard.append((clock.time() - start, event))
        )
        reader.subscribe(STATUS)
        await until(lambda: len(heard) == 3)

        first.close()
        await until(lambda: heard[-1][1] == Presence(STATUS, 1))
        second.crash()
        await until(lambda: heard[-1][1] == Presence(STATUS, 0))
        return heard

    *_, closed, crashed = run(scene())

    assert crashed[0] - closed[0] >= 0.19


@pytest.mark.parametrize("seed", range(5))
def test_in_bad_impairment_the_newest_comes_through(seed: int) -> None:
    async def scene() -> list[BusEvent]:
        impairment = Impairment(loss=0.5, delay=0.002, reorder=0.5, duplicate=0.5)
        network, heard = MemoryNetwork(seed=seed, impairment=impairment), list[BusEvent]()
        writer = joined(network, A)
        joined(network, B, peers=(A,), heard=heard).subscribe(STATUS)
        for sequence in range(20):
            for subject in (1, 2, 3):
                writer.write(STATUS, status(subject=subject, sequence=sequence))
            await asyncio.sleep(0.001)

        newest = [Received(STATUS, status(subject=subject, sequence=19)) for subject in (1, 2, 3)]
        await until(lambda: all(it in heard for it in newest))
        return heard

    heard = [it.envelope for it in run(scene()) if isinstance(it, Received)]

    for subject in (1, 2, 3):
        sequences = [it.sequence for it in heard if it.subject == subject]
        assert sequences == sorted(sequences)


def test_everything_may_come_again() -> None:
    async def scene() -> list[BusEvent]:
        network, heard = MemoryNetwork(), list[BusEvent]()
        joined(network, A).write(STATUS, status(subject=1))
        joined(network, B, peers=(A,), heard=heard).subscribe(STATUS)
        await until(lambda: len(heard) == 2)

        network.redeliver()

        await until(lambda: len(heard) == 3)
        return heard

    assert run(scene())[-1] == Received(STATUS, status(subject=1))


def test_who_joins_anew_gets_everything_again() -> None:
    async def scene() -> list[BusEvent]:
        network, heard = MemoryNetwork(), list[BusEvent]()
        joined(network, A).write(STATUS, status(subject=1))
        reader = joined(network, B, peers=(A,), heard=heard)
        reader.subscribe(STATUS)
        await until(lambda: len(heard) == 2)

        reader.rejoin()

        await until(lambda: len(heard) == 3)
        return heard

    assert run(scene())[1:] == 2 * [Received(STATUS, status(subject=1))]


def test_the_bus_in_memory_is_a_bus() -> None:
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
    heard: list[BusEvent] | None = None,
) -> MemoryBus:
    bus = network.bus()
    bus.configure(config(address, peers=peers), ignore if heard is None else heard.append)
    return bus


def ignore(_event: BusEvent) -> None:
    pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing here tells when it holds
            await asyncio.sleep(0.001)


def run(scene: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(scene)
