"""Send altered datagrams to the bus of a cell and of the registry, and see that neither ends.

    python scripts/fuzz_datagrams.py [--datagrams N] [--seed N] [--json FILE]

Three processes are on a bus on the loopback interface, where no firewall is in between: a cell and
the registry of one UVN, with what their agents have between DDS and values, and another cell, which
captures all that passes between them. Datagrams made of the captured ones go to the ports of the
first two. A burst waits until the kernel has handed the one before it to DDS (proc_pid_net(5)), so
that each datagram counts that was parsed, and no other. At last both join the bus again, as agents
do that receive nothing, and must receive a new message of the other cell.

Exit status 1 if a process has ended, one that it started included, has 10 MB more memory than
after a tenth of the datagrams, or receives no more.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import random
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from time import monotonic

from fuzz import GROWTH_LIMIT, Target, make_target

from uno.agent.state_sync.flood_runner import FloodRunner
from uno.bus import cyclone
from uno.bus.cyclone import CycloneSession
from uno.cli import middleware
from uno.controller.receiver import CHANNELS, Receiver
from uno.controller.registry_bus import RegistryBus
from uno.model.codec import encode
from uno.model.messages import REGISTRY, Ack, Envelope, Kind, Phase, UvnAnnouncement
from uno.model.package import Package
from uno.model.status import CellStatus
from uno.ports.bus import (
    CELL_INDEX,
    FOR_REGISTRY,
    OWN,
    REGISTRY_INDEX,
    RELAY,
    Bus,
    BusConfig,
    BusPeer,
    Channel,
    Topic,
    offers_for,
    ports,
)
from uno.render import package_file
from uno.statesync.envelope import signed, signer

LOOPBACK = IPv4Address("127.0.0.1")
PEER_INDEX = 2
# The cell that is sent to, and the one that is not.
CELL, PEER = 1, 2

# Datagrams until the kernel is asked; a socket's buffer has room for more.
_BURST = 50
_LARGEST = 1400
# Seconds: for what takes a fraction of one on a machine without other load.
_PATIENCE = 60.0
# What is captured at least: discovery, data, fragments, heartbeats and acknowledgements.
_ENOUGH = 30
_ODD = (0, 1, 2, 3, 4, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
_ODD_LONG = (*_ODD, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
# The header of RTPS, and in it the identification, without which a datagram is dropped at once.
_HEADER, _IDENTIFICATION = 20, 4


class Role(StrEnum):
    """Who is on the bus."""

    CELL = "cell"
    REGISTRY = "registry"
    PEER = "peer"


INDEX = {Role.CELL: CELL_INDEX, Role.REGISTRY: REGISTRY_INDEX, Role.PEER: PEER_INDEX}


@dataclass(kw_only=True)
class Outcome:
    """What became of a process that datagrams were sent to; `growth` is in MB."""

    role: str
    parsed: int = 0
    ended: int = 0
    growth: float = 0.0
    receives: bool = False
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether nothing has ended, grown or become deaf."""
        return self.receives and not self.ended and self.growth <= GROWTH_LIMIT


