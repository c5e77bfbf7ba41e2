"""The process that parses datagrams of others: one DDS session at a time, for an agent.

    python -m uno.bus.child DESCRIPTOR MIDDLEWARE PARENT

`DESCRIPTOR` is a socket to the agent, whose process id is `PARENT`. The process has no rights, no
keys, and no other open file: it exchanges bytes of envelopes, which the agent signs, seals and
verifies. It ends when the agent does.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias, assert_never

from msgspec.structs import replace

from uno.bus import frames, wire
from uno.bus.session import Post, Session
from uno.diagnostics import ActionNeeded, UnoError
from uno.model import codec
from uno.model.uvn import Middleware
from uno.ports.bus import BusConfig, BusEvent, Channel, Presence
from uno.unprivileged.confinement import BUS, confine
from uno.unprivileged.frame_stream import FrameBuffer, MalformedFrame

Opening: TypeAlias = Callable[[BusConfig, Post], Session]

_CHUNK = 1 << 18
# Lines that are passed on to the agent's log, and the characters of each text.
_MAX_LINES, _TEXT = 100, 1000


class BusChild:
    """Executes the frames of an agent on a session. One thread calls `serve`."""

    def __init__(self, connection: socket.socket, opening: Opening) -> None:
        """Exchange frames over `connection`, with sessions that `opening` opens."""
        self._connection = connection
        self._opening = opening
        self._writing = threading.Lock()
        self._session: Session | None = None
        self._number = 0
        self._written: set[Channel] = set()
        self._licence: int | None = None
        # Its path in this process, and that which people know.
        self._licence_names = "", ""

    def serve(self) -> None:
        """Execute frames until the agent closes the connection."""
        buffer = FrameBuffer(limit=frames.FRAME_LIMIT)
        while data := self._receive():
            for content in buffer.add(data):
                self._execute(frames.to_child(content))

    def send(self, *answers: frames.FromChild) -> bool:
        """Send frames, in any thread; return whether the agent is still there."""
        data = b"".join(map(frames.encode, answers))
        with self._writing:
            try:
                self._connection.sendall(data)
            except OSError:
                return False
        return True

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(_CHUNK)
        except OSError:
            return b""

    def _execute(self, frame: frames.ToChild) -> None:
        try:
            self._try(frame)
        except UnoError as error:
            # The agent opens another session, and writes everything again.
            self._close(within=0.0)
            what = error.what.replace(*self._licence_names)[:_TEXT]
            hint = error.hint[:_TEXT]
            self.send(frames.FailedFrame(self._number, what, hint, error.transient))

    def _try(self, frame: frames.ToChild) -> None:
        match frame:
            case frames.OpenFrame():
                self._open(frame)
            case frames.PingFrame():
                self.send(frames.PongFrame())
            case frames.CloseFrame(within):
                self._close(within=within)
            case _ if self._session is not None:
                self._use(self._session, frame)
            case _:
                # It belongs to a session that has failed.
                return

    def _use(self, session: Session, frame: frames.OfSession) -> None:
        match frame:
            case frames.SubscribeFrame(channel):
                session.subscribe(channel)
            case frames.WriteFrame(channel, envelope):
                self._written.add(channel)
                session.write(channel, wire.decode(envelope))
            case frames.WithdrawFrame(channel, subject):
                # What was withdrawn before it could be sent was never written.
                if channel in self._written:
                    session.withdraw(channel, subject)
            case frames.DeleteWriterFrame(channel):
                if channel in self._written:
                    self._written.remove(channel)
                    session.delete_writer(channel)
            case _:
                assert_never(frame)

    def _open(self, frame: frames.OpenFrame) -> None:
        self._close(within=0.0)
        self._number = number = frame.session
        config = codec.decode(frame.config, BusConfig)
        if config.licence is not None:
            path = self._licence_file(frame.licence)
            self._licence_names = path, config.licence
            config = replace(config, licence=path)
        self._session = self._opening(config, partial(self._post, number))
        self.send(frames.OpenedFrame(number))

    def _licence_file(self, content: bytes) -> str:
        """Return the path of a file in memory: this process can read none on the disk."""
        if self._licence is None:
            self._licence = os.memfd_create("licence")
        os.ftruncate(self._licence, 0)
        os.pwrite(self._licence, content, 0)
        return f"/proc/self/fd/{self._licence}"

    def _close(self, *, within: float) -> None:
        session, self._session = self._session, None
        self._written.clear()
        if session is not None:
            session.close(within=within)

    def _post(self, number: int, events: Sequence[BusEvent]) -> bool:
        # It blocks while the agent is busy; DDS then keeps the newest samples of each subject.
        return self.send(*(_frame(number, event) for event in events))


class _Lines(logging.Handler):
    """Passes warnings on to the log of the agent."""

    def __init__(self, child: BusChild) -> None:
        super().__init__(logging.WARNING)
        self._child = child
        self._left = _MAX_LINES

    def emit(self, record: logging.LogRecord) -> None:
        if self._left > 0:
            self._left -= 1
            self._child.send(frames.LogFrame(record.getMessage()[:_TEXT]))


def main(descriptor: str, middleware: str, parent: str) -> None:
    """Serve the agent at the other end of the socket `descriptor`, until it closes it."""
    # The agent closes the session in order when it is stopped, also by a signal to its group.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            # Whatever is to be read from the disk is read before the rights are gone.
            opening = _opening(Middleware(middleware))
            confine(BUS, parent=int(parent))
        except UnoError as error:
            opening = partial(_refuse, error)
        child = BusChild(connection, opening)
        logging.getLogger().addHandler(_Lines(child))
        threading.excepthook = _die
        with suppress(MalformedFrame):
            child.serve()
    # Threads of a middleware may outlive its session.
    os._exit(0)


def _opening(middleware: Middleware) -> Opening:
    try:
        if middleware is Middleware.CONNEXT:
            from uno.bus.connext import ConnextSession  # noqa: PLC0415

            return ConnextSession
        from uno.bus.cyclone import CycloneSession  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise ActionNeeded(
            f"the middleware {middleware} cannot be loaded: {error}",
            "install it again, see docs/how-to/middleware.md",
        ) from error
    return CycloneSession


def _refuse(error: UnoError, _config: BusConfig, _post: Post) -> Session:
    raise error


def _die(raised: threading.ExceptHookArgs) -> None:
    """End with what the agent logs when it starts another process: no thread ends alone."""
    sys.stderr.write(f"{raised.exc_type.__name__}: {raised.exc_value}\n")
    os._exit(1)


def _frame(session: int, event: BusEvent) -> frames.FromChild:
    if isinstance(event, Presence):
        return frames.AliveFrame(session, event.channel, event.alive)
    return frames.SampleFrame(session, event.channel, wire.encode(event.envelope))


if __name__ == "__main__":
    main(*sys.argv[1:])
