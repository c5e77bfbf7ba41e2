"""Requests to the agent on the same host, over a real socket."""

from __future__ import annotations

import asyncio
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest

from uno import control
from uno.control import ControlRequest, ControlServer, NoAgent
from uno.diagnostics import ActionNeeded, UnoError
from uno.model.status import UvnView

VIEW = UvnView(uvn="home", viewer=1, generation=7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "12345678-1" / "agent.sock"


class Agent:
    """A server in a thread of its own, as an agent has one in its loop."""

    def __init__(self, path: Path, *, syncs: bool = False) -> None:
        self.view = VIEW
        self.sync_requests = 0
        self.server = ControlServer(
            path,
            view=lambda: self.view,
            watched=self._note_watched,
            sync=self._sync if syncs else None,
        )
        self.watched = 0
        self.path = path
        self.refusal: UnoError | None = None

    def show(self, view: UvnView) -> None:
        self.view = view
        self.loop.call_soon_threadsafe(self.server.changed)

    def run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._serve())

    def stop(self) -> None:
        # A server that was stopped before may have closed its loop.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.task.cancel)

    def _note_watched(self) -> None:
        self.watched += 1

    async def _sync(self) -> None:
        self.sync_requests += 1
        if self.refusal:
            raise self.refusal

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        await self.server.serve()


@contextmanager
def running(agent: Agent) -> Iterator[Agent]:
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        until(lambda: control.is_served(agent.path))
        yield agent
    finally:
        agent.stop()
        thread.join(10)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not come to be within 10 s")


def send(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(10)
        one.connect(str(path))
        one.sendall(line)
        with one.makefile("rb") as answer:
            return answer.read()


def test_each_cell_has_a_socket_of_its_own() -> None:
    assert control.socket_path("0123456789abcdef", 3) == Path("/run/uno/01234567-3/agent.sock")


def test_the_response_to_a_view_request_is_the_view(path: Path) -> None:
    with running(Agent(path)):
        assert control.request_view(path) == VIEW


def test_a_watcher_gets_the_view_at_once_and_after_a_change(path: Path) -> None:
    with running(Agent(path)) as agent:
        views = control.watch_views(path)
        first = next(views)
        agent.show(UvnView(uvn="home", viewer=1, generation=8))
        then = next(views)

    assert (first.generation, then.generation) == (7, 8)


def test_a_watcher_gets_growing_ages_too(path: Path) -> None:
    with running(Agent(path)):
        assert len(list(islice(control.watch_views(path), 2))) == 2


def test_many_changes_at_once_are_one_line(path: Path) -> None:
    with running(Agent(path)) as agent:
        views = control.watch_views(path)
        next(views)
        for generation in range(100):
            agent.show(UvnView(uvn="home", viewer=1, generation=generation))
        then = next(views)

    assert then.generation == 99


def test_a_sync_request_is_carried_out_and_then_watched(path: Path) -> None:
    with running(Agent(path, syncs=True)) as agent:
        first = next(control.watch_views(path, ControlRequest.SYNC))

    assert first == VIEW
    assert agent.sync_requests == 1


@pytest.mark.parametrize(
    ("request_", "watched"),
    [
        (ControlRequest.VIEW, 1),
        (ControlRequest.WATCH, 1),
        (ControlRequest.FOLLOW, 0),
        (ControlRequest.SYNC, 0),
    ],
)
def test_cells_measure_for_who_watches_and_not_for_who_follows_a_rollout(
    path: Path, request_: ControlRequest, watched: int
) -> None:
    with running(Agent(path, syncs=True)) as agent:
        control.request_view(path, request_)

    assert agent.watched == watched


def test_the_error_of_a_sync_is_sent_to_the_client(path: Path) -> None:
    with running(Agent(path, syncs=True)) as agent:
        agent.refusal = ActionNeeded("the registry is locked", "give its passphrase")
        with pytest.raises(UnoError, match="the registry is locked; give its passphrase"):
            control.request_view(path, ControlRequest.SYNC)


def test_a_cell_does_not_synchronise(path: Path) -> None:
    with running(Agent(path)), pytest.raises(UnoError, match="run uno sync at the registry"):
        control.request_view(path, ControlRequest.SYNC)


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"request": "tea"}\n', b"{}\n", b"\n"])
def test_a_malformed_request_is_refused(path: Path, line: bytes) -> None:
    with running(Agent(path)):
        assert b"does not know this request" in send(path, line)


def test_an_endless_request_is_cut_off(path: Path) -> None:
    with running(Agent(path)):
        with suppress(ConnectionError):
            assert send(path, b"x" * 100_000) == b""

        assert control.request_view(path) == VIEW


def test_without_an_agent_the_hint_is_how_to_start_one(path: Path) -> None:
    with pytest.raises(NoAgent, match=r"no agent runs here.*start it with: uno agent -r DIR"):
        control.request_view(path)


def test_a_socket_that_a_killed_agent_left_is_replaced(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with pytest.raises(NoAgent):
        control.request_view(path)

    with running(Agent(path)):
        assert control.request_view(path) == VIEW


def test_a_second_agent_does_not_take_the_socket_of_the_first(path: Path) -> None:
    with running(Agent(path)):
        with pytest.raises(UnoError, match="another agent serves"):
            asyncio.run(ControlServer(path, view=lambda: VIEW).serve())

        assert control.request_view(path) == VIEW


def test_only_the_owner_can_open_the_socket(path: Path) -> None:
    with running(Agent(path)):
        control.request_view(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_agent_that_ends_removes_its_socket_and_ends_its_watchers(path: Path) -> None:
    with running(Agent(path)) as agent:
        views = control.watch_views(path)
        next(views)
        agent.stop()
        with pytest.raises(UnoError, match="the agent has ended"):
            list(views)

    assert not path.exists()


def test_an_answer_of_another_version_is_an_error_for_people(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        other = threading.Thread(target=_answer_once, args=(listening, b'{"hello": 1}\n'))
        other.start()
        with pytest.raises(UnoError, match=r"cannot be decoded.*restart it"):
            control.request_view(path)
        other.join(10)


def _answer_once(listening: socket.socket, line: bytes) -> None:
    one, _ = listening.accept()
    with one:
        one.recv(4096)
        one.sendall(line)