def main() -> int:
    """Send, print a table, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--datagrams", type=int, default=1_000_000, metavar="N", help="to each")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        outcomes = feed_datagrams(Path(place), asked.datagrams, seed=asked.seed)
    columns = ("role", "parsed", "ended", "growth", "receives", "seconds")
    print(*(f"{each:>12}" for each in columns))
    for each in outcomes:
        found = asdict(each)
        shown = (f"{it:.1f}" if isinstance(it, float) else str(it) for it in found.values())
        print(*(f"{it:>12}" for it in shown))
    if asked.json:
        found = {"seed": asked.seed, "outcomes": list(map(asdict, outcomes))}
        asked.json.write_text(json.dumps(found))
    return int(not all(each.is_well for each in outcomes))


def feed_datagrams(place: Path, count: int, *, seed: int) -> list[Outcome]:
    """Have a cell and the registry parse so many altered datagrams each; `place` is empty."""
    target = make_target(place)
    (place / "package").write_bytes(target.first)
    domain = free_domain()
    with ExitStack() as stack:
        cell, registry, peer = (
            stack.enter_context(running(role, place, domain, target)) for role in Role
        )
        victims = (cell, registry)
        for each in victims:
            await_true(lambda each=each: each.newest() > 0, f"the {each.role} receives")
            each.started = family(each.process.pid or 0)
        datagrams = captured(place / "captured.pcap")
        chance = random.Random(seed)  # noqa: S311 - repeatable, and protects nothing
        found = [bombard(each, datagrams, count, chance, domain) for each in victims]
        for each in victims:
            each.pipe.send("rejoin")
        for each, outcome in zip(victims, found, strict=True):
            outcome.receives = receives_again(each, peer)
    return found


@dataclass(kw_only=True)
class Participant:
    """A process on the bus. `started` are the ids of it and of all that it had started."""

    role: Role
    process: BaseProcess
    pipe: Connection
    started: frozenset[int] = frozenset()

    def newest(self) -> int:
        """The newest number of a status of the other cell that it has, or has written."""
        self.pipe.send("newest")
        if not self.pipe.poll(_PATIENCE):
            return -1
        found = self.pipe.recv()
        assert isinstance(found, int)
        return found

    def ended(self) -> int:
        """How many of its processes have ended."""
        return len(self.started - family(self.process.pid or 0))

    def memory(self) -> float:
        """The resident memory of all its processes in MB (proc_pid_statm(5))."""
        pages = sum(_resident_pages(each) for each in self.started)
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def running(role: Role, place: Path, domain: int, target: Target) -> Iterator[Participant]:
    """Have one more process on the bus for a while."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(role, place, domain, theirs, target.keys))
    process.start()
    try:
        yield Participant(role=role, process=process, pipe=pipe)
    finally:
        process.kill()
        process.join(_PATIENCE)
        process.close()
        pipe.close()
        theirs.close()


def serve(role: Role, place: Path, domain: int, pipe: Connection, keys: Mapping[int, str]) -> None:
    """Be on the bus, and obey what comes through the pipe."""
    package = package_file.read((place / "package").read_bytes())
    others = (INDEX[each] for each in Role if each is not role)
    config = BusConfig(
        domain=domain,
        address=LOOPBACK,
        tag=package.plan.identity,
        index=INDEX[role],
        peers=tuple(BusPeer(LOOPBACK, index) for index in others),
    )
    if role is Role.PEER:
        asyncio.run(Peer(package, keys).run(config, pipe, place / "captured.pcap"))
    else:
        asyncio.run(receive(role, package, config, pipe, place, keys))


async def receive(
    role: Role,
    package: Package,
    config: BusConfig,
    pipe: Connection,
    place: Path,
    keys: Mapping[int, str],
) -> None:
    """Be what an agent of a cell, or of the registry, is between DDS and values."""
    make = middleware.bus_factory(package.plan.bus, environ={})
    bus: Bus
    if role is Role.CELL:
        bus = make()
        runner = FloodRunner(bus, package, directory=place, clock=monotonic)
        bus.configure(config, runner.receive)
        runner.subscribe()
        database = runner.state.database
    else:
        bus = RegistryBus(make)
        receiver = Receiver(
            identity=package.plan.identity,
            registry_key=package.manifest.registry_key,
            members={each.id: each for each in package.roster.members},
            since=monotonic(),
        )
        bus.configure(config, lambda event: receiver.receive(event, now=monotonic()))
        for channel in CHANNELS:
            bus.subscribe(channel)
        database = receiver.database
    for number in itertools.count(1):
        if role is Role.REGISTRY:
            body = encode(UvnAnnouncement(generation=1))
            own = envelope(package, keys, Kind.UVN, REGISTRY, number=number, body=body)
            bus.write(Channel(Topic.UVN), own)
        else:
            runner.originate(CellStatus(generation=1), Kind.STATUS)
            runner.flood_due(awaiting_confirm=False)
        for _ in range(10):
            await asyncio.sleep(0.1)
            while pipe.poll():
                if pipe.recv() == "rejoin":
                    bus.rejoin()
                else:
                    newest = database.newest(Kind.STATUS, PEER)
                    pipe.send(newest.sequence if newest else 0)


