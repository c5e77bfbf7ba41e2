"""The protocol between commands and the agent on the same host: JSON lines over a unix socket.

A client sends one line, `{"request": "view"}`. The response is one line with the agent's view, a
`ViewUpdate`; for `watch`, `follow` and `sync` another follows after each change, with what has
changed. An error is `{"error": what, "hint": what to do}`. Only root and the agent's own user can
open the socket.
"""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.files import make_open_dir
from uno.model import codec
from uno.model.codec import MalformedJson
from uno.model.status import UvnView
from uno.statesync.view_updates import FollowedView, Lans, ViewUpdate, ViewUpdates

RUN = Path("/run/uno")
SOCKET = "agent.sock"

MIN_INTERVAL = 0.1
"""Seconds between two lines to the same client, at least."""

MAX_INTERVAL = 2.0
"""Seconds between two lines to the same client, at most: ages grow without a change."""

MEASURED_WITHIN = 2.5
"""Seconds in which cells advertise what they measure, once someone asks for it."""

# Seconds. An agent on a small machine that applies a change may take some of them.
RESPONSE_TIMEOUT = 20.0

_REQUEST_LIMIT = 4096


class ControlRequest(StrEnum):
    """The requests of clients. `sync` is for the registry: release the newest generation.

    One that asks for a view, or watches, has all cells advertise what they measure. One that
    follows, or releases, has not: what a change waits for is advertised anyway.
    """

    VIEW = "view"
    WATCH = "watch"
    FOLLOW = "follow"
    SYNC = "sync"


class NoAgent(ActionNeeded):
    """No agent runs: the socket is not served."""


class AgentEnded(TransientFailure):
    """The agent closed the connection."""


class _Message(Struct, frozen=True):
    request: str


class _Error(Struct, frozen=True):
    error: str
    hint: str = ""


def socket_path(identity: str, cell: int, *, run: Path | None = None) -> Path:
    """Return the path of an agent's socket; the registry's agent has the cell id 0.

    `run` is the directory for sockets, `RUN` if it is None.
    """
    return (run or RUN) / f"{identity[:8]}-{cell}" / SOCKET


class ControlServer:
    """The agent's end of the socket. For one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        view: Callable[[], UvnView],
        watched: Callable[[], None] = lambda: None,
        lans: Callable[[], Lans] = dict,
        sync: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Serve `path`; `view` returns the current view, and `lans` the LANs of its cells.

        `watched` is called each time that one is sent to a client that watches the UVN. `sync`
        carries out such a request; its UnoError is sent to the client.
        """
        self._path = path
        self._view = view
        self._watched = watched
        self._lans = lans
        self._sync = sync
        self._change = asyncio.Event()

    def changed(self) -> None:
        """Send the view to all clients that watch."""
        self._change.set()
        self._change = asyncio.Event()

    async def serve(self) -> None:
        """Serve clients until cancelled. Raises UnoError if the socket cannot be created."""
        loop = asyncio.get_running_loop()
        with _listening(self._path) as listening:
            async with asyncio.TaskGroup() as clients:
                while True:
                    client, _ = await loop.sock_accept(listening)
                    clients.create_task(self._serve_client(client))

    async def _serve_client(self, client: socket.socket) -> None:
        # A client that disconnects, or sends too much or nothing, gets no response.
        with client, suppress(OSError, TimeoutError):
            await self._respond(client)

    async def _respond(self, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT):
                line = await _read_line(client)
            request = ControlRequest(codec.decode(line, _Message).request)
            if request is ControlRequest.SYNC:
                await self._start_sync()
        except ValueError:
            await _send(client, _Error(error="the agent does not know this request"))
            return
        except UnoError as error:
            await _send(client, _Error(error=error.what, hint=error.hint))
            return
        updates = ViewUpdates()
        await _send(client, self._next(updates, request))
        while request is not ControlRequest.VIEW:
            change = self._change
            await asyncio.sleep(MIN_INTERVAL)
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_INTERVAL - MIN_INTERVAL):
                    await change.wait()
            await _send(client, self._next(updates, request))

    def _next(self, updates: ViewUpdates, request: ControlRequest) -> ViewUpdate:
        if request in {ControlRequest.VIEW, ControlRequest.WATCH}:
            self._watched()
        return updates.next(self._view(), self._lans())

    async def _start_sync(self) -> None:
        if self._sync is None:
            raise ActionNeeded(
                "this is the agent of a cell, which has nothing to synchronise",
                "run uno sync at the registry",
            )
        await self._sync()


