"""How commands talk to the agent on the same host: JSON lines through a unix socket.

A client sends one line, `{"want": "view"}`. The answer is one line with the agent's `UvnView`; for
`watch` and `sync` it goes on with another after each change. What cannot be done is answered with
`{"error": what, "hint": what to do}`. Only root and the agent's own user can open the socket.
"""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model import codec
from uno.model.codec import MalformedJson
from uno.model.status import UvnView

RUN = Path("/run/uno")
SOCKET = "agent.sock"

SHORTEST = 0.1
"""Seconds between two lines to the same client, at least."""

LONGEST = 2.0
"""Seconds between two lines to the same client, at most: ages grow where nothing changes."""

# An agent on a small machine may be busy applying a change; this long it never is.
PATIENCE = 20.0

_QUESTION_LIMIT = 4096


class Want(StrEnum):
    """What a client asks for. `sync` is for the registry: release the newest generation."""

    VIEW = "view"
    WATCH = "watch"
    SYNC = "sync"


class NoAgent(ActionNeeded):
    """Nobody listens: the agent does not run."""


class AgentEnded(TransientFailure):
    """The agent ended while it was listened to."""


class _Question(Struct, frozen=True):
    want: str


class _Refusal(Struct, frozen=True):
    error: str
    hint: str = ""


def socket_path(identity: str, cell: int, *, run: Path | None = None) -> Path:
    """Return where the agent of a cell listens; the registry's has the cell id 0.

    `run` is for sockets that are elsewhere than in `RUN`.
    """
    return (run or RUN) / f"{identity[:8]}-{cell}" / SOCKET


class ControlServer:
    """The agent's end. For one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        view: Callable[[], UvnView],
        sync: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Answer at `path` with what `view` returns then.

        `sync` does what the registry's agent is asked to; an UnoError from it goes to the client.
        """
        self._path = path
        self._view = view
        self._sync = sync
        self._change = asyncio.Event()

    def changed(self) -> None:
        """Have everyone who watches look again."""
        self._change.set()
        self._change = asyncio.Event()

    async def serve(self) -> None:
        """Answer until cancelled. Raises UnoError where the socket cannot be made."""
        loop = asyncio.get_running_loop()
        with _listening(self._path) as listening:
            async with asyncio.TaskGroup() as clients:
                while True:
                    client, _ = await loop.sock_accept(listening)
                    clients.create_task(self._answer(client))

    async def _answer(self, client: socket.socket) -> None:
        # Whoever goes away, says too much or nothing at all gets no answer.
        with client, suppress(OSError, TimeoutError):
            await self._converse(client)

    async def _converse(self, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                line = await _read_line(client)
            want = Want(codec.decode(line, _Question).want)
            if want is Want.SYNC:
                await self._start_sync()
        except ValueError:
            await _send(client, _Refusal(error="the agent was asked for what it does not know"))
            return
        except UnoError as error:
            await _send(client, _Refusal(error=error.what, hint=error.hint))
            return
        await _send(client, self._view())
        while want is not Want.VIEW:
            change = self._change
            await asyncio.sleep(SHORTEST)
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST - SHORTEST):
                    await change.wait()
            await _send(client, self._view())

    async def _start_sync(self) -> None:
        if self._sync is None:
            raise ActionNeeded(
                "this is the agent of a cell, which has nothing to synchronise",
                "type uno sync where the registry is",
            )
        await self._sync()


def ask(path: Path, want: Want = Want.VIEW) -> UvnView:
    """Return the view of the agent that listens at `path`. Raises as `follow` does."""
    for view in follow(path, want):
        return view
    raise _gone()


def follow(path: Path, want: Want = Want.WATCH) -> Iterator[UvnView]:
    """Yield the agent's view at once and after each change, and every `LONGEST` seconds at least.

    Raises NoAgent where none listens, AgentEnded if it ends, UnoError if it refuses, or is silent
    for `PATIENCE`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(PATIENCE)
        _connect(one, path)
        try:
            one.sendall(codec.encode(_Question(want=want)) + b"\n")
            with one.makefile("rb") as lines:
                for line in lines:
                    yield _understood(line)
        except TimeoutError as error:
            raise TransientFailure(
                f"the agent has not answered for {PATIENCE:g} s", "see its log"
            ) from error
        except OSError as error:
            raise _gone() from error
    if want is not Want.VIEW:
        raise _gone()


def is_served(path: Path) -> bool:
    """Whether an agent listens at `path`, as far as this user can tell."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(PATIENCE)
        try:
            one.connect(str(path))
        except OSError:
            return False
    return True


def _connect(one: socket.socket, path: Path) -> None:
    try:
        one.connect(str(path))
    except PermissionError as error:
        raise ActionNeeded("only root can ask the agent", "run it with sudo") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoAgent(
            f"no agent runs here: nobody listens at {path}", "start it with: uno agent -r DIR"
        ) from error
    except OSError as error:
        raise TransientFailure(
            f"cannot ask the agent at {path} ({error.strerror or error})"
        ) from error


def _understood(line: bytes) -> UvnView:
    try:
        return codec.decode(line, UvnView)
    except MalformedJson:
        pass
    try:
        refusal = codec.decode(line, _Refusal)
    except MalformedJson as error:
        raise ActionNeeded(
            f"the agent's answer makes no sense: {error}",
            "it may be another version of uno: restart it",
        ) from error
    raise ActionNeeded(refusal.error, refusal.hint)


def _gone() -> AgentEnded:
    return AgentEnded("the agent has ended", "see its log")


async def _read_line(client: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _QUESTION_LIMIT:
        part = await asyncio.get_running_loop().sock_recv(client, _QUESTION_LIMIT)
        if not part:
            raise ConnectionResetError("the client has gone")
        line += part
    return line


async def _send(client: socket.socket, value: UvnView | _Refusal) -> None:
    await asyncio.get_running_loop().sock_sendall(client, codec.encode(value) + b"\n")


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Listen at `path`, in place of a socket that nobody serves any more."""
    if is_served(path):
        raise ActionNeeded(f"another agent listens at {path} already", "end it first")
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
                # Whoever came after us has a socket of its own there.
                if path.stat().st_ino == mine:
                    path.unlink()


def _bind(made: socket.socket, path: Path) -> int:
    """Bind and listen; return the inode of the socket's file."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    made.bind(str(fresh))
    # Before it listens: until then nobody can connect.
    fresh.chmod(stat.S_IRUSR | stat.S_IWUSR)
    made.listen()
    fresh.replace(path)
    return path.stat().st_ino
