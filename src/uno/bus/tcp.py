"""The bus over TCP: one connection with each neighbour, between their node addresses.

All runs in the agent's event loop, without a thread. A connection is accepted from the addresses of
the configured peers alone; the firewall decides the same before. `conversation` has what is on a
connection, `calls` who calls and which connection stays, `liveness` when a peer is gone.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import random
import secrets
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from uno.bus import tcp_sockets
from uno.bus.calls import ATTEMPT, CallFailure, CallLimit, CallSchedule, Standing, replaces
from uno.bus.conversation import Conversation, ConversationEvent, WriterChange
from uno.bus.liveness import Liveness, Verdict, ping_after
from uno.bus.stream_frames import BrokenStream, Farewell, Hello
from uno.ports.bus import (
    REGISTRY_INDEX,
    BusConfig,
    BusPeer,
    Channel,
    Presence,
    Received,
    tcp_port,
)

if TYPE_CHECKING:
    from uno.bus.dds import Inbox
    from uno.model.messages import Envelope

_log = logging.getLogger(__name__)

# Octets that are read at once: the event loop does other work in between.
_READ: Final = 1 << 16
# What a peer can have this node verify: so many messages at once, and so many each second; one for
# each 8 kB. More waits at the other end, where the newest of each subject is kept.
BURST, RATE = 5000, 500
_BYTES_OF_ONE: Final = 8192
_MAX_PAUSE: Final = 2.0
# Connections of one address on which nothing has been received yet.
_UNGREETED: Final = 4
# Seconds for which a peer counts as present after its connection has broken, or was replaced.
_GRACE, _REPLACED = 1.0, 5.0
_TOO_MANY_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TO_ACCEPT_AGAIN: Final = 1.0


class TcpSessions:
    """`dds.Sessions` over TCP, in this process."""

    def __init__(self) -> None:
        """Start without a session."""
        self._session: TcpSession | None = None

    def open(self, config: BusConfig, inbox: Inbox) -> TcpSession:
        """Listen, and call the peers. Raises `UnoError`."""
        self._session = session = TcpSession(config, inbox)
        inbox.opened()
        return session

    def follow(self, config: BusConfig) -> bool:
        """Use other peers in the same session."""
        return self._session is not None and self._session.follow(config)

    def close(self) -> None:
        """Forget the session: there is no process to end."""
        self._session = None


class _Line(Struct, eq=False):
    """A connection, from the call on."""

    connection: socket.socket
    peer: _Peer
    called: bool
    conversation: Conversation
    liveness: Liveness
    expires: float
    established: bool
    output: memoryview = field(default_factory=lambda: memoryview(b""))
    is_open: bool = True
    is_writing: bool = False
    budget: float = BURST
    filled_at: float = 0.0
    resuming: asyncio.TimerHandle | None = None

    @property
    def standing(self) -> Standing | None:
        hello = self.conversation.peer
        return Standing(self.called, hello) if hello else None

    @property
    def due(self) -> float:
        return self.liveness.due if self.conversation.peer else self.expires


class _Peer(Struct, eq=False):
    """A neighbour: its connection, and others of which none is chosen yet."""

    place: BusPeer
    is_lower: bool
    schedule: CallSchedule
    limit: CallLimit
    line: _Line | None = None
    others: set[_Line] = field(default_factory=set)
    losses: int = 0
    # Writers on a connection that has ended, while another may follow.
    carried: dict[Channel, bool] = field(default_factory=dict)
    carrying: asyncio.TimerHandle | None = None
    complaint: str = ""

    def writes(self, channel: Channel) -> bool:
        carried = self.carried.get(channel, False)
        return self.line.conversation.writers.get(channel, carried) if self.line else carried


class TcpSession:
    """`session.Session`: a node's connections with its peers. For one event loop."""

    def __init__(self, config: BusConfig, inbox: Inbox) -> None:
        """Listen, and call the peers. Raises `UnoError`."""
        self._loop = asyncio.get_running_loop()
        self._config = config
        self._inbox = inbox
        self._tag = tag_of(config.tag)
        self._number = secrets.randbits(64)
        self._random = random.SystemRandom()
        self._channels: dict[Channel, None] = {}
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._alive = Counter[Channel]()
        self._peers: dict[IPv4Address, _Peer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._accepting: asyncio.TimerHandle | None = None
        self._is_open = True
        self._listener = tcp_sockets.listener(config)
        self._loop.add_reader(self._listener, self._accept)
        self._set_peers(config.peers)

    def follow(self, config: BusConfig) -> bool:
        """Use other peers, and keep the connections with those that stay."""
        if not self._is_open or _without_peers(config) != _without_peers(self._config):
            return False
        self._config = config
        self._set_peers(config.peers)
        return True

    def subscribe(self, channel: Channel) -> None:
        """Receive a channel from all peers."""
        self._channels[channel] = None
        for line in self._lines():
            line.conversation.subscribe(channel)
            self._send(line)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Send to all peers that subscribe to the channel."""
        written = self._written.setdefault(channel, {})
        first = not written
        written[envelope.subject] = envelope
        for line in self._lines():
            line.conversation.note_written(channel, envelope.subject, first=first)
            self._send(line)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Send the envelope about a subject to nobody any more."""
        for line in self._lines():
            line.conversation.note_withdrawn(channel, subject)
        self._written.get(channel, {}).pop(subject, None)

    def delete_writer(self, channel: Channel) -> None:
        """Send nothing of a channel to anybody any more."""
        for line in self._lines():
            line.conversation.note_no_writer(channel)
            self._send(line)
        self._written.pop(channel, None)

    def close(self, *, within: float) -> None:
        """End all connections; with `within`, send what is small before, and that this node leaves.

        Nothing is delivered after this returns.
        """
        self._is_open = False
        for timer in (self._timer, self._accepting):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        until = self._loop.time() + within
        for peer in self._peers.values():
            if within > 0 and peer.line is not None:
                _say_farewell(peer.line, within=max(until - self._loop.time(), 0.01))
            self._forget(peer)
        self._peers.clear()

    def _lines(self) -> Iterable[_Line]:
        return [line for peer in self._peers.values() for line in _lines_of(peer)]

    def _set_peers(self, places: Iterable[BusPeer]) -> None:
        wanted = {each.address: each for each in places}
        for address, peer in tuple(self._peers.items()):
            if wanted.get(address) != peer.place:
                del self._peers[address]
                self._forget(peer)
        now = self._loop.time()
        for address, place in wanted.items():
            if address not in self._peers and address != self._config.address:
                is_lower = self._config.address < address
                schedule = CallSchedule(is_lower=is_lower, now=now)
                self._peers[address] = _Peer(place, is_lower, schedule, CallLimit(now=now))
        self._report()
        self._check_later()

    def _forget(self, peer: _Peer) -> None:
        if peer.carrying is not None:
            peer.carrying.cancel()
        for line in _lines_of(peer):
            self._close(line)
        peer.line = None
        peer.others.clear()
        peer.carried.clear()

    # Calls

    def _check(self) -> None:
        """Do what is due: calls, pings, and the end of connections that are silent."""
        self._timer = None
        now = self._loop.time()
        for line in self._lines():
            if line.is_open and line.due <= now:
                self._judge(line, now)
        for peer in tuple(self._peers.values()):
            if peer.schedule.due is not None and peer.schedule.due <= now:
                self._call(peer, now)
        self._check_later()

    def _check_later(self) -> None:
        if not self._is_open:
            return
        calls = (peer.schedule.due for peer in self._peers.values())
        dues = [*(at for at in calls if at is not None), *(line.due for line in self._lines())]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(dues), self._check) if dues else None

    def _judge(self, line: _Line, now: float) -> None:
        if line.conversation.peer is None:
            self._end(line, CallFailure.SILENT)
            return
        match line.liveness.check(tcp_sockets.unacknowledged(line.connection), now=now):
            case Verdict.PING:
                line.conversation.ping()
                self._send(line)
            case Verdict.GONE:
                self._end(line, CallFailure.SILENT)
            case _:
                return

    def _call(self, peer: _Peer, now: float) -> None:
        peer.schedule.started()
        port = tcp_port(self._config.domain, peer.place.index)
        try:
            connection = tcp_sockets.made()
        except OSError:
            peer.schedule.failed(CallFailure.SILENT, now=now, chance=self._random.random())
            return
        try:
            connection.bind((str(self._config.address), 0))
            error = connection.connect_ex((str(peer.place.address), port))
        except OSError as failure:
            error = failure.errno or errno.EINVAL
        if error not in {0, errno.EINPROGRESS}:
            connection.close()
            peer.schedule.failed(tcp_sockets.cause(error), now=now, chance=self._random.random())
            return
        line = self._line(connection, peer, called=True, now=now)
        self._loop.add_writer(connection, self._established, line)

    def _established(self, line: _Line) -> None:
        error = line.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(line, tcp_sockets.cause(error))
            return
        line.established = True
        self._loop.remove_writer(line.connection)
        self._begin(line)

    def _accept(self) -> None:
        try:
            connection, (address, _) = self._listener.accept()
        except OSError as error:
            if error.errno in _TOO_MANY_FILES:
                # The connection stays in the queue, so that the event loop would run in circles.
                self._loop.remove_reader(self._listener)
                self._accepting = self._loop.call_later(_TO_ACCEPT_AGAIN, self._accept_again)
            return
        peer, now = self._peers.get(IPv4Address(address)), self._loop.time()
        ungreeted = sum(not line.called for line in peer.others) if peer else 0
        if peer is None or ungreeted >= _UNGREETED or not peer.limit.take(now=now):
            connection.close()
            return
        tcp_sockets.tune(connection)
        line = self._line(connection, peer, called=False, now=now)
        line.established = True
        self._begin(line)

    def _accept_again(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _line(self, connection: socket.socket, peer: _Peer, *, called: bool, now: float) -> _Line:
        own = Hello(tag=self._tag, session=self._number, losses=peer.losses)
        is_registry = REGISTRY_INDEX in {self._config.index, peer.place.index}
        patience = ping_after(with_registry=is_registry, metered=peer.place.metered)
        line = _Line(
            connection,
            peer,
            called,
            Conversation(own, self._channels, self._written, self._inbox.lacks),
            Liveness(ping_after=patience, is_lower=peer.is_lower, now=now),
            expires=now + ATTEMPT,
            established=False,
            filled_at=now,
        )
        peer.others.add(line)
        self._check_later()
        return line

    def _begin(self, line: _Line) -> None:
        self._loop.add_reader(line.connection, self._read, line)
        self._send(line)

    # Input

    def _read(self, line: _Line) -> None:
        try:
            data = line.connection.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(
                line, CallFailure.REFUSED if line.conversation.has_left else CallFailure.SILENT
            )
            return
        now = self._loop.time()
        line.liveness.received(now=now)
        line.budget -= len(data) / _BYTES_OF_ONE
        try:
            for event in line.conversation.receive(data):
                line.budget -= 1
                self._handle(line, event)
                if not line.is_open:
                    return
        except BrokenStream as error:
            self._complain(line.peer, str(error))
            self._end(line, CallFailure.REFUSED)
            return
        self._send(line)
        self._pause_if_spent(line, now)

    def _handle(self, line: _Line, event: ConversationEvent) -> None:
        match event:
            case Hello():
                self._greet(line, event)
            case Received():
                if line is line.peer.line:
                    self._inbox.put([event])
            case WriterChange(channel):
                self._report_on(channel)
            case Farewell():
                line.peer.carried.clear()
                self._end(line, CallFailure.REFUSED)
            case _:
                assert_never(event)

    def _greet(self, line: _Line, hello: Hello) -> None:
        peer, now = line.peer, self._loop.time()
        if hello.tag != self._tag:
            self._complain(peer, "it is of another UVN")
            self._end(line, CallFailure.REFUSED)
            return
        old, new = peer.line, Standing(line.called, hello)
        if old is not None and (standing := old.standing) is not None:
            if not replaces(new, standing, is_lower=peer.is_lower):
                self._close(line)
                peer.others.discard(line)
                return
            self._carry(peer, old, _REPLACED)
            self._close(old)
        peer.others.discard(line)
        peer.line = line
        peer.schedule.connected(now=now)
        peer.complaint = ""
        self._report()

    def _pause_if_spent(self, line: _Line, now: float) -> None:
        line.budget = min(BURST, line.budget + RATE * (now - line.filled_at))
        line.filled_at = now
        if line.budget < 0:
            self._loop.remove_reader(line.connection)
            pause = min(-line.budget / RATE, _MAX_PAUSE)
            line.resuming = self._loop.call_later(pause, self._resume, line)

    def _resume(self, line: _Line) -> None:
        line.resuming = None
        self._loop.add_reader(line.connection, self._read, line)

    # Output

    def _send(self, line: _Line) -> None:
        """Send once the kernel takes it: all that is written meanwhile goes together."""
        is_ready = line.established and line.is_open and not line.is_writing
        if is_ready and line.conversation.has_output:
            line.is_writing = True
            self._loop.add_writer(line.connection, self._flush, line)

    def _flush(self, line: _Line) -> None:
        if not line.output:
            line.output = memoryview(line.conversation.next_chunk())
        try:
            sent = line.connection.send(line.output) if line.output else 0
        except BlockingIOError:
            return
        except OSError:
            self._end(line, CallFailure.SILENT)
            return
        line.output = line.output[sent:]
        if not line.output and not line.conversation.has_output:
            line.is_writing = False
            self._loop.remove_writer(line.connection)

    # The end of a connection

    def _end(self, line: _Line, why: CallFailure) -> None:
        """Close a connection that has failed, and call again later."""
        peer, now, chance = line.peer, self._loop.time(), self._random.random()
        was_established = line.established
        self._close(line)
        peer.others.discard(line)
        if peer.line is line:
            peer.line = None
            peer.losses += 1
            if not line.conversation.has_left:
                self._carry(peer, line, _GRACE)
            peer.schedule.lost(now=now, chance=chance)
            if any(it.called for it in peer.others):
                peer.schedule.started()
        elif peer.line is None and line.called and not any(it.called for it in peer.others):
            cause = CallFailure.REFUSED if was_established else why
            peer.schedule.failed(cause, now=now, chance=chance)
        self._report()
        self._check_later()

    def _close(self, line: _Line) -> None:
        line.is_open = False
        if line.resuming is not None:
            line.resuming.cancel()
        self._loop.remove_reader(line.connection)
        self._loop.remove_writer(line.connection)
        line.connection.close()

    def _complain(self, peer: _Peer, what: str) -> None:
        if peer.complaint != what:
            peer.complaint = what
            _log.warning("the connection with %s is closed: %s", peer.place.address, what)

    # Presence

    def _carry(self, peer: _Peer, line: _Line, seconds: float) -> None:
        """Count the writers of a connection that has ended until another one has answered."""
        peer.carried.update(line.conversation.writers)
        if peer.carrying is not None:
            peer.carrying.cancel()
        peer.carrying = self._loop.call_later(seconds, self._carried, peer)

    def _carried(self, peer: _Peer) -> None:
        peer.carrying = None
        peer.carried.clear()
        self._report()

    def _report(self) -> None:
        """Deliver the number of writers of each channel where it has changed."""
        for channel in tuple(self._channels):
            self._report_on(channel)

    def _report_on(self, channel: Channel) -> None:
        alive = sum(peer.writes(channel) for peer in self._peers.values())
        if alive != self._alive[channel]:
            self._alive[channel] = alive
            self._inbox.put([Presence(channel, alive)])


def tag_of(uvn: str) -> bytes:
    """Return what a hello has of the tag of a UVN."""
    return hashlib.sha256(uvn.encode()).digest()[:16]


def _lines_of(peer: _Peer) -> tuple[_Line, ...]:
    return (*((peer.line,) if peer.line is not None else ()), *peer.others)


def _without_peers(config: BusConfig) -> BusConfig:
    return replace(config, peers=())


def _say_farewell(line: _Line, *, within: float) -> None:
    """Send what is left, and that this node leaves. Blocks for so many seconds at most."""
    line.conversation.leave()
    with suppress(OSError):
        line.connection.settimeout(within)
        line.connection.sendall(line.output)
        while chunk := line.conversation.next_chunk():
            line.connection.sendall(chunk)
        line.connection.shutdown(socket.SHUT_WR)
        # To close a socket with unread octets would reset the connection before all has arrived.
        line.connection.settimeout(0)
        while line.connection.recv(_READ):
            pass
