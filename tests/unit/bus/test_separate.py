"""The process of the bus: what it may not do, and that its agent loses nothing when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from free_domains import free_domain
from uno.bus import dds, frames, wire
from uno.bus.dds import DdsBus
from uno.bus.separate import SeparateSessions
from uno.cli.middleware import start_child
from uno.diagnostics import ActionNeeded
from uno.model.messages import Envelope, Kind
from uno.model.uvn import Middleware
from uno.ports.bus import BusConfig, BusEvent, BusPeer, Channel, Presence, Received, Topic, ports
from uno.unprivileged import child_link
from uno.unprivileged.confinement import BUS, PASSWD, LocalUser, user
from uno.unprivileged.frame_stream import FrameBuffer, MalformedFrame

STATUS, ACK = Channel(Topic.STATUS), Channel(Topic.ACK)
LOOPBACK = IPv4Address("127.0.0.1")


@pytest.mark.feature("G55")
def test_the_process_has_no_rights_no_secrets_and_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNO_PASSPHRASE", "a secret")

    async def scene() -> None:
        async with Pair() as pair:
            await pair.meet()
            pid = pair.second.pid
            found = status(pid)
            environment, opened = environment_of(pid), opened_by(pid)

        if os.geteuid() == 0:
            expected = user(BUS, PASSWD.read_text())
            assert found["Uid"].split() == [str(expected.uid)] * 4
            assert found["Gid"].split() == [str(expected.gid)] * 4
            assert found["Groups"].split() == []
            assert {int(found[f"Cap{each}"], 16) for each in ("Inh", "Prm", "Eff", "Bnd")} == {0}
        assert found["NoNewPrivs"] == "1"
        assert found["Seccomp"] == "2"
        assert b"UNO_PASSPHRASE" not in environment
        # Pipes, sockets, and files in memory.
        files = {each for each in opened if each.startswith("/") and "memfd:" not in each}
        assert files == {"/dev/null"}

    asyncio.run(scene())


def test_its_user_is_its_own_where_the_host_has_it_else_nobody() -> None:
    nobody, own = "nobody:x:65534:65534::/:/bin/false", "uno-bus:x:990:991::/:/bin/false"

    assert user(BUS, f"root:x:0:0::/:/bin/sh\n+::::::\n{nobody}\n") == LocalUser(
        "nobody", 65534, 65534
    )
    assert user(BUS, f"{nobody}\n{own}") == LocalUser("uno-bus", 990, 991)
    with pytest.raises(ActionNeeded, match="no user without rights"):
        user(BUS, "root:x:0:0::/:/bin/sh")


ATTEMPTS = """
import os, socket, sys
from uno.unprivileged.confinement import BUS, confine

def refused(attempt, *arguments):
    try:
        attempt(*arguments)
    except (OSError, MemoryError):
        return
    sys.exit(f"{attempt.__name__} {arguments} is possible")