class Peer:
    """The other cell: it writes to all channels, reads all, and captures what passes."""

    def __init__(self, package: Package, keys: Mapping[int, str]) -> None:
        """Sign with the keys of cells and of the registry."""
        self._package = package
        self._keys = keys
        self._number = 1

    async def run(self, config: BusConfig, pipe: Connection, file: Path) -> None:
        """Write a status each second, numbered upwards."""
        plain = cyclone.xml
        capturing = f"<Tracing><PacketCaptureFile>{file}</PacketCaptureFile></Tracing></Domain>"
        cyclone.xml = lambda config: plain(config).replace("</Domain>", capturing)
        bus = CycloneSession(config, lambda _: True)
        for topic in Topic:
            for partition in (OWN, RELAY, FOR_REGISTRY):
                bus.subscribe(Channel(topic, partition))
        large = self._envelope(Kind.OFFER, CELL, bytes(3000))
        bus.write(offers_for(CELL), large)
        while True:
            self._number += 1
            body = encode(CellStatus(generation=1, problem="x" * 100))
            status = self._envelope(Kind.STATUS, PEER, body)
            for partition in (OWN, RELAY):
                bus.write(Channel(Topic.STATUS, partition), status)
            ack = encode(Ack(generation=2, phase=Phase.STAGED, running=1, offer=7))
            bus.write(Channel(Topic.ACK), self._envelope(Kind.ACK, PEER, ack))
            for _ in range(10):
                await asyncio.sleep(0.1)
                while pipe.poll():
                    pipe.recv()
                    pipe.send(self._number)

    def _envelope(self, kind: Kind, subject: int, body: bytes) -> Envelope:
        return envelope(self._package, self._keys, kind, subject, number=self._number, body=body)


def envelope(
    package: Package, keys: Mapping[int, str], kind: Kind, subject: int, *, number: int, body: bytes
) -> Envelope:
    """Return a message with a signature that is right."""
    origin = REGISTRY if kind in {Kind.UVN, Kind.OFFER} else subject
    plain = Envelope(
        subject=subject,
        kind=kind,
        sequence=number,
        relayed_by=origin,
        body=body,
        signature=b"",
    )
    return signed(plain, identity=package.plan.identity, sign=signer(keys[origin]))


def bombard(
    victim: Participant, datagrams: Sequence[bytes], count: int, chance: random.Random, domain: int
) -> Outcome:
    """Send until so many have been parsed, or a process has ended."""
    outcome, began = Outcome(role=victim.role.value), monotonic()
    before = victim.memory()
    measured = False
    with ExitStack() as stack:
        ways = []
        for port in ports(domain, INDEX[victim.role]):
            way = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            way.connect((str(LOOPBACK), port))
            ways.append((port, way))
        for number in itertools.count():
            port, way = ways[number % 2]
            outcome.parsed += burst(port, way, [altered(datagrams, chance) for _ in range(_BURST)])
            if not measured and outcome.parsed >= count / 10:
                before, measured = victim.memory(), True
            if outcome.parsed >= count or victim.ended():
                break
            if monotonic() - began > _PATIENCE and not outcome.parsed:
                break
    outcome.growth, outcome.ended = victim.memory() - before, victim.ended()
    outcome.seconds = monotonic() - began
    return outcome


def burst(port: int, way: socket.socket, datagrams: Sequence[bytes]) -> int:
    """Send datagrams, and return how many were handed to DDS."""
    before, sent = queue_of(port), 0
    for each in datagrams:
        with suppress(ConnectionRefusedError):
            way.send(each)
            sent += 1
    await_true(lambda: (now := queue_of(port)) is None or now.octets == 0, "DDS has taken them")
    after = queue_of(port)
    # Another socket is there where the process has joined the bus again meanwhile.
    if before is None or after is None or before.inode != after.inode:
        return 0
    return sent - (after.dropped - before.dropped)


