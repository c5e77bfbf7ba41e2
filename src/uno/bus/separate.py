"""Sessions in a process of their own, without rights: a fault there costs its agent nothing.

DDS is C code that parses datagrams of strangers. The agent starts `bus.child`, and exchanges frames
with it over a socket pair. It never waits for it: what is not sent yet is kept, the newest of each
subject; and what the child sends is taken in pieces, checked, and believed no more than a datagram.
A child that ends, answers no more or sends nonsense is replaced (`dds`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, assert_never

from uno.bus import frames, wire
from uno.bus.session import obstacle, require_licence
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model import codec
from uno.model.untrusted_text import visible
from uno.ports.bus import BusConfig, Channel, Presence, Received, ports

if TYPE_CHECKING:
    from uno.bus.dds import Inbox
    from uno.model.messages import Envelope
    from uno.model.uvn import Middleware

_log = logging.getLogger(__name__)

# Seconds between two pings; and the unanswered ones in a row after which a child is replaced: while
# it starts, which takes long on a small host that boots, and later.
PING_INTERVAL = 5.0
PATIENCE_AT_START, PATIENCE = 12, 4
# Seconds for a child to leave the bus and end, beyond those for acknowledgements.
TO_END = 2.0
# Seconds in which a child has ended that has closed its connection.
_TO_REAP = 0.2
# Bytes that are taken at once: the event loop does other work in between.
_CHUNK = 1 << 16
# What a child can have an agent verify: so many frames at once, and so many each second; one for
# each 8 kB of a large one. More waits in the socket, and then in DDS, which keeps the newest.
# A node of 200 cells receives some thousand when it joins, and a few a second later.
BURST, RATE = 5000, 500
_BYTES_OF_ONE = 8192
# Seconds of a pause, so that a ping is answered in between.
_MAX_PAUSE = 2.0
# Characters of a child's own words.
_TEXT = 500
# Lines of one child that are logged.
_MAX_LINES = 100
# Bytes of a licence file.
_MAX_LICENCE = 1 << 16


class Child(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    def kill(self) -> int:
        """Kill it unless it has ended, and return its status: negative for a signal."""
        ...

    def ended(self, *, within: float) -> int | None:
        """Wait until it has ended, and return its status; None if it has not within so many s."""
        ...


_OfSession: TypeAlias = (
    frames.OpenedFrame | frames.FailedFrame | frames.SampleFrame | frames.AliveFrame
)
# Starts a child of a middleware, with its end of a socket pair, and a file for its errors.
StartChild: TypeAlias = Callable[["Middleware", socket.socket, int], Child]


class SeparateSessions:
    """`dds.Sessions` in a child. For one event loop."""

    def __init__(self, start: StartChild) -> None:
        """Start no child yet; `start` starts one."""
        self._start = start
        self._link: _ChildLink | None = None
        self._middleware: Middleware | None = None
        self._number = 0
        self._config: BusConfig | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the child, None without one."""
        return self._link.child.pid if self._link is not None and self._link.alive else None

    def open(self, config: BusConfig, inbox: Inbox) -> SeparateSession:
        """Have the child open a session, instead of the one before. Raises `UnoError`."""
        self._require(config)
        link = self._living(config)
        self._number += 1
        self._config = config
        frame = frames.OpenFrame(self._number, codec.encode(config), _licence(config))
        link.begin(frame, inbox)
        return SeparateSession(link)

    def close(self) -> None:
        """Kill the child."""
        if self._link is not None:
            self._link.end()
        self._link = self._config = None

    def _require(self, config: BusConfig) -> None:
        """Raise `UnoError` for what is known to prevent a session, to whoever configures it."""
        require_licence(config)
        found = obstacle(config)
        before = self._config
        is_own = (
            isinstance(found, ActionNeeded)
            and self.pid is not None
            and before is not None
            and ports(before.domain, before.index) == ports(config.domain, config.index)
        )
        if found is not None and not is_own:
            raise found

    def _living(self, config: BusConfig) -> _ChildLink:
        link = self._link
        if link is not None and link.alive and self._middleware == config.middleware:
            return link
        self.close()
        errors = os.memfd_create("errors")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                child = self._start(config.middleware, theirs, errors)
            except UnoError:
                ours.close()
                os.close(errors)
                raise
        self._middleware = config.middleware
        self._link = _ChildLink(child, ours, errors)
        return self._link


