"""The bus over links that come and go: each node has one address, on none of the links.

Two namespaces, a cable between them that carries 1280 bytes at once, and Cyclone DDS in each; all
in this process, since a socket stays in the namespace in which it was created.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from uno.bus.cyclone import CycloneSession
from uno.bus.dds import DdsBus
from uno.bus.in_process import InProcess
from uno.host.command import run
from uno.lab import netns
from uno.model.messages import Envelope, Kind
from uno.ports.bus import (
    ANNOUNCEMENTS,
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

pytestmark = pytest.mark.lab

STATUS = Channel(Topic.STATUS)
MTU = 1280
DOMAIN = 46
# Above an Ethernet header, where an IPv4 packet starts.
ETHERNET = 14
ALL_PROTOCOLS = 0x0003


@dataclass(frozen=True)
class Host:
    """A namespace with an address that is on none of its links."""

    namespace: str
    address: IPv4Address

    def ip(self, *arguments: str) -> None:
        run(["ip", "-n", self.namespace, *arguments])

    def join(self, *peers: Host) -> tuple[DdsBus, list[BusEvent]]:
        """Join the bus."""
        bus, received = DdsBus(InProcess(CycloneSession)), list[BusEvent]()
        config = BusConfig(
            domain=DOMAIN,
            address=self.address,
            tag="uvn",
            peers=tuple(BusPeer(it.address) for it in peers),
        )
        with netns.entered(self.namespace):
            bus.configure(config, received.append)
        return bus, received


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    name = f"uno-bus-{os.getpid()}"
    cell = Host(f"{name}-cell", IPv4Address("10.255.128.2"))
    registry = Host(f"{name}-registry", IPv4Address("10.255.128.1"))
    made = []
    try:
        for host in (cell, registry):
            run(["ip", "netns", "add", host.namespace])
            made.append(host)
            host.ip("link", "set", "lo", "up")
            # As the agent does: packets without a path are dropped, and do not leave in plain text.
            host.ip("link", "add", "uno0", "type", "bridge")
            host.ip("address", "add", f"{host.address}/32", "dev", "uno0")
            host.ip("link", "set", "uno0", "up")
            host.ip("route", "add", "10.255.128.0/24", "dev", "uno0", "metric", "65535")
        connect(cell, registry, net="192.0.2.0")
        yield cell, registry
    finally:
        for host in made:
            run(["ip", "netns", "delete", host.namespace])


def test_a_package_is_delivered_in_datagrams_that_fit_the_link(
    hosts: tuple[Host, Host],
) -> None:
    cell, registry = hosts
    offer = envelope(subject=1, kind=Kind.OFFER, body=CHANCE.randbytes(1_000_000))

    async def scene() -> list[bytes]:
        with tap(registry) as packets:
            at_cell, received = cell.join(registry)
            at_registry, _ = registry.join()
            with leaving(at_cell, at_registry):
                at_cell.subscribe(offers_for(1))
                at_registry.write(offers_for(1), offer)
                await until(lambda: Received(offers_for(1), offer) in received)
            return packets()

    sent = run_scene(scene())

    assert len(sent) > 500
    assert max(map(len, sent)) <= MTU
    assert not any(is_fragment(packet) for packet in sent)


def test_replacing_a_link_does_not_interrupt_the_bus(hosts: tuple[Host, Host]) -> None:
    cell, registry = hosts

    async def scene() -> list[BusEvent]:
        at_cell, received = cell.join(registry)
        at_registry, _ = registry.join()
        with leaving(at_cell, at_registry):
            at_cell.subscribe(STATUS)
            at_registry.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            cell.ip("link", "delete", "wire")
            connect(cell, registry, net="198.51.100.0")
            at_registry.write(STATUS, envelope(subject=1, sequence=2))

            await until(lambda: Received(STATUS, envelope(subject=1, sequence=2)) in received)
            return received

    assert [type(it) for it in run_scene(scene())] == [Presence, Received, Received]


@pytest.mark.feature("G05")
def test_the_registry_stays_present_when_it_withdraws_a_package(hosts: tuple[Host, Host]) -> None:
    """Cells are activated at that moment: they would switch as if they had lost it before."""
    cell, registry = hosts
    newer = envelope(subject=0, kind=Kind.UVN, sequence=2)

    async def scene() -> list[BusEvent]:
        at_cell, received = cell.join(registry)
        at_registry, _ = registry.join()
        with leaving(at_cell, at_registry):
            at_cell.subscribe(ANNOUNCEMENTS)
            at_cell.subscribe(offers_for(1))
            at_registry.write(ANNOUNCEMENTS, envelope(subject=0, kind=Kind.UVN))
            for number in (1, 2, 3):
                at_registry.write(offers_for(number), envelope(subject=number, kind=Kind.OFFER))
            await until(lambda: len(received) == 4)

            for number in (1, 2, 3):
                at_registry.withdraw(offers_for(number), number)
            await until(lambda: Presence(offers_for(1), 0) in received)
            at_registry.write(ANNOUNCEMENTS, newer)
            await until(lambda: Received(ANNOUNCEMENTS, newer) in received)
            return received

    found = [it for it in run_scene(scene()) if it.channel == ANNOUNCEMENTS]

    assert [it for it in found if isinstance(it, Presence)] == [Presence(ANNOUNCEMENTS, 1)]


def test_after_an_outage_each_agent_receives_the_newest_of_the_other(
    hosts: tuple[Host, Host], capfd: pytest.CaptureFixture[str]
) -> None:
    cell, registry = hosts

    async def scene() -> None:
        clock = asyncio.get_running_loop()
        at_cell, received = cell.join(registry)
        at_registry, _ = registry.join()
        with leaving(at_cell, at_registry):
            at_cell.subscribe(STATUS)
            at_registry.write(STATUS, envelope(subject=1))
            await until(lambda: len(received) == 2)

            cell.ip("link", "delete", "wire")
            await until(lambda: Presence(STATUS, 0) in received)
            at_registry.write(STATUS, envelope(subject=1, sequence=2))
            # Longer than the lease of participants, so that they have to discover each other again.
            await asyncio.sleep(12)
            connect(cell, registry, net="198.51.100.0")

            mended = clock.time()
            await until(lambda: Received(STATUS, envelope(subject=1, sequence=2)) in received)
            assert clock.time() - mended < 4

    run_scene(scene())

    assert capfd.readouterr().err == ""


def test_agents_survive_altered_datagrams_and_communicate_after_they_rejoin(
    hosts: tuple[Host, Host], capfd: pytest.CaptureFixture[str]
) -> None:
    cell, registry = hosts

    async def scene() -> None:
        with tap(registry) as packets:
            at_cell, cell_received = cell.join(registry)
            at_registry, registry_received = registry.join()
            with leaving(at_cell, at_registry):
                for bus in (at_cell, at_registry):
                    bus.subscribe(STATUS)
                    for subject in (1, 2):
                        bus.write(STATUS, envelope(subject=subject, body=bytes(3000)))
                await until(lambda: len(cell_received) >= 3 and len(registry_received) >= 3)
                seen = [it for it in map(datagram_to(registry), packets()) if it]

                sender = netns.socket_in(cell.namespace, socket.AF_INET, socket.SOCK_DGRAM)
                with sender:
                    sender.bind((str(cell.address), 0))
                    for turn in range(10_000):
                        port, payload = CHANCE.choice(seen)
                        sender.sendto(altered(payload), (str(registry.address), port))
                        if turn % 50 == 0:
                            await asyncio.sleep(0.001)

                # Forged datagrams may have made either discard new messages as duplicates.
                for host, bus in ((cell, at_cell), (registry, at_registry)):
                    with netns.entered(host.namespace):
                        bus.rejoin()
                at_cell.write(STATUS, envelope(subject=1, sequence=2))
                at_registry.write(STATUS, envelope(subject=1, sequence=2))
                newest = Received(STATUS, envelope(subject=1, sequence=2))
                await until(lambda: newest in cell_received and newest in registry_received)

    run_scene(scene())

    assert capfd.readouterr().err == ""


def connect(one: Host, other: Host, *, net: str) -> None:
    """Create a cable between two hosts, and their routes to each other over it."""
    first = IPv4Address(net)
    one.ip(
        *("link", "add", "wire", "mtu", str(MTU), "type", "veth"),
        *("peer", "name", "wire", "mtu", str(MTU), "netns", other.namespace),
    )
    for number, host in enumerate((one, other)):
        host.ip("address", "add", f"{first + number}/31", "dev", "wire")
        host.ip("link", "set", "wire", "up")
    one.ip("route", "add", f"{other.address}/32", "via", str(first + 1), "src", str(one.address))
    other.ip("route", "add", f"{one.address}/32", "via", str(first), "src", str(other.address))


@contextmanager
def leaving(*buses: DdsBus) -> Iterator[None]:
    try:
        yield
    finally:
        for bus in buses:
            bus.close()


@contextmanager
def tap(host: Host) -> Iterator[Callable[[], list[bytes]]]:
    """Collect the IPv4 packets on a host's cable; the value returns those so far."""
    with netns.entered(host.namespace):
        tapped = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
        tapped.bind(("wire", ALL_PROTOCOLS))
    tapped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    tapped.settimeout(0)

    def packets() -> list[bytes]:
        found: list[bytes] = []
        while True:
            try:
                frame = tapped.recv(65535)
            except BlockingIOError:
                return found
            if frame[12:14] == b"\x08\x00":
                found.append(frame[ETHERNET:])

    with tapped:
        yield packets


