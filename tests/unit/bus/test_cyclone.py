"""Cyclone DDS in processes of its own: real participants on the loopback interface."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sys
from functools import partial
from ipaddress import IPv4Address
from threading import Event
from typing import Any

import pytest
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import annotations as idl_annotations
from cyclonedds.idl import make_idl_struct, types
from cyclonedds.pub import DataWriter, Publisher
from cyclonedds.topic import Topic as DdsTopic

from bus_scenes import envelope, footprint, ignore, run, until
from free_domains import free_domain, is_free
from uno.bus import cyclone, wire
from uno.bus.cyclone import CycloneSession
from uno.bus.cyclone_config import xml
from uno.bus.dds import DdsBus
from uno.bus.in_process import InProcess
from uno.bus.separate import SeparateSessions
from uno.cli.middleware import start_child
from uno.diagnostics import UnoError
from uno.model.messages import BODY_LIMIT, Envelope, Kind
from uno.ports.bus import (
    RELAY,
    BusConfig,
    BusEvent,
    BusPeer,
    Channel,
    Presence,
    Received,
    Topic,
    offers_for,
    ports,
)

STATUS = Channel(Topic.STATUS)
LOOPBACK = IPv4Address("127.0.0.1")
CHANCE = random.Random()  # noqa: S311 - not for security


def test_agents_discover_each_other_and_a_late_reader_receives_the_newest(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, _ = agents.join(0)
            for sequence in (1, 2, 3):
                registry.write(STATUS, envelope(subject=1, sequence=sequence))
            registry.write(STATUS, envelope(subject=2))

            cell, received = agents.join(1, peers=(0,))
            cell.subscribe(STATUS)
            await until(lambda: len(received) == 3)

            assert received[0] == Presence(STATUS, 1)
            assert Received(STATUS, envelope(subject=1, sequence=3)) in received
            assert Received(STATUS, envelope(subject=2)) in received

    run(scene())


def test_an_agent_without_peers_is_discovered_by_those_that_have_it_as_a_peer(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, received = agents.join(0)
            registry.subscribe(STATUS)

            cell, _ = agents.join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))

            await until(lambda: Received(STATUS, envelope(subject=1)) in received)

    run(scene())


def test_an_agent_does_not_receive_its_own_samples_or_other_partitions(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            first, received = agents.join(0)
            first.subscribe(STATUS)
            first.write(STATUS, envelope(subject=1))
            second, _ = agents.join(1, peers=(0,))
            second.write(Channel(Topic.STATUS, RELAY), envelope(subject=1))
            second.write(STATUS, envelope(subject=2))

            await until(lambda: len(received) == 2)

            assert received == [Presence(STATUS, 1), Received(STATUS, envelope(subject=2))]

    run(scene())


@pytest.mark.parametrize("size", [300_000, 1_000_000, BODY_LIMIT])
def test_a_package_of_any_size_is_delivered(domain: int, size: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, _ = agents.join(0)
            cell, received = agents.join(1, peers=(0,))
            cell.subscribe(offers_for(1))
            offer = envelope(subject=1, kind=Kind.OFFER, body=CHANCE.randbytes(size))

            registry.write(offers_for(1), offer)

            await until(lambda: Received(offers_for(1), offer) in received)

    run(scene())


def test_an_older_copy_from_a_slow_neighbour_does_not_replace_the_newest(domain: int) -> None:
    relayed, busy = Channel(Topic.STATUS, RELAY), Event()

    async def scene() -> None:
        async with Agents(domain) as agents:
            hub, received = agents.join(0)
            hub.subscribe(relayed)
            ahead, _ = agents.join(1, peers=(0,))
            behind, _ = agents.join(2, peers=(0,))
            for neighbour in (ahead, behind):
                neighbour.write(relayed, envelope(subject=9))
            await until(lambda: sum(isinstance(each, Received) for each in received) == 2)

            # The event loop takes nothing meanwhile: this coroutine does not yield.
            for neighbour, sequence in ((ahead, 3), (ahead, 5), (behind, 4)):
                neighbour.write(relayed, envelope(subject=9, sequence=sequence))
                busy.wait(0.2)
            await until(lambda: Received(relayed, envelope(subject=9, sequence=4)) in received)

            assert Received(relayed, envelope(subject=9, sequence=5)) in received

    run(scene())


def test_a_larger_body_is_refused(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, _ = agents.join(0)

            with pytest.raises(UnoError, match="too large for the bus"):
                registry.write(STATUS, envelope(subject=1, body=bytes(BODY_LIMIT + 1)))

    run(scene())


def test_another_configuration_keeps_what_was_written_and_subscribed(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, at_registry = agents.join(0)
            registry.subscribe(STATUS)
            registry.write(STATUS, envelope(subject=9))
            cell, at_cell = agents.join(1)
            cell.subscribe(STATUS)
            cell.write(STATUS, envelope(subject=1, sequence=7))

            cell.configure(agents.config(1, peers=(0,)), at_cell.append)

            await until(lambda: Received(STATUS, envelope(subject=1, sequence=7)) in at_registry)
            await until(lambda: Received(STATUS, envelope(subject=9)) in at_cell)

    run(scene())


def test_a_new_configuration_is_not_reported_as_an_outage(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, _ = agents.join(0)
            registry.write(STATUS, envelope(subject=9))
            cell, received = agents.join(1, peers=(0,))
            cell.subscribe(STATUS)
            await until(lambda: len(received) == 2)

            cell.configure(agents.config(1, peers=(0, 2)), received.append)
            await until(lambda: len(received) == 3)

            assert received[2] == Received(STATUS, envelope(subject=9))

    run(scene())


def test_the_same_configuration_changes_nothing_and_fifty_others_leave_nothing(
    domain: int,
) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, received = agents.join(0)
            registry.subscribe(STATUS)
            cell, _ = agents.join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)
            pid = agents.pid(cell)
            before = footprint(), footprint(pid)
            cell.configure(agents.config(1, peers=(0,)), ignore)
            assert (footprint(), footprint(pid)) == before

            for turn in range(50):
                cell.configure(agents.config(1, peers=(0, 2 + turn)), ignore)
                cell.write(STATUS, envelope(subject=1, sequence=turn + 2))
                await until(
                    partial(
                        received.__contains__,
                        Received(STATUS, envelope(subject=1, sequence=turn + 2)),
                    )
                )

            assert agents.pid(cell) == pid
            assert (footprint(), footprint(pid)) == before

    before = footprint()
    run(scene())

    assert footprint() == before


def test_an_agent_that_rejoins_receives_and_writes_everything_again(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, at_registry = agents.join(0)
            cell, at_cell = agents.join(1, peers=(0,))
            for bus in (registry, cell):
                bus.subscribe(STATUS)
                bus.write(STATUS, envelope(subject=1))
            await until(lambda: len(at_registry) == 2 and len(at_cell) == 2)

            cell.rejoin()

            again = Received(STATUS, envelope(subject=1))
            await until(lambda: at_cell.count(again) == 2 and at_registry.count(again) == 2)

    run(scene())


def test_a_late_reader_does_not_receive_what_is_withdrawn(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, _ = agents.join(0)
            for subject in (1, 2):
                registry.write(STATUS, envelope(subject=subject))
            registry.write(offers_for(1), envelope(subject=1))
            registry.withdraw(STATUS, 1)
            registry.withdraw(offers_for(1), 1)

            cell, received = agents.join(1, peers=(0,))
            cell.subscribe(offers_for(1))
            cell.subscribe(STATUS)
            await until(lambda: len(received) == 2)
            assert received == [Presence(STATUS, 1), Received(STATUS, envelope(subject=2))]

            registry.write(STATUS, envelope(subject=1, sequence=2))
            await until(lambda: received[2:] == [Received(STATUS, envelope(subject=1, sequence=2))])

    run(scene())


def test_an_agent_that_leaves_is_noticed_at_once(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, received = agents.join(0)
            registry.subscribe(STATUS)
            cell, _ = agents.join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            cell.close()

            await until(lambda: received[2:] == [Presence(STATUS, 0)], seconds=2)

    run(scene())


KILLED = """
import asyncio
from ipaddress import IPv4Address
from uno.cli.middleware import make_bus
from uno.model.messages import Envelope
from uno.model.plan import BusPlan
from uno.ports.bus import BusConfig, BusPeer, Channel, Topic

