"""The bus over TCP: real connections on the loopback interface, between nodes in this process."""

from __future__ import annotations

import asyncio
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address
from threading import Event

import pytest
from msgspec.structs import replace

from bus_scenes import envelope, footprint, ignore, run, until
from free_domains import free_domain
from uno.bus import stream_frames, tcp
from uno.bus.dds import DdsBus
from uno.bus.tcp import TcpSessions
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import BODY_LIMIT, Kind
from uno.model.uvn import Middleware
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
    tcp_port,
)

pytestmark = pytest.mark.feature("G58")

STATUS = Channel(Topic.STATUS)
CHANCE = random.Random()  # noqa: S311 - not for security


def test_nodes_call_each_other_and_a_late_reader_receives_the_newest(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            first, _ = join(0, peers=(1,))
            for sequence in (1, 2, 3):
                first.write(STATUS, envelope(subject=1, sequence=sequence))
            first.write(STATUS, envelope(subject=2))

            second, received = join(1, peers=(0,))
            second.subscribe(STATUS)
            await until(lambda: len(received) == 3)

            assert received[0] == Presence(STATUS, 1)
            assert Received(STATUS, envelope(subject=1, sequence=3)) in received
            assert Received(STATUS, envelope(subject=2)) in received

    run(scene())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_either_node_may_start_first_and_both_write(domain: int, order: tuple[int, int]) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            buses = {}
            for each in order:
                buses[each] = join(each, peers=(1 - each,))
                buses[each][0].subscribe(STATUS)
                buses[each][0].write(STATUS, envelope(subject=each))
                await asyncio.sleep(0)
            for own, (_, received) in buses.items():
                other = Received(STATUS, envelope(subject=1 - own))
                await until(lambda: other in received)  # noqa: B023 - awaited here
                assert received[0] == Presence(STATUS, 1)

    run(scene())


@pytest.mark.feature("G57")
def test_of_what_is_relayed_a_reader_receives_what_it_lacks(domain: int) -> None:
    async def scene() -> None:
        relayed, facts = Channel(Topic.STATUS, RELAY), Channel(Topic.DIRECTORY)
        async with nodes(domain) as join:
            first, _ = join(0, peers=(1,))
            for subject in (1, 2, 3):
                first.write(relayed, envelope(subject=subject))
                first.write(STATUS, envelope(subject=subject))
                first.write(facts, envelope(subject=subject))

            second, received = join(1, peers=(0,))
            second.subscribe(relayed, lambda channel, it: (channel, it.subject) == (relayed, 2))
            second.subscribe(facts)
            second.subscribe(STATUS, lambda *_: False)
            await until(lambda: len(received) == 3 + 1 + 3 + 3)
            first.write(relayed, envelope(subject=1, sequence=2))
            await until(lambda: len(received) == 3 + 1 + 3 + 3 + 1)

            assert [
                (it.envelope.subject, it.envelope.sequence)
                for it in received
                if isinstance(it, Received) and it.channel == relayed
            ] == [(2, 1), (1, 2)]

    run(scene())


def test_a_node_that_does_not_have_the_other_as_a_peer_takes_nothing_from_it(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            stranger, from_cell = join(1, peers=(0,))
            stranger.subscribe(STATUS)
            stranger.write(STATUS, envelope(subject=1))
            neighbour, _ = join(2, peers=(0,))
            neighbour.write(STATUS, envelope(subject=2))
            cell, received = join(0, peers=(2,))
            cell.subscribe(STATUS)
            cell.write(STATUS, envelope(subject=0))

            await until(lambda: len(received) == 2)
            reader, writer = await asyncio.open_connection(
                str(address(0)), tcp_port(domain, 0), local_addr=(str(address(1)), 0)
            )
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

            assert received == [Presence(STATUS, 1), Received(STATUS, envelope(subject=2))]
            assert from_cell == []

    run(scene())


def test_a_node_does_not_receive_its_own_samples_or_other_partitions(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            first, received = join(0, peers=(1,))
            first.subscribe(STATUS)
            first.write(STATUS, envelope(subject=1))
            second, _ = join(1, peers=(0,))
            second.write(Channel(Topic.STATUS, RELAY), envelope(subject=1))
            second.write(STATUS, envelope(subject=2))

            await until(lambda: len(received) == 2)

            assert received == [Presence(STATUS, 1), Received(STATUS, envelope(subject=2))]

    run(scene())


@pytest.mark.parametrize("size", [300_000, 1_000_000, BODY_LIMIT])
def test_a_package_of_any_size_is_delivered(domain: int, size: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, _ = join(0, peers=(1,))
            cell, received = join(1, peers=(0,))
            cell.subscribe(offers_for(1))
            offer = envelope(subject=1, kind=Kind.OFFER, body=CHANCE.randbytes(size))

            registry.write(offers_for(1), offer)

            await until(lambda: Received(offers_for(1), offer) in received)

    run(scene())


def test_what_is_small_does_not_wait_for_a_package(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, _ = join(0, peers=(1,))
            cell, received = join(1, peers=(0,))
            cell.subscribe(offers_for(1))
            cell.subscribe(STATUS)
            registry.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)
            offer = envelope(subject=1, kind=Kind.OFFER, body=CHANCE.randbytes(BODY_LIMIT))

            registry.write(offers_for(1), offer)
            await asyncio.sleep(0)
            registry.write(STATUS, envelope(subject=1, sequence=2))
            await until(lambda: Received(offers_for(1), offer) in received)

            small = received.index(Received(STATUS, envelope(subject=1, sequence=2)))
            assert small < received.index(Received(offers_for(1), offer))

    run(scene())


def test_a_larger_body_is_refused(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, _ = join(0)

            with pytest.raises(UnoError, match="too large for the bus"):
                registry.write(STATUS, envelope(subject=1, body=bytes(BODY_LIMIT + 1)))

    run(scene())


def test_other_peers_change_no_connection_with_those_that_stay(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, at_registry = join(0, peers=(1, 2))
            registry.subscribe(STATUS)
            registry.write(STATUS, envelope(subject=9))
            cell, at_cell = join(1, peers=(0,))
            cell.subscribe(STATUS)
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(at_registry) == 2 and len(at_cell) == 2)
            before = footprint()

            for peers in ((0, 2), (0, 3, 4), (0,)):
                cell.configure(config_of(domain, 1, peers=peers), at_cell.append)
            registry.configure(config_of(domain, 0, peers=(1,)), at_registry.append)
            cell.write(STATUS, envelope(subject=1, sequence=2))
            await until(lambda: len(at_registry) == 3)

            assert at_registry[2] == Received(STATUS, envelope(subject=1, sequence=2))
            assert len(at_cell) == 2
            assert footprint() == before

    run(scene())


def test_a_peer_that_is_no_peer_any_more_is_gone_at_once(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1,))
            registry.subscribe(STATUS)
            cell, _ = join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            registry.configure(config_of(domain, 0), received.append)

            assert received[2:] == [Presence(STATUS, 0)]

    run(scene())


def test_a_new_session_of_a_peer_is_not_an_outage_and_repeats_everything(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, at_registry = join(0, peers=(1,))
            cell, at_cell = join(1, peers=(0,))
            for bus in (registry, cell):
                bus.subscribe(STATUS)
                bus.write(STATUS, envelope(subject=1))
            await until(lambda: len(at_registry) == 2 and len(at_cell) == 2)

            cell.rejoin()

            again = Received(STATUS, envelope(subject=1))
            await until(lambda: at_cell.count(again) == 2 and at_registry.count(again) == 2)
            assert [it for it in at_registry if isinstance(it, Presence)] == [Presence(STATUS, 1)]
            assert [it for it in at_cell if isinstance(it, Presence)] == [Presence(STATUS, 1)]

    run(scene())


def test_fifty_sessions_leave_nothing(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1,))
            registry.subscribe(STATUS)
            cell, _ = join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)
            for turn in range(5):
                cell.rejoin()
                cell.write(STATUS, envelope(subject=1, sequence=turn + 2))
                newest = Received(STATUS, envelope(subject=1, sequence=turn + 2))
                await until(lambda: newest in received)  # noqa: B023 - awaited here

    before = footprint()
    run(scene())

    assert footprint() == before


def test_a_late_reader_does_not_receive_what_is_withdrawn(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, _ = join(0, peers=(1,))
            for subject in (1, 2):
                registry.write(STATUS, envelope(subject=subject))
            registry.write(offers_for(1), envelope(subject=1))
            registry.withdraw(STATUS, 1)
            registry.withdraw(offers_for(1), 1)

            cell, received = join(1, peers=(0,))
            cell.subscribe(offers_for(1))
            cell.subscribe(STATUS)
            await until(lambda: len(received) == 2)
            assert received == [Presence(STATUS, 1), Received(STATUS, envelope(subject=2))]

            registry.write(STATUS, envelope(subject=1, sequence=2))
            await until(lambda: received[2:] == [Received(STATUS, envelope(subject=1, sequence=2))])
            for subject in (1, 2):
                registry.withdraw(STATUS, subject)
            await until(lambda: received[3:] == [Presence(STATUS, 0)])

    run(scene())


def test_a_node_that_leaves_is_noticed_at_once(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1,))
            registry.subscribe(STATUS)
            cell, _ = join(1, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            cell.write(STATUS, envelope(subject=1, sequence=2))
            cell.close()
            await until(lambda: Presence(STATUS, 0) in received, seconds=0.9)

            # Its last words have come, too.
            assert received[2] == Received(STATUS, envelope(subject=1, sequence=2))

    run(scene())


OTHER = """
import asyncio
from ipaddress import IPv4Address
from uno.cli.middleware import make_bus
from uno.model.messages import Envelope
from uno.model.plan import BusPlan
from uno.model.uvn import Middleware
from uno.ports.bus import BusConfig, BusPeer, Channel, Topic

async def main():
    bus = make_bus(BusPlan(middleware=Middleware.TCP), environ={{}})
    peers = (BusPeer(IPv4Address("127.46.0.10"), 0),)
    home = IPv4Address("127.46.0.11")
    bus.configure(
        BusConfig(
            domain={domain}, address=home, tag="uvn", index=1, peers=peers,
            middleware=Middleware.TCP,
        ),
        print,
    )
    bus.write(
        Channel(Topic.STATUS),
        Envelope(subject=1, kind=2, sequence=1, relayed_by=1, body=b"", signature=b""),
    )
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_killed_agent_is_noticed_and_found_again(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1,))
            registry.subscribe(STATUS)
            for turn in (0, 1):
                cell = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", OTHER.format(domain=domain)
                )
                await until(lambda: len(received) == 3 * turn + 2)  # noqa: B023 - awaited here

                cell.kill()
                await cell.wait()

                await until(lambda: received[-1] == Presence(STATUS, 0), seconds=3)

    run(scene())


def test_an_agent_leaves_while_another_reads_nothing(domain: int) -> None:
    async def scene() -> float:
        async with nodes(domain) as join:
            registry, _ = join(0, peers=(1,))
            registry.write(offers_for(1), envelope(subject=1, body=bytes(BODY_LIMIT)))
            deaf, _ = await deaf_peer(domain, 1, to=0)
            deaf.write(stream_frames.subscription(0, offers_for(1)))
            await asyncio.sleep(0.2)
            loop = asyncio.get_running_loop()
            began = loop.time()
            registry.close()
            deaf.close()
            return loop.time() - began

    assert run(scene()) < 1.5


def test_a_peer_that_reads_nothing_costs_no_memory_and_delays_no_other(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, _ = join(0, peers=(1, 2))
            deaf, _ = await deaf_peer(domain, 1, to=0)
            deaf.write(stream_frames.subscription(0, STATUS))
            reading, received = join(2, peers=(0,))
            reading.subscribe(STATUS)
            for sequence in range(1, 20_001):
                registry.write(STATUS, envelope(subject=1, sequence=sequence, body=bytes(4000)))
                if sequence % 100 == 0:
                    await asyncio.sleep(0)
            newest = Received(STATUS, envelope(subject=1, sequence=20_000, body=bytes(4000)))
            await until(lambda: newest in received)
            waiting = [
                line.conversation.waiting
                for line in registry._session._lines()  # type: ignore[union-attr]
            ]
            assert all(each <= 1 for each in waiting)
            deaf.close()

    run(scene())


def test_a_flood_takes_a_bounded_share_and_others_are_received(
    domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "BURST", 200)
    monkeypatch.setattr(tcp, "RATE", 100)

    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1, 2))
            registry.subscribe(STATUS)
            flooding, _ = await deaf_peer(domain, 1, to=0)
            frame, _ = stream_frames.sample(0, envelope(subject=7, body=bytes(100)))
            flooding.write(frame * 20_000)
            cell, _ = join(2, peers=(0,))
            cell.write(STATUS, envelope(subject=2))
            await until(lambda: Received(STATUS, envelope(subject=2)) in received)

            assert sum(isinstance(it, Received) for it in received) < 2000
            flooding.transport.abort()

    run(scene())


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(100),
        b"\xff" * 100,
        stream_frames.PING,
        stream_frames.hello(stream_frames.Hello(tag=bytes(16), session=1, losses=0)),
    ],
)
def test_who_is_no_node_of_this_uvn_is_refused_and_logged_once(
    domain: int, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1, 2))
            registry.subscribe(STATUS)
            for _ in range(3):
                reader, writer = await asyncio.open_connection(
                    str(address(0)), tcp_port(domain, 0), local_addr=(str(address(1)), 0)
                )
                writer.write(sent)
                with suppress(ConnectionResetError):
                    async with asyncio.timeout(3):
                        await reader.read()
                writer.close()
            cell, _ = join(2, peers=(0,))
            cell.write(STATUS, envelope(subject=2))
            await until(lambda: len(received) == 2)

    run(scene())

    assert [it.getMessage()[:43] for it in caplog.records] == [
        f"the connection with {address(1)} is closed: "[:43]
    ]


def test_calls_of_one_peer_are_limited(domain: int) -> None:
    async def scene() -> int:
        taken = 0
        async with nodes(domain) as join:
            join(0, peers=(1,))
            for _ in range(30):
                reader, writer = await asyncio.open_connection(
                    str(address(0)), tcp_port(domain, 0), local_addr=(str(address(1)), 0)
                )
                writer.write(hello(domain))
                with suppress(ConnectionResetError):
                    taken += bool(await reader.read(1))
                writer.close()
        return taken

    found: int = run(scene())
    assert 1 <= found <= 8


def test_noise_at_the_port_does_no_harm(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, received = join(0, peers=(1, 2))
            registry.subscribe(STATUS)
            for _ in range(40):
                with suppress(OSError), socket.socket() as sender:
                    sender.bind((str(address(1)), 0))
                    sender.connect((str(address(0)), tcp_port(domain, 0)))
                    sender.send(hello(domain) * CHANCE.randrange(2) + CHANCE.randbytes(900))
                await asyncio.sleep(0)
            cell, _ = join(2, peers=(0,))
            cell.write(STATUS, envelope(subject=1))
            await until(lambda: Received(STATUS, envelope(subject=1)) in received)

    run(scene())


def test_a_slow_event_loop_receives_the_newest_and_not_all(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            registry, _ = join(0, peers=(1,))
            cell, received = join(1, peers=(0,))
            cell.subscribe(STATUS)
            registry.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            # No other task runs during this loop.
            for sequence in range(2, 2002):
                registry.write(STATUS, envelope(subject=1, sequence=sequence))
            await until(lambda: Received(STATUS, envelope(subject=1, sequence=2001)) in received)

            assert len(received) < 10

    run(scene())


def test_an_older_copy_from_a_slow_neighbour_does_not_replace_the_newest(domain: int) -> None:
    relayed, busy = Channel(Topic.STATUS, RELAY), Event()

    async def scene() -> None:
        async with nodes(domain) as join:
            hub, received = join(0, peers=(1, 2))
            hub.subscribe(relayed)
            ahead, _ = join(1, peers=(0,))
            behind, _ = join(2, peers=(0,))
            for neighbour in (ahead, behind):
                neighbour.write(relayed, envelope(subject=9))
            await until(lambda: sum(isinstance(each, Received) for each in received) == 2)
            for neighbour, sequence in ((ahead, 3), (ahead, 5), (behind, 4)):
                neighbour.write(relayed, envelope(subject=9, sequence=sequence))
                busy.wait(0.01)
            await until(lambda: Received(relayed, envelope(subject=9, sequence=4)) in received)

            assert Received(relayed, envelope(subject=9, sequence=5)) in received

    run(scene())


def test_an_address_that_the_host_does_not_have_is_an_error(domain: int) -> None:
    async def scene() -> None:
        config = replace(config_of(domain, 0), address=IPv4Address("192.0.2.77"))
        with pytest.raises(TransientFailure, match=r"no interface of this host has .* 192\.0\.2"):
            DdsBus(TcpSessions()).configure(config, ignore)

    run(scene())


def test_the_error_of_a_second_agent_names_the_port_in_use(domain: int) -> None:
    async def scene() -> None:
        async with nodes(domain) as join:
            join(0)

            with pytest.raises(ActionNeeded, match=f"TCP port {tcp_port(domain, 0)} is in use"):
                join(0)

    run(scene())


def test_closing_twice_or_before_joining_is_no_error(domain: int) -> None:
    async def scene() -> None:
        bus = DdsBus(TcpSessions())
        bus.close()
        bus.rejoin()
        bus.configure(config_of(domain, 0), ignore)
        bus.close()
        bus.close()

    run(scene())


@asynccontextmanager
async def nodes(domain: int) -> AsyncIterator[Callable[..., tuple[DdsBus, list[BusEvent]]]]:
    """Buses of one UVN, each with an address of the loopback interface."""
    buses: list[DdsBus] = []

    def join(index: int, *, peers: tuple[int, ...] = ()) -> tuple[DdsBus, list[BusEvent]]:
        bus, received = DdsBus(TcpSessions()), list[BusEvent]()
        bus.configure(config_of(domain, index, peers=peers), received.append)
        buses.append(bus)
        return bus, received

    try:
        yield join
    finally:
        for bus in buses:
            bus.close()


async def deaf_peer(
    domain: int, index: int, *, to: int
) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    """Return a connection of a peer that greets, and reads nothing."""
    reader, writer = await asyncio.open_connection(
        str(address(to)), tcp_port(domain, to), local_addr=(str(address(index)), 0), limit=1
    )
    writer.write(hello(domain))
    return writer, reader


def hello(_domain: int) -> bytes:
    return stream_frames.hello(stream_frames.Hello(tag=tcp.tag_of("uvn"), session=5, losses=0))


def address(index: int) -> IPv4Address:
    return IPv4Address("127.46.0.10") + index


def config_of(domain: int, index: int, *, peers: tuple[int, ...] = ()) -> BusConfig:
    return BusConfig(
        domain=domain,
        address=address(index),
        tag="uvn",
        middleware=Middleware.TCP,
        index=index,
        peers=tuple(BusPeer(address(peer), peer) for peer in peers),
    )


@pytest.fixture
def domain() -> int:
    """A domain whose ports are free, also of other runs of these tests."""
    return free_domain()