def request_view(path: Path, request: ControlRequest = ControlRequest.VIEW) -> UvnView:
    """Return the view of the agent that serves `path`. Raises as `watch_views` does."""
    for view in watch_views(path, request):
        return view
    raise _ended()


def measured_view(path: Path) -> UvnView:
    """Return the view with what all cells measure, as far as it arrives in `MEASURED_WITHIN`.

    Cells advertise it only while someone asks (`statesync.timers`). Raises as `watch_views` does.
    """
    deadline = time.monotonic() + MEASURED_WITHIN
    for view in watch_views(path, ControlRequest.WATCH):
        if view.measured or time.monotonic() >= deadline:
            return view
    raise _ended()


def watch_views(path: Path, request: ControlRequest = ControlRequest.WATCH) -> Iterator[UvnView]:
    """Yield the agent's view at once, after each change, and at least every `MAX_INTERVAL`.

    Raises NoAgent if none serves `path`, AgentEnded if it ends, UnoError if it sends an error, or
    nothing for `RESPONSE_TIMEOUT`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(RESPONSE_TIMEOUT)
        _connect(one, path)
        try:
            one.sendall(codec.encode(_Message(request=request)) + b"\n")
            followed = FollowedView()
            with one.makefile("rb") as lines:
                for line in lines:
                    yield _followed(followed, line)
        except TimeoutError as error:
            raise TransientFailure(
                f"the agent has not answered for {RESPONSE_TIMEOUT:g} s", "see its log"
            ) from error
        except OSError as error:
            raise _ended() from error
    if request is not ControlRequest.VIEW:
        raise _ended()


def is_served(path: Path) -> bool:
    """Whether an agent serves `path`; False if this user may not connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(RESPONSE_TIMEOUT)
        try:
            one.connect(str(path))
        except OSError:
            return False
    return True


def _connect(one: socket.socket, path: Path) -> None:
    try:
        one.connect(str(path))
    except PermissionError as error:
        raise ActionNeeded("only root can connect to the agent", "run it with sudo") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoAgent(
            f"no agent runs here: {path} is not served", "start it with: uno agent -r DIR"
        ) from error
    except OSError as error:
        raise TransientFailure(
            f"cannot connect to the agent at {path} ({error.strerror or error})"
        ) from error


def _followed(followed: FollowedView, line: bytes) -> UvnView:
    try:
        return followed.apply(codec.decode(line, ViewUpdate))
    except (MalformedJson, KeyError):
        pass
    try:
        refusal = codec.decode(line, _Error)
    except MalformedJson as error:
        raise ActionNeeded(
            f"the agent's response cannot be decoded: {error}",
            "it may be another version of uno: restart it",
        ) from error
    raise ActionNeeded(refusal.error, refusal.hint)


def _ended() -> AgentEnded:
    return AgentEnded("the agent has ended", "see its log")


async def _read_line(client: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _REQUEST_LIMIT:
        part = await asyncio.get_running_loop().sock_recv(client, _REQUEST_LIMIT)
        if not part:
            raise ConnectionResetError("the client has gone")
        line += part
    return line


async def _send(client: socket.socket, value: ViewUpdate | _Error) -> None:
    await asyncio.get_running_loop().sock_sendall(client, codec.encode(value) + b"\n")


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Listen at `path`, and replace a socket that is not served any more."""
    if is_served(path):
        raise ActionNeeded(f"another agent serves {path} already", "end it first")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.settimeout(0)
        try:
            mine = _bind(made, path)
        except OSError as error:
            raise TransientFailure(
                f"cannot listen at {path} ({error.strerror or error})"
            ) from error
        try:
            yield made
        finally:
            with suppress(OSError):
                # Another agent may have replaced the socket.
                if path.stat().st_ino == mine:
                    path.unlink()


def _bind(made: socket.socket, path: Path) -> int:
    """Bind and listen; return the inode of the socket's file."""
    make_open_dir(path.parent)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    made.bind(str(fresh))
    # Before listen(2): until then no client can connect.
    fresh.chmod(stat.S_IRUSR | stat.S_IWUSR)
    made.listen()
    fresh.replace(path)
    return path.stat().st_ino