async def main():
    bus, home = make_bus(BusPlan(), environ={{}}), IPv4Address("127.0.0.1")
    config = BusConfig(domain={domain}, address=home, tag="uvn", index=1, peers=(BusPeer(home),))
    bus.configure(config, print)
    bus.write(
        Channel(Topic.STATUS),
        Envelope(subject=1, kind=2, sequence=1, relayed_by=1, body=b"", signature=b""),
    )
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_killed_agent_is_noticed_after_the_lease(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, received = agents.join(0)
            registry.subscribe(STATUS)
            cell = await asyncio.create_subprocess_exec(
                sys.executable, "-c", KILLED.format(domain=domain)
            )
            await until(lambda: len(received) == 2)

            cell.kill()
            await cell.wait()

            await until(lambda: received[2:] == [Presence(STATUS, 0)])

    run(scene())


STOPPED = """
import asyncio
from ipaddress import IPv4Address
from uno.bus.cyclone import CycloneSession
from uno.bus.dds import DdsBus
from uno.bus.in_process import InProcess
from uno.model.messages import Envelope
from uno.ports.bus import BusConfig, BusPeer, Channel, Received, Topic

async def main():
    bus, home = DdsBus(InProcess(CycloneSession)), IPv4Address("127.0.0.1")
    status = Channel(Topic.STATUS)

    def answer(event):
        if isinstance(event, Received):
            bus.write(
                status,
                Envelope(subject=2, kind=2, sequence=1, relayed_by=1, body=b"", signature=b""),
            )

    config = BusConfig(domain={domain}, address=home, tag="uvn", index=1, peers=(BusPeer(home),))
    bus.configure(config, answer)
    bus.subscribe(status)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_an_agent_leaves_while_another_acknowledges_nothing(
    domain: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, received = agents.join(0)
            registry.subscribe(STATUS)
            registry.write(STATUS, envelope(subject=1))
            cell = await asyncio.create_subprocess_exec(
                sys.executable, "-c", STOPPED.format(domain=domain)
            )
            try:
                await until(lambda: any(isinstance(each, Received) for each in received))
                cell.send_signal(signal.SIGSTOP)
                registry.write(STATUS, envelope(subject=1, sequence=2))

                registry.close()
            finally:
                cell.kill()
                await cell.wait()

    run(scene())

    assert caplog.text == ""


def test_noise_at_the_ports_does_no_harm_and_is_logged_once(
    domain: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> list[BusEvent]:
        async with Agents(domain) as agents:
            registry, received = agents.join(0)
            registry.subscribe(STATUS)
            await agents.opened(0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relayed_by:
                for turn in range(10_000):
                    start = CHANCE.choice((b"", b"RTPS", b"RTPS\x02\x05\x01\x10"))
                    noise = start + CHANCE.randbytes(CHANCE.randrange(1400))
                    relayed_by.sendto(noise, (str(LOOPBACK), ports(domain, 0)[turn % 2]))
                    if turn % 100 == 0:
                        await asyncio.sleep(0)

            cell, _ = agents.join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) >= 2 and bool(caplog.records))
            return received

    received = run(scene())

    assert received == [Presence(STATUS, 1), Received(STATUS, envelope(subject=1))]
    assert capfd.readouterr().err == ""
    assert 1 <= len(caplog.records) < 10


def test_an_envelope_of_a_newer_version_with_one_more_member_is_accepted(domain: int) -> None:
    newer: Any = idl_annotations.mutable(
        make_idl_struct(
            "Newer",
            "uno.Envelope",
            {
                "subject": types.uint32,
                "kind": types.uint16,
                "hops": types.uint32,
                "sequence": types.uint64,
                "relayed_by": types.uint32,
                "body": types.sequence[types.uint8],  # type: ignore[misc]
                "signature": types.sequence[types.uint8, 64],  # type: ignore[misc]
            },
            field_annotations={
                name: {"id": number} | ({"key": True} if number == 1 else {})
                for name, number in {
                    "subject": 1, "kind": 2, "hops": 7, "sequence": 3, "relayed_by": 4, "body": 5,
                    "signature": 6,
                }.items()
            },
        )
    )  # fmt: skip

    async def scene() -> None:
        async with Agents(domain) as agents:
            cell, received = agents.join(0)
            cell.subscribe(STATUS)
            theirs = Domain(200, xml(agents.config(1, peers=(0,))))
            participant = DomainParticipant(200)
            topic = DdsTopic(participant, STATUS.topic.value, newer, qos=cyclone._QOS)
            publisher = Publisher(participant, qos=cyclone._partition(STATUS))
            writer = DataWriter(publisher, topic, qos=cyclone._WRITER_QOS)
            writer.write(newer(1, 2, 99, 1, 1, b"{}", bytes(64)))

            await until(lambda: Received(STATUS, envelope(subject=1)) in received)
            for entity in (writer, publisher, topic, participant, theirs):
                entity.__del__()

    run(scene())


def test_a_malformed_sample_is_dropped_and_logged_once(
    domain: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable(_data: bytes) -> Envelope:
        raise wire.MalformedSample("as another DDS may send it")

    async def scene() -> None:
        async with Agents(domain) as agents:
            agents.separate = False
            registry, received = agents.join(0)
            registry.subscribe(STATUS)
            cell, _ = agents.join(1, peers=(0,))
            with monkeypatch.context() as patched:
                patched.setattr(wire, "decode", unreadable)
                for subject in range(20):
                    cell.write(STATUS, envelope(subject=subject))
                await until(lambda: bool(caplog.records))
            cell.write(STATUS, envelope(subject=99))

            await until(lambda: Received(STATUS, envelope(subject=99)) in received)

    run(scene())

    assert [it.getMessage() for it in caplog.records] == [
        "received malformed messages on uno/status"
    ]


def test_a_slow_event_loop_receives_the_newest_and_not_all(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            registry, _ = agents.join(0)
            cell, received = agents.join(1, peers=(0,))
            cell.subscribe(STATUS)
            registry.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            # No other task runs during this loop.
            for sequence in range(2, 2002):
                registry.write(STATUS, envelope(subject=1, sequence=sequence))
            await until(lambda: Received(STATUS, envelope(subject=1, sequence=2001)) in received)

            assert len(received) < 1000

    run(scene())


def test_an_address_that_the_host_does_not_have_is_an_error(domain: int) -> None:
    async def scene() -> None:
        config = BusConfig(domain=domain, address=IPv4Address("192.0.2.77"), tag="uvn")
        with pytest.raises(UnoError, match=r"no interface of this host has .* 192\.0\.2\.77"):
            made_bus().configure(config, ignore)

    run(scene())


def test_the_error_of_a_second_agent_names_the_port_in_use(domain: int) -> None:
    async def scene() -> None:
        async with Agents(domain) as agents:
            agents.join(0)
            await agents.opened(0)

            with pytest.raises(UnoError, match=f"UDP port {ports(domain, 0)[0]} is in use"):
                agents.join(0)

    run(scene())


def test_closing_twice_or_before_joining_is_no_error(domain: int) -> None:
    async def scene() -> None:
        bus = made_bus()
        bus.close()
        bus.rejoin()
        bus.configure(config_of(domain, 0), ignore)
        bus.close()
        bus.close()

    run(scene())


class Agents:
    """Buses of one UVN on the loopback interface, with distinct indices."""

    def __init__(self, domain: int) -> None:
        self.domain = domain
        self.buses: list[DdsBus] = []
        self.sessions: dict[DdsBus, SeparateSessions] = {}
        self.separate = True

    async def __aenter__(self) -> Agents:
        return self

    async def __aexit__(self, *_: object) -> None:
        for bus in self.buses:
            bus.close()

    def config(self, index: int, *, peers: tuple[int, ...] = ()) -> BusConfig:
        return config_of(self.domain, index, peers=peers)

    async def opened(self, index: int) -> None:
        """Wait until the process of a bus has opened its ports."""
        await until(lambda: not any(is_free(port) for port in ports(self.domain, index)))

    def pid(self, bus: DdsBus) -> int:
        """Return the id of the process that a bus has at present."""
        found = self.sessions[bus].pid
        assert found is not None
        return found

    def join(self, index: int, *, peers: tuple[int, ...] = ()) -> tuple[DdsBus, list[BusEvent]]:
        sessions = SeparateSessions(partial(start_child, {}))
        bus = DdsBus(sessions if self.separate else InProcess(CycloneSession))
        received = list[BusEvent]()
        self.sessions[bus] = sessions
        bus.configure(self.config(index, peers=peers), received.append)
        self.buses.append(bus)
        return bus, received


def made_bus() -> DdsBus:
    return DdsBus(SeparateSessions(partial(start_child, {})))


def config_of(domain: int, index: int, *, peers: tuple[int, ...] = ()) -> BusConfig:
    return BusConfig(
        domain=domain,
        address=LOOPBACK,
        tag="uvn",
        index=index,
        peers=tuple(BusPeer(LOOPBACK, peer) for peer in peers),
    )


@pytest.fixture
def domain() -> int:
    """A DDS domain whose ports are free, also of other runs of these tests."""
    return free_domain()
