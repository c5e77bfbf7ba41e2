"""Sessions in a process of their own, without rights: a fault there costs its agent nothing.

DDS is C code that parses datagrams of strangers. The agent starts `bus.child`, and exchanges frames
with it (`unprivileged.child_link`): of what is not sent yet, the newest of each subject. What the
child sends is believed no more than a datagram. One that is given up is replaced (`dds`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, assert_never

from uno.bus import frames, wire
from uno.bus.session import obstacle, require_licence
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model import codec
from uno.model.untrusted_text import visible
from uno.ports.bus import BusConfig, Channel, Presence, Received, ports
from uno.unprivileged.child_link import TEXT_LIMIT, Child, ChildLink, Outgoing
from uno.unprivileged.confinement import BUS
from uno.unprivileged.frame_stream import MalformedFrame

if TYPE_CHECKING:
    from uno.bus.dds import Inbox
    from uno.model.messages import Envelope
    from uno.model.uvn import Middleware

# Bytes of a licence file.
_MAX_LICENCE = 1 << 16


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
        self._link: _SessionLink | None = None
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

    def follow(self, _config: BusConfig) -> bool:
        """Return False: a participant is configured once."""
        return False

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

    def _living(self, config: BusConfig) -> _SessionLink:
        link = self._link
        if link is not None and link.alive and self._middleware == config.middleware:
            return link
        self.close()
        self._link = _SessionLink(partial(self._start, config.middleware))
        self._middleware = config.middleware
        return self._link


class SeparateSession:
    """`session.Session` in a child."""

    def __init__(self, link: _SessionLink) -> None:
        self._link = link

    def subscribe(self, channel: Channel) -> None:
        """Have the child create a reader of a channel."""
        self._link.subscribe(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Have the child write, once it takes it; a newer envelope of the subject goes instead."""
        self._link.write(channel, envelope)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Have the child dispose of the envelope about a subject."""
        self._link.withdraw(channel, subject)

    def delete_writer(self, channel: Channel) -> None:
        """Have the child delete the writer of a channel."""
        self._link.delete_writer(channel)

    def close(self, *, within: float) -> None:
        """Take no more events. With `within`, have the child leave the bus and end."""
        if within > 0:
            self._link.leave(within=within)
        else:
            self._link.close_session()


class _EnvelopeKey(NamedTuple):
    """What an envelope is about, and where it is written."""

    channel: Channel
    subject: int


class _SessionLink:
    """One child, and its session."""

    def __init__(self, start: Callable[[socket.socket, int], Child]) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = ChildLink(
            start,
            self,
            noun=BUS.noun,
            ping=frames.encode(frames.PingFrame()),
            limit=frames.FRAME_LIMIT,
        )
        self._inbox: Inbox | None = None
        self._number = 0
        self._channels: set[Channel] = set()

    @property
    def child(self) -> Child:
        """The process."""
        return self._link.child

    @property
    def alive(self) -> bool:
        """Whether it is not given up."""
        return self._link.alive

    def begin(self, frame: frames.OpenFrame, inbox: Inbox) -> None:
        """Open a session; what was to be sent before belongs to another."""
        self._number, self._inbox = frame.session, inbox
        self._channels.clear()
        self._link.discard(lambda _: True)
        self._send("open", frame)

    def subscribe(self, channel: Channel) -> None:
        """Create a reader of a channel."""
        self._channels.add(channel)
        self._send((channel, "subscribe"), frames.SubscribeFrame(channel))

    def delete_writer(self, channel: Channel) -> None:
        """Delete a writer, and send nothing more of what was to be written with it."""
        self._link.discard(lambda key: isinstance(key, _EnvelopeKey) and key.channel == channel)
        self._send((channel, "delete"), frames.DeleteWriterFrame(channel))

    def close_session(self) -> None:
        """Leave the bus, and keep the child for the next session."""
        self._inbox = None
        self._link.discard(lambda _: True)
        self._send("close", frames.CloseFrame(0.0))

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write an envelope, which is encoded once it is sent."""
        key = _EnvelopeKey(channel, envelope.subject)
        self._link.put(key, Outgoing(lambda: _written(channel, envelope)))

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Dispose of the envelope about a subject."""
        self._send(_EnvelopeKey(channel, subject), frames.WithdrawFrame(channel, subject))

    def leave(self, *, within: float) -> None:
        """Send what is left, and have the child leave the bus and end: in that order, blocking."""
        # Other nodes notice after its lease if it does not.
        self._link.leave(frames.encode(frames.CloseFrame(within)), within=within)

    def end(self) -> None:
        """Kill the child."""
        self._link.end()

    def handle(self, content: bytes) -> None:
        """Handle a frame of the child. Raises `MalformedFrame`."""
        try:
            self._handle(frames.from_child(content))
        except wire.MalformedSample as error:
            raise MalformedFrame(str(error)) from error

    def lost(self, error: TransientFailure) -> None:
        """Have another child opened, after this one is given up."""
        if self._inbox is not None:
            self._inbox.lost(error)

    def _send(self, key: object, frame: frames.ToChild) -> None:
        self._link.put(key, Outgoing(partial(frames.encode, frame)))

    def _handle(self, frame: frames.FromChild) -> None:
        match frame:
            case frames.PongFrame():
                self._link.answered()
            case frames.LogFrame(text):
                self._link.log(text)
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
            raise MalformedFrame("a channel that was not subscribed to")


def _written(channel: Channel, envelope: Envelope) -> bytes:
    return frames.encode(frames.WriteFrame(channel, wire.encode(envelope)))


def _failure(what: str, hint: str, *, transient: bool) -> UnoError:
    kind = TransientFailure if transient else ActionNeeded
    return kind(visible(what, limit=TEXT_LIMIT), visible(hint, limit=TEXT_LIMIT))


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
