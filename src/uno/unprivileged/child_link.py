"""A process without rights, as its agent sees it: frames to it and from it.

The agent never waits for the process: what is not sent yet is kept, the newest of each key; and
what the process sends is taken in pieces, checked, and believed no more than what a stranger sends.
One that ends, answers no more or sends nonsense is given up; whoever has started it starts another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from msgspec import Struct

from uno.diagnostics import TransientFailure
from uno.model.untrusted_text import visible
from uno.unprivileged.frame_stream import FrameBuffer, MalformedFrame

_log = logging.getLogger(__name__)

# Seconds between two pings; and the unanswered ones in a row after which a child is replaced: while
# it starts, which takes long on a small host that boots, and later.
PING_INTERVAL = 5.0
PATIENCE_AT_START, PATIENCE = 12, 4
# Seconds for a child to end, beyond those that it is given for its work.
TO_END = 2.0
# Seconds in which a child has ended that has closed its connection.
_TO_REAP = 0.2
# Bytes that are taken at once: the event loop does other work in between.
_CHUNK = 1 << 16
# What a child can have an agent handle: so many frames at once, and so many each second; one for
# each 8 kB of a large one. More waits in the socket.
BURST, RATE = 5000, 500
_BYTES_OF_ONE = 8192
# Seconds of a pause, so that a ping is answered in between.
_MAX_PAUSE = 2.0
# Characters of a child's own words.
TEXT_LIMIT = 500
# Lines of one child that are logged.
_MAX_LINES = 100


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


class Outgoing(Struct, frozen=True):
    """A frame that is encoded once it is sent, and the sockets that go with it."""

    encoded: Callable[[], bytes]
    sockets: tuple[socket.socket, ...] = ()


class FrameReceiver(Protocol):
    """What an agent does with the frames of a child."""

    def handle(self, content: bytes) -> None:
        """Handle the content of a frame. Raises `MalformedFrame`."""
        ...

    def lost(self, error: TransientFailure) -> None:
        """Do without the child, which is given up because of `error`."""
        ...


class ChildLink:
    """One child, and the frames to and from it. For one event loop."""

    def __init__(
        self,
        start: Callable[[socket.socket, int], Child],
        receiver: FrameReceiver,
        *,
        noun: str,
        ping: bytes,
        limit: int,
    ) -> None:
        """Have `start` start it with its end of a socket pair, and a file for its errors.

        `noun` names the child in messages, `ping` is a frame that it answers; the contents of its
        own have at most `limit` bytes. Raises `UnoError` as `start` does.
        """
        self._errors = os.memfd_create("errors")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self.child = start(theirs, self._errors)
            except BaseException:
                ours.close()
                os.close(self._errors)
                raise
        self.alive = True
        self._receiver, self._noun, self._ping_frame = receiver, noun, ping
        self._connection = ours
        self._loop = asyncio.get_running_loop()
        self._input = FrameBuffer(limit=limit)
        self._output = memoryview(b"")
        self._sockets: tuple[socket.socket, ...] = ()
        self._unsent: dict[object, Outgoing] = {}
        self._unanswered = self._lines = 0
        self._budget, self._filled_at = float(BURST), self._loop.time()
        self._resuming: asyncio.TimerHandle | None = None
        self._patience = PATIENCE_AT_START
        ours.settimeout(0)
        self._loop.add_reader(ours, self._take)
        self._timer = self._loop.call_later(PING_INTERVAL, self._ping)

    def put(self, key: object, item: Outgoing) -> None:
        """Send a frame once there is room, instead of one with the same key."""
        if self.alive:
            self._unsent.pop(key, None)
            self._unsent[key] = item
            self._flush()

    def discard(self, is_unwanted: Callable[[object], bool]) -> None:
        """Do not send what is not sent yet and has a key that is unwanted."""
        for key in tuple(filter(is_unwanted, self._unsent)):
            del self._unsent[key]

    def answered(self) -> None:
        """Expect answers to pings from now on as from a child that has started."""
        self._patience = PATIENCE

    def log(self, text: str) -> None:
        """Log a line of the child's."""
        self._lines += 1
        if self._lines <= _MAX_LINES:
            _log.warning("%s: %s", self._noun, visible(text, limit=TEXT_LIMIT))

    def leave(self, farewell: bytes, *, within: float) -> None:
        """Send what is left and `farewell`, and have the child end within so many s: blocking."""
        if not self.alive:
            return
        self._detach()
        rest = b"".join(it.encoded() for it in self._unsent.values() if not it.sockets)
        with self._connection, suppress(OSError):
            self._connection.settimeout(within + TO_END)
            self._connection.sendall(bytes(self._output) + rest + farewell)
            # The child reads what is left in the socket, and then its end.
            self._connection.shutdown(socket.SHUT_RDWR)
        status = self.child.ended(within=within + TO_END)
        if status is None:
            self.child.kill()
        if status != 0:
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
        self._loop.call_soon(self._receiver.lost, error)

    def _failure(self, reason: str, status: int | None) -> str:
        printed = _last_line(self._errors)
        return f"{self._noun} {reason or _described(status)}{printed and f': {printed}'}"

    def _flush(self) -> None:
        while True:
            if not self._output:
                if not self._unsent:
                    self._loop.remove_writer(self._connection)
                    return
                item = self._unsent.pop(next(iter(self._unsent)))
                self._output, self._sockets = memoryview(item.encoded()), item.sockets
            try:
                # They go with the first byte. One that is closed by now is refused: -1.
                descriptors = [each.fileno() for each in self._sockets]
                sent = socket.send_fds(self._connection, [self._output], descriptors)
            except BlockingIOError:
                self._loop.add_writer(self._connection, self._flush)
                return
            except OSError:
                self._break("")
                return
            self._output, self._sockets = self._output[sent:], ()

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
                self._unanswered = 0
                self._receiver.handle(content)
                if not self.alive:
                    return
        except MalformedFrame as error:
            self._break(f"sent what is no message: {visible(str(error), limit=TEXT_LIMIT)}")
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

    def _ping(self) -> None:
        if self._unanswered >= self._patience:
            self._break("does not answer")
            return
        self._unanswered += 1
        self._timer = self._loop.call_later(PING_INTERVAL, self._ping)
        self.put("ping", Outgoing(lambda: self._ping_frame))


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
    lines = os.pread(errors, TEXT_LIMIT, max(0, size - TEXT_LIMIT)).decode(errors="replace")
    return visible(lines.splitlines()[-1], limit=TEXT_LIMIT) if lines.splitlines() else ""