def is_fragment(packet: bytes) -> bool:
    """Whether more follow, or it is not the first (RFC 791, section 3.1)."""
    return bool(int.from_bytes(packet[6:8], "big") & 0x3FFF)


def datagram_to(host: Host) -> Callable[[bytes], tuple[int, bytes] | None]:
    """Return a parser that gives port and payload of a packet to the host's bus."""

    def payload(packet: bytes) -> tuple[int, bytes] | None:
        start = 4 * (packet[0] & 15)
        port = int.from_bytes(packet[start + 2 : start + 4], "big")
        if packet[16:20] != host.address.packed or port not in ports(DOMAIN, 0):
            return None
        return port, packet[start + 8 :]

    return payload


def altered(payload: bytes) -> bytes:
    changed = bytearray(payload)
    # The first four bytes identify RTPS.
    for _ in range(CHANCE.randint(1, 6)):
        changed[CHANCE.randrange(4, len(changed))] = CHANCE.randrange(256)
    end = len(changed) if CHANCE.random() < 0.7 else CHANCE.randrange(4, len(changed))
    return bytes(changed[:end])


def envelope(
    *, subject: int, sequence: int = 1, kind: int = Kind.STATUS, body: bytes = b"{}"
) -> Envelope:
    return Envelope(
        subject=subject, kind=kind, sequence=sequence, relayed_by=1, body=body, signature=bytes(64)
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


def run_scene(scene: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(scene)


CHANCE = random.Random(7)  # noqa: S311 - not for security