confine(BUS, parent=os.getppid())
refused(open, "/etc/passwd")
refused(open, "/proc/1/environ")
refused(os.listdir, "/")
refused(os.kill, os.getppid(), 0)
refused(os.fork)
refused(os.execv, "/bin/true", ["true"])
refused(os.setuid, 0)
refused(os.chroot, "/")
refused(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
refused(socket.socket, socket.AF_INET, socket.SOCK_RAW)
refused(socket.socket, socket.AF_UNIX, socket.SOCK_STREAM)
refused(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
refused(bytearray, 1 << 30)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.bind(("127.0.0.1", 0))
"""


@pytest.mark.feature("G55")
def test_what_takes_the_process_over_reaches_nothing_else() -> None:
    async def scene() -> tuple[int | None, bytes]:
        tried = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ATTEMPTS, stderr=asyncio.subprocess.PIPE
        )
        _, printed = await tried.communicate()
        return tried.returncode, printed

    assert asyncio.run(scene()) == (0, b"")


@pytest.mark.feature("G55")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_dies_is_back_in_seconds_and_nothing_is_lost(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with Pair() as pair:
            await pair.meet()
            died = pair.second.pid
            pair.first.bus.write(STATUS, envelope(subject=2))
            await until(lambda: Received(STATUS, envelope(subject=2)) in pair.second.received)
            before = len(pair.first.received)

            os.kill(died, number)
            await until(lambda: pair.second.bus.problem)
            assert number.name in pair.second.bus.problem
            # What is written and withdrawn meanwhile is written and withdrawn.
            pair.first.bus.write(STATUS, envelope(subject=1, sequence=8))
            pair.second.bus.write(STATUS, envelope(subject=1, sequence=9))
            pair.second.bus.write(STATUS, envelope(subject=3))
            pair.second.bus.withdraw(STATUS, 3)

            newest = Received(STATUS, envelope(subject=1, sequence=9))
            await until(lambda: newest in pair.first.received)
            await until(
                lambda: Received(STATUS, envelope(subject=1, sequence=8)) in pair.second.received
            )
            assert pair.second.pid not in (None, died)
            await until(lambda: not pair.second.bus.problem)
            assert Received(STATUS, envelope(subject=3)) not in pair.first.received[before:]
            # The writers that it had found before have not left.
            assert Presence(STATUS, 0) not in pair.second.received
            assert pair.second.received.count(Received(STATUS, envelope(subject=2))) == 2

    asyncio.run(scene())

    assert f"the process of the bus was killed by {number.name}" in caplog.text


@pytest.mark.feature("G55")
def test_a_process_that_is_stopped_holds_up_nobody_and_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_link, "PING_INTERVAL", 0.3)
    monkeypatch.setattr(child_link, "PATIENCE_AT_START", 100)

    async def scene() -> None:
        async with Pair() as pair:
            await pair.meet()
            stopped = pair.second.pid
            os.kill(stopped, signal.SIGSTOP)

            began = time.monotonic()
            # More than the socket holds; of each subject the newest is kept.
            for sequence in range(10, 200):
                pair.second.bus.write(STATUS, envelope(1, sequence=sequence, body=bytes(50_000)))
            pair.second.bus.rejoin()
            assert time.monotonic() - began < 5

            newest = Received(STATUS, envelope(1, sequence=199, body=bytes(50_000)))
            await until(lambda: newest in pair.first.received)
            assert pair.second.pid != stopped
            assert not exists(stopped)

    asyncio.run(scene())


def test_an_agent_ends_though_its_process_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_link, "TO_END", 0.2)
    monkeypatch.setattr(dds, "LINGER", 0.1)

    async def scene() -> None:
        async with Pair() as pair:
            await pair.meet()
            stopped = pair.second.pid
            os.kill(stopped, signal.SIGSTOP)
            pair.second.bus.close()
            assert not exists(stopped)

    asyncio.run(scene())


@pytest.mark.feature("G55")
def test_a_process_that_cannot_start_is_a_problem_and_is_tried_less_and_less(
    caplog: pytest.LogCaptureFixture,
) -> None:
    started: list[float] = []

    def start(*_: object) -> FakeChild:
        started.append(time.monotonic())
        return FakeChild()

    async def scene() -> None:
        bus = DdsBus(SeparateSessions(start))
        bus.configure(config_of(free_domain(), 0), lambda _: None)
        await until(lambda: len(started) == 4)
        assert bus.problem == "the process of the bus ended with status 3"
        bus.close()
        assert bus.problem == ""

    asyncio.run(scene())

    # After 0.1, 0.2 and 0.4 s.
    assert started[-1] - started[0] > 0.69
    assert caplog.text.count("ended with status 3") == 1


def test_an_agent_whose_process_can_join_no_more_reports_it_and_joins_later() -> None:
    """The port is taken between two processes, and given back."""

    async def scene() -> None:
        async with Pair() as pair:
            await pair.meet()
            config = config_of(pair.domain, 1)
            os.kill(pair.second.pid, signal.SIGKILL)
            with taken(ports(config.domain, config.index)[0]):
                await until(lambda: "is in use on this host" in pair.second.bus.problem)
            await until(lambda: not pair.second.bus.problem)
            await until(lambda: pair.second.pid is not None)

    asyncio.run(scene())


def test_the_process_ends_with_its_agent(tmp_path: Path) -> None:
    noted = tmp_path / "pid"

    async def scene() -> None:
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AGENT.format(domain=free_domain()), str(noted)
        )
        await until(lambda: noted.exists() and noted.read_text().endswith("\n"))
        pid = int(noted.read_text())
        assert exists(pid)
        agent.kill()
        await agent.wait()
        await until(lambda: not exists(pid))

    asyncio.run(scene())


AGENT = """
import asyncio, os, sys
from functools import partial
from ipaddress import IPv4Address
from uno.bus.dds import DdsBus
from uno.bus.separate import SeparateSessions
from uno.cli.middleware import start_child
from uno.ports.bus import BusConfig

async def main():
    sessions = SeparateSessions(partial(start_child, {{}}))
    bus = DdsBus(sessions)
    bus.configure(BusConfig(domain={domain}, address=IPv4Address("127.0.0.1"), tag="x"), print)
    assert "cyclonedds" not in sys.modules, "the agent itself has no DDS"
    with open(sys.argv[1], "w") as noted:
        noted.write(f"{{sessions.pid}}\\n")
    await asyncio.Event().wait()

asyncio.run(main())
"""


HOSTILE = {
    "no frame": b"\0\0\0\3abc",
    "endless": b"\xff\xff\xff\xff",
    "of the agent": frames.encode(frames.PingFrame()),
    "another topic": frames.encode(frames.AliveFrame(1, ACK, 1)),
    "no envelope": frames.encode(frames.SampleFrame(1, STATUS, b"junk")),
    "a negative number": frames.encode(frames.AliveFrame(1, STATUS, -1)),
    "a long text": frames.encode(frames.LogFrame("x" * 5000)),
}


@pytest.mark.feature("G55")
@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_process_that_was_taken_over_is_ended_for_what_is_no_message(
    children: FakeChildren, sent: bytes
) -> None:
    async def scene() -> None:
        bus, received = DdsBus(SeparateSessions(children.start)), list[BusEvent]()
        bus.subscribe(STATUS)
        bus.configure(config_of(free_domain(), 0), received.append)

        children.connections[0].sendall(sent)
        await until(lambda: len(children.started) == 2)

        assert children.started[0].killed
        assert received == []
        bus.close()

    asyncio.run(scene())


@pytest.mark.feature("G55")
def test_what_a_process_says_is_shown_as_text_and_not_without_end(
    children: FakeChildren,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        bus = DdsBus(SeparateSessions(children.start))
        bus.configure(config_of(free_domain(), 0), lambda _: None)
        said: list[frames.FromChild] = [
            frames.LogFrame(f"\x1b[2J {number} " + "x" * 900) for number in range(150)
        ]
        said.append(frames.FailedFrame(1, "\x1b[2J cannot", "", transient=True))
        children.connections[0].sendall(b"".join(map(frames.encode, said)))
        await until(lambda: bus.problem)
        assert bus.problem == r"\x1b[2J cannot"
        bus.close()

    asyncio.run(scene())

    assert len(caplog.records) <= 102
    assert all(len(each.getMessage()) < 600 for each in caplog.records)
    assert "\x1b" not in caplog.text


@pytest.mark.feature("G55")
def test_a_process_that_floods_is_read_no_faster_than_an_agent_verifies(
    children: FakeChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_link, "BURST", 100)
    monkeypatch.setattr(child_link, "RATE", 10)

    async def scene() -> None:
        bus, received = DdsBus(SeparateSessions(children.start)), list[BusEvent]()
        bus.subscribe(STATUS)
        bus.configure(config_of(free_domain(), 0), received.append)
        child = children.connections[0]
        child.settimeout(0)
        frame = frames.encode(frames.SampleFrame(1, STATUS, wire.encode(envelope(subject=1))))

        with suppress(BlockingIOError):
            while child.send(frame) == len(frame):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
        held = len(received)
        await until(lambda: len(received) > held)

        # What one read of the socket holds may exceed the budget.
        assert held < 100 + 10 * 60 + 2 * (1 << 16) / len(frame)
        assert bus.problem == ""
        bus.close()

    asyncio.run(scene())


def test_frames_of_an_earlier_session_are_dropped(children: FakeChildren) -> None:
    async def scene() -> None:
        bus, received = DdsBus(SeparateSessions(children.start)), list[BusEvent]()
        bus.subscribe(STATUS)
        bus.configure(config_of(free_domain(), 0), received.append)
        bus.rejoin()
        for session in (1, 2):
            children.connections[0].sendall(
                frames.encode(frames.AliveFrame(session, STATUS, session))
            )
        await until(lambda: received)
        assert received == [Presence(STATUS, 2)]
        bus.close()

    asyncio.run(scene())


@given(some.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes_are_a_frame_or_malformed(content: bytes) -> None:
    for parse in (frames.from_child, frames.to_child):
        try:
            frame = parse(content)
        except MalformedFrame:
            continue
        assert parse(frames.encode(frame)[4:]) == frame


@given(some.lists(some.binary(max_size=50)), some.integers(1, 20))
def test_frames_are_cut_the_same_however_they_arrive(contents: list[bytes], size: int) -> None:
    stream = b"".join(len(each).to_bytes(4, "big") + each for each in contents)
    buffer = FrameBuffer(limit=frames.FRAME_LIMIT)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]

    assert [found for piece in pieces for found in buffer.add(piece)] == contents


class Node:
    """A bus on the loopback interface, in a process of its own."""

    def __init__(self, config: BusConfig) -> None:
        self.sessions = SeparateSessions(partial(start_child, os.environ))
        self.bus = DdsBus(self.sessions)
        self.received: list[BusEvent] = []
        self.bus.subscribe(STATUS)
        self.bus.configure(config, self.received.append)

    @property
    def pid(self) -> int:
        found = self.sessions.pid
        assert found is not None, "the process runs"
        return found


class Pair:
    """Two nodes; the second has the first as its peer."""

    def __init__(self) -> None:
        self.domain = free_domain()

    async def __aenter__(self) -> Pair:
        self.first = Node(config_of(self.domain, 0))
        self.second = Node(config_of(self.domain, 1, peers=(BusPeer(LOOPBACK),)))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.second.bus.close()
        self.first.bus.close()

    async def meet(self) -> None:
        """Have each receive what the other has written."""
        for node in (self.first, self.second):
            node.bus.write(STATUS, envelope(subject=1))
        await until(lambda: len(self.first.received) == 2 and len(self.second.received) == 2)


@dataclass
class FakeChild:
    """A process that has ended, or lives until it is killed."""

    lives: bool = False
    killed: bool = False
    pid: int = 0

    def kill(self) -> int:
        self.killed = True
        return -9

    def ended(self, *, within: float) -> int | None:
        assert within >= 0
        return None if self.lives else 3


@dataclass
class FakeChildren:
    """Processes that the test plays."""

    started: list[FakeChild] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def start(self, _middleware: Middleware, connection: socket.socket, _errors: int) -> FakeChild:
        self.connections.append(connection.dup())
        self.started.append(FakeChild(lives=True))
        return self.started[-1]


@pytest.fixture
def children() -> Iterator[FakeChildren]:
    found = FakeChildren()
    yield found
    for each in found.connections:
        each.close()


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Take a UDP port as soon as it is free, and give it back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        while True:
            with suppress(OSError):
                taker.bind(("", port))
                break
        yield


def status(pid: int) -> dict[str, str]:
    """Return /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def opened_by(pid: int) -> set[str]:
    """Return what the files of a process are."""
    return {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def config_of(domain: int, index: int, *, peers: tuple[BusPeer, ...] = ()) -> BusConfig:
    return BusConfig(domain=domain, address=LOOPBACK, tag="uvn", index=index, peers=peers)


def envelope(subject: int, *, sequence: int = 1, body: bytes = b"{}") -> Envelope:
    return Envelope(
        subject=subject,
        kind=Kind.STATUS,
        sequence=sequence,
        relayed_by=1,
        body=body,
        signature=bytes(64),
    )


async def until(condition: Callable[[], object], *, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)