class SeparateSession:
    """`session.Session` in a child."""

    def __init__(self, link: _ChildLink) -> None:
        self._link = link

    def subscribe(self, channel: Channel) -> None:
        """Have the child create a reader of a channel."""
        self._link.subscribe(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Have the child write, once it takes it; a newer envelope of the subject goes instead."""
        self._link.put((channel, envelope.subject), _Unsent(channel, envelope))

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Have the child dispose of the envelope about a subject."""
        self._link.put((channel, subject), frames.WithdrawFrame(channel, subject))

    def delete_writer(self, channel: Channel) -> None:
        """Have the child delete the writer of a channel."""
        self._link.delete_writer(channel)

    def close(self, *, within: float) -> None:
        """Take no more events. With `within`, have the child leave the bus and end."""
        if within > 0:
            self._link.leave(within=within)
        else:
            self._link.close_session()


@dataclass(frozen=True, slots=True)
class _Unsent:
    """An envelope that is encoded once it is sent."""

    channel: Channel
    envelope: Envelope

    def frame(self) -> frames.WriteFrame:
        return frames.WriteFrame(self.channel, wire.encode(self.envelope))


class _ChildLink:
    """One child, and the frames to and from it."""

    def __init__(self, child: Child, connection: socket.socket, errors: int) -> None:
        self.child = child
        self.alive = True
        self._errors = errors
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._input = frames.FrameBuffer()
        self._output = memoryview(b"")
        self._unsent: dict[object, frames.ToChild | _Unsent] = {}
        self._inbox: Inbox | None = None
        self._number = 0
        self._channels: set[Channel] = set()
        self._unanswered = self._lines = 0
        self._budget, self._filled_at = float(BURST), self._loop.time()
        self._resuming: asyncio.TimerHandle | None = None
        self._patience = PATIENCE_AT_START
        connection.settimeout(0)
        self._loop.add_reader(connection, self._take)
        self._timer = self._loop.call_later(PING_INTERVAL, self._ping)

    def begin(self, frame: frames.OpenFrame, inbox: Inbox) -> None:
        """Open a session; what was to be sent before belongs to another."""
        self._number, self._inbox = frame.session, inbox
        self._channels.clear()
        self._unsent.clear()
        self.put("open", frame)

    def subscribe(self, channel: Channel) -> None:
        """Create a reader of a channel."""
        self._channels.add(channel)
        self.put((channel, "subscribe"), frames.SubscribeFrame(channel))

    def delete_writer(self, channel: Channel) -> None:
        """Delete a writer, and send nothing more of what was to be written with it."""
        for key, item in tuple(self._unsent.items()):
            if isinstance(item, _Unsent | frames.WithdrawFrame) and item.channel == channel:
                del self._unsent[key]
        self.put((channel, "delete"), frames.DeleteWriterFrame(channel))

    def close_session(self) -> None:
        """Leave the bus, and keep the child for the next session."""
        self._inbox = None
        self._unsent.clear()
        self.put("close", frames.CloseFrame(0.0))

    def put(self, key: object, item: frames.ToChild | _Unsent) -> None:
        """Send a frame once there is room, instead of one with the same key."""
        if self.alive:
            self._unsent.pop(key, None)
            self._unsent[key] = item
            self._flush()

    def leave(self, *, within: float) -> None:
        """Send what is left, and have the child leave the bus and end: in that order, blocking."""
        if not self.alive:
            return
        self._detach()
        self._unsent["close"] = frames.CloseFrame(within)
        rest = b"".join(map(_encoded, self._unsent.values()))
        with self._connection, suppress(OSError):
            self._connection.settimeout(within + TO_END)
            self._connection.sendall(bytes(self._output) + rest)
            # The child reads what is left in the socket, and then its end.
            self._connection.shutdown(socket.SHUT_RDWR)
        status = self.child.ended(within=within + TO_END)
        if status is None:
            self.child.kill()
        if status != 0:
            # Other nodes notice after its lease.
            _log.warning("%s", self._failure("did not end" if status is None else "", status))
        os.close(self._errors)

    def end(self) -> None:
        """Kill the child."""
        if self.alive:
            self._detach()
            self._connection.close()
            self.child.kill()
            os.close(self._errors)

    def _detach(self) -> None:
        self.alive = False
        self._timer.cancel()
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)

    def _break(self, reason: str) -> None:
        """Give this child up, and have it replaced."""
        self._detach()
        self._connection.close()
        status = self.child.ended(within=_TO_REAP)
        if status is None:
            self.child.kill()
        error = TransientFailure(self._failure(reason, status), "it is started again")
        os.close(self._errors)
        if self._inbox is not None:
            self._loop.call_soon(self._inbox.lost, error)

    def _failure(self, reason: str, status: int | None) -> str:
        printed = _last_line(self._errors)
        return f"the process of the bus {reason or _described(status)}{printed and f': {printed}'}"

    def _flush(self) -> None:
        while True:
            if not self._output:
                if not self._unsent:
                    self._loop.remove_writer(self._connection)
                    return
                item = self._unsent.pop(next(iter(self._unsent)))
                self._output = memoryview(_encoded(item))
            try:
                sent = self._connection.send(self._output)
            except BlockingIOError:
                self._loop.add_writer(self._connection, self._flush)
                return
            except OSError:
                self._break("")
                return
            self._output = self._output[sent:]

    def _take(self) -> None:
        try:
            data = self._connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._break("")
            return
        try:
            for content in self._input.add(data):
                self._budget -= 1 + len(content) / _BYTES_OF_ONE
                self._handle(frames.from_child(content))
                if not self.alive:
                    return
        except (frames.MalformedFrame, wire.MalformedSample) as error:
            self._break(f"sent what is no message: {visible(str(error), limit=_TEXT)}")
            return
        self._pause_if_spent()

    def _pause_if_spent(self) -> None:
        now = self._loop.time()
        self._budget = min(BURST, self._budget + RATE * (now - self._filled_at))
        self._filled_at = now
        if self._budget < 0:
            self._loop.remove_reader(self._connection)
            pause = min(-self._budget / RATE, _MAX_PAUSE)
            self._resuming = self._loop.call_later(pause, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._connection, self._take)

    def _handle(self, frame: frames.FromChild) -> None:
        self._unanswered = 0
        match frame:
            case frames.PongFrame():
                self._patience = PATIENCE
            case frames.LogFrame(text):
                self._log(text)
            case frames.OpenedFrame() | frames.FailedFrame() | frames.SampleFrame():
                self._handle_of_session(frame)
            case frames.AliveFrame():
                self._handle_of_session(frame)
            case _:
                assert_never(frame)

    def _handle_of_session(self, frame: _OfSession) -> None:
        inbox = self._inbox
        if frame.session != self._number or inbox is None:
            # It was sent before the child knew of the next session.
            return
        match frame:
            case frames.OpenedFrame():
                inbox.opened()
            case frames.FailedFrame(_, what, hint, transient):
                inbox.lost(_failure(what, hint, transient=transient))
            case frames.SampleFrame(_, channel, envelope):
                self._require_subscribed(channel)
                inbox.put([Received(channel, wire.decode(envelope))])
            case frames.AliveFrame(_, channel, alive):
                self._require_subscribed(channel)
                inbox.put([Presence(channel, alive)])
            case _:
                assert_never(frame)

    def _require_subscribed(self, channel: Channel) -> None:
        if channel not in self._channels:
            raise frames.MalformedFrame("a channel that was not subscribed to")

    def _log(self, text: str) -> None:
        self._lines += 1
        if self._lines <= _MAX_LINES:
            _log.warning("the process of the bus: %s", visible(text, limit=_TEXT))

    def _ping(self) -> None:
        if self._unanswered >= self._patience:
            self._break("does not answer")
            return
        self._unanswered += 1
        self._timer = self._loop.call_later(PING_INTERVAL, self._ping)
        self.put("ping", frames.PingFrame())


def _encoded(item: frames.ToChild | _Unsent) -> bytes:
    return frames.encode(item.frame() if isinstance(item, _Unsent) else item)


def _failure(what: str, hint: str, *, transient: bool) -> UnoError:
    kind = TransientFailure if transient else ActionNeeded
    return kind(visible(what, limit=_TEXT), visible(hint, limit=_TEXT))


def _described(status: int | None) -> str:
    """Return how a process ended, from its status."""
    if status is None:
        return "has closed its connection"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _last_line(errors: int) -> str:
    """Return the last line that a child has printed."""
    size = os.fstat(errors).st_size
    lines = os.pread(errors, _TEXT, max(0, size - _TEXT)).decode(errors="replace").splitlines()
    return visible(lines[-1], limit=_TEXT) if lines else ""


def _licence(config: BusConfig) -> bytes:
    if config.licence is None:
        return b""
    try:
        return Path(config.licence).read_bytes()[:_MAX_LICENCE]
    except OSError as error:
        raise ActionNeeded(
            f"the licence {config.licence} cannot be read: {error.strerror}",
            "name a file that the agent can read, see docs/how-to/middleware.md",
        ) from error