@dataclass(frozen=True)
class Queue:
    """What waits in a UDP socket, and what was dropped."""

    inode: int
    octets: int
    dropped: int


def queue_of(port: int) -> Queue | None:
    """Return the state of the socket of a UDP port, if there is one (proc_pid_net(5))."""
    found = [
        fields
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]
        if (fields := line.split())[1].endswith(f":{port:04X}")
    ]
    if len(found) != 1:
        return None
    (fields,) = found
    return Queue(
        inode=int(fields[9]), octets=int(fields[4].partition(":")[2], 16), dropped=int(fields[12])
    )


def receives_again(victim: Participant, peer: Participant) -> bool:
    """Whether a message that was written from now on is received."""
    newest = peer.newest()
    try:
        await_true(lambda: victim.newest() > newest, "a new message is received")
    except TimeoutError:
        return False
    return True


def captured(file: Path) -> list[bytes]:
    """Return the different datagrams that the other cell has sent and received."""
    found: list[bytes] = []

    def suffice() -> bool:
        found[:] = datagrams_in(file.read_bytes() if file.exists() else b"")
        return len(found) >= _ENOUGH

    await_true(suffice, "enough is captured")
    return found


def datagrams_in(content: bytes) -> list[bytes]:
    """Return the different RTPS datagrams of a capture of raw IPv4 (pcap-savefile(5)).

    What has the same length and first submessage differs in numbers alone, and is the same.
    """
    found: dict[tuple[int, bytes], bytes] = {}
    at = 24
    while at + 16 <= len(content):
        (size,) = struct.unpack_from("<8xI", content, at)
        packet = content[at + 16 : at + 16 + size]
        at += 16 + size
        datagram = packet[28:]
        if len(packet) == size and datagram[:4] == b"RTPS":
            found.setdefault((size, datagram[_HEADER : _HEADER + 4]), datagram)
    return list(found.values())


def altered(datagrams: Sequence[bytes], chance: random.Random) -> bytes:
    """Return one of `datagrams` with some bytes changed, or parts of two."""
    made = bytearray(chance.choice(datagrams))
    first = _IDENTIFICATION if chance.random() < 0.1 else _HEADER
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(first, max(first + 1, len(made)))
        match chance.randrange(6):
            case 0 if at < len(made):
                made[at] = chance.randrange(256)
            case 1 if at + 4 <= len(made):
                struct.pack_into("<I", made, at & ~3, chance.choice(_ODD_LONG))
            case 2 if at + 2 <= len(made):
                struct.pack_into("<H", made, at & ~1, chance.choice(_ODD))
            case 3:
                del made[at : at + chance.randrange(1, 40)]
            case 4:
                made[at:at] = chance.randbytes(chance.randrange(1, 40))
            case _:
                other = chance.choice(datagrams)
                made = made[:at] + other[chance.randrange(_HEADER, max(_HEADER + 1, len(other))) :]
    return bytes(made[:_LARGEST])


def free_domain() -> int:
    """Return a DDS domain whose ports are free."""
    chance = random.SystemRandom()
    while True:
        found = chance.randrange(50, 190)
        wanted = [port for index in INDEX.values() for port in ports(found, index)]
        if all(queue_of(port) is None for port in wanted):
            return found


def family(process: int) -> frozenset[int]:
    """Return the ids of a process and of all that it started and that run (proc_pid_task(5))."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return frozenset()
    own = frozenset() if state in "ZX" else frozenset({process})
    return own.union(*map(family, map(int, children)))


def await_true(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so. Raises TimeoutError."""
    end, pause = monotonic() + _PATIENCE, Event()
    while not condition():
        if monotonic() > end:
            raise TimeoutError(f"not within {_PATIENCE:g} s: {what}")
        pause.wait(0.0005)


def _resident_pages(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
