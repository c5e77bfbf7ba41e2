"""The process that serves the page: its agent hands it everything, it opens nothing.

    python -m uno.web.server.page_child DESCRIPTOR PARENT

`DESCRIPTOR` is a socket to the agent, whose process id is `PARENT`. The listening sockets come
through it. The process ends when the agent does.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import os
import signal
import socket
import ssl
import sys
import time
from base64 import b64encode
from collections import deque
from contextlib import suppress
from typing import Any, Final, assert_never

from argon2.low_level import Type, hash_secret_raw

from uno.diagnostics import UnoError
from uno.model import codec
from uno.model.network_directory import Directory
from uno.model.status import CellView, UvnView
from uno.render import web_seal
from uno.render.qr import Code
from uno.unprivileged.confinement import WEB, confine
from uno.unprivileged.frame_stream import FrameBuffer, MalformedFrame
from uno.web import page_frames as frames
from uno.web.documents import EventRow
from uno.web.login_ticket import TicketError, verified
from uno.web.page_site import PageSite, completed
from uno.web.server import static_files
from uno.web.server.application import WebApplication
from uno.web.server.connections import Listeners
from uno.web.server.page_state import PageState

_CHUNK: Final = 1 << 18
_DESCRIPTORS: Final = 16
# Lines that are passed on to the agent's log, and the characters of each text.
_MAX_LINES, _TEXT = 100, 1000

# Seconds between two reports of readers: an agent takes one to last for 45.
_REPORT_INTERVAL: Final = 10.0

# How often, within the time without readers after which it rests, the process looks for them.
_LOOKS: Final = 5


class PageChild:
    """Executes the frames of an agent. For one event loop."""

    def __init__(self, connection: socket.socket) -> None:
        """Exchange frames over `connection`, which blocks."""
        self._connection = connection
        self._buffer = FrameBuffer(limit=frames.TO_PAGE_LIMIT)
        self._sockets: deque[int] = deque()
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._state = PageState(time.monotonic)
        application = WebApplication(
            self._state,
            static_files.load(),
            names=self._names,
            wall=time.time,  # noqa: TID251 - tickets and clocks of cells have times of day
            watched=self._report_reader,
        )
        self._reported_at = -_REPORT_INTERVAL
        self._desk = application.desk
        self._listeners = Listeners(application)

    async def serve(self) -> None:
        """Execute frames until the agent has gone or asks for the end."""
        self._connection.settimeout(0)
        self._loop.add_reader(self._connection, self._take)
        await self._ended

    def _report_reader(self) -> None:
        """Report that somebody reads the page, not more often than an agent needs it."""
        now = self._loop.time()
        if now - self._reported_at >= _REPORT_INTERVAL:
            self._reported_at = now
            self.send(frames.WatchedFrame())

    def send(self, frame: frames.FromPage) -> None:
        """Send a frame; an agent that takes none loses it."""
        with suppress(OSError):
            self._connection.sendall(frames.encode(frame))

    def _rest(self, after: float) -> None:
        """Rest if nobody has been connected for so many seconds, else see again later."""
        quiet_for = self._listeners.quiet_for(self._loop.time())
        if quiet_for >= after and self._desk.is_at_rest:
            # In one step of the loop: no connection is accepted in between.
            self._listeners.close()
            self.send(frames.RestingFrame())
            self._end()
        else:
            self._loop.call_later(after / _LOOKS, self._rest, after)

    def _take(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, _CHUNK, _DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self._sockets.extend(descriptors)
        if not data:
            self._end()
            return
        for content in self._buffer.add(data):
            self._execute(frames.to_page(content))

    def _execute(self, frame: frames.ToPage) -> None:
        match frame:
            case frames.CertificateFrame(chain, key):
                self._listeners.set_certificate(_context(chain, key))
            case frames.OwnCertificateFrame(chain, key, names):
                own = _context(chain, key) if chain else None
                self._listeners.set_own_certificate(own, names)
            case frames.ListenFrame(address, is_plain):
                listening = socket.socket(fileno=self._sockets.popleft())
                self._listeners.add(address, listening, is_plain=is_plain)
            case frames.UnlistenFrame(address):
                self._listeners.remove(address)
            case frames.ProbeFrame():
                self.send(frames.ProbedFrame())
            case frames.RestFrame(after):
                self._rest(after)
            case _:
                self._note(frame)

    def _note(self, frame: frames.Shown) -> None:
        state = self._state
        match frame:
            case frames.SiteFrame(site):
                found = codec.decode(site, PageSite)
                state.set_site(found)
                self._desk.sessions.keep_only(_emails(found))
            case frames.ViewFrame(view, cells):
                state.set_view(codec.decode(view, UvnView), cells)
            case frames.CellFrame(cell, received, is_shortened):
                known = codec.decode(cell, CellView)
                if is_shortened and state.site is not None:
                    known = completed(known, state.site.roster)
                state.set_cell(known, received=received)
            case frames.SeriesFrame(recorded):
                state.series.restore(recorded)
            case frames.DirectoryFrame(directory):
                state.set_directory(codec.decode(directory, Directory))
            case frames.RecordedFrame(rows):
                state.add_events(codec.decode(rows, tuple[EventRow, ...]))
            case _:
                assert_never(frame)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _names(self) -> tuple[str, ...]:
        site = self._state.site
        named = (site.name, site.name.partition(".")[0]) if site else ()
        return (*self._listeners.addresses, *named, *self._listeners.own_names)


class _LineHandler(logging.Handler):
    """Passes warnings on to the log of the agent."""

    def __init__(self, child: PageChild) -> None:
        super().__init__(logging.WARNING)
        self._child = child
        self._left = _MAX_LINES

    def emit(self, record: logging.LogRecord) -> None:
        if self._left > 0:
            self._left -= 1
            text = record.getMessage().strip()
            if record.exc_info and record.exc_info[1] is not None:
                text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            self._child.send(frames.LineFrame(text[:_TEXT]))


def main(descriptor: str, parent: str) -> None:
    """Serve the page for the agent at the other end of the socket `descriptor`."""
    # The agent ends it in order when it is stopped, also by a signal to its group.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            # The event loop, and what is read from the disk, come before the rights are gone.
            with suppress(MalformedFrame):
                asyncio.run(_serve(connection, int(parent)))
        except UnoError as error:
            refused = frames.RefusedFrame(error.what[:_TEXT], error.hint[:_TEXT])
            with suppress(OSError):
                connection.settimeout(5)
                connection.sendall(frames.encode(refused))
    os._exit(0)


async def _serve(connection: socket.socket, parent: int) -> None:
    child = PageChild(connection)
    _rehearse()
    confine(WEB, parent=parent)
    logging.getLogger().addHandler(_LineHandler(child))
    asyncio.get_running_loop().set_exception_handler(_log_or_die)
    await child.serve()


def _rehearse() -> None:
    """Do once what loads code from the disk when it is first done."""
    password = hash_secret_raw(b"", bytes(16), 1, 64, 1, 32, Type.ID)
    particular: dict[str, Any] = {
        "password_hash": password,
        "identity": "00" * 16,
        "cell": 1,
        "email": "",
    }
    web_seal.unseal(web_seal.seal({1: bytes(web_seal.KEYS)}, **particular), **particular)
    Code("").svg("")
    with suppress(TicketError):
        verified("", registry_key=b64encode(bytes(32)).decode(), cell=1, now=0.0)
    # Threads of an executor, and codecs.
    for name in ("concurrent.futures.thread", "encodings.idna", "encodings.latin_1"):
        importlib.import_module(name)


def _log_or_die(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """End where a callback fails: the agent starts another process, and logs why."""
    error = context.get("exception")
    if isinstance(error, OSError | ssl.SSLError | TimeoutError):
        return
    sys.stderr.write(f"{type(error).__name__}: {error or context.get('message')}\n")
    sys.stderr.flush()
    del loop
    os._exit(1)


def _emails(site: PageSite) -> frozenset[str]:
    return frozenset((site.owner, *(each.email for each in site.users)))


def _context(chain: str, key: str) -> ssl.SSLContext:
    """Return what serves with a certificate; `ssl` reads it from files, here in memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with _file_in_memory(chain) as chain_file, _file_in_memory(key) as key_file:
        context.load_cert_chain(
            f"/proc/self/fd/{chain_file.fileno()}", f"/proc/self/fd/{key_file.fileno()}"
        )
    return context


def _file_in_memory(content: str) -> io.FileIO:
    file = io.FileIO(os.memfd_create("certificate"), "wb")
    file.write(content.encode())
    return file


if __name__ == "__main__":
    main(*sys.argv[1:])
