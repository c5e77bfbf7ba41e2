"""Asking the agent on the same host, over a real socket."""

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
from uno.control import ControlServer, NoAgent, Want
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
        self.asked_to_sync = 0
        self.server = ControlServer(
            path, view=lambda: self.view, sync=self._sync if syncs else None
        )
        self.path = path
        self.refusal: UnoError | None = None

    def show(self, view: UvnView) -> None:
        self.view = view
        self.loop.call_soon_threadsafe(self.server.changed)

    def run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._serve())

    def stop(self) -> None:
        # Whoever was stopped before has closed its loop, at any moment.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.task.cancel)

    async def _sync(self) -> None:
        self.asked_to_sync += 1
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


def say(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(10)
        one.connect(str(path))
        one.sendall(line)
        with one.makefile("rb") as answer:
            return answer.read()


def test_each_cell_has_a_socket_of_its_own() -> None:
    assert control.socket_path("0123456789abcdef", 3) == Path("/run/uno/01234567-3/agent.sock")


def test_who_asks_is_answered_with_the_view(path: Path) -> None:
    with running(Agent(path)):
        assert control.ask(path) == VIEW


def test_who_follows_gets_the_view_at_once_and_after_a_change(path: Path) -> None:
    with running(Agent(path)) as agent:
        views = control.follow(path)
        first = next(views)
        agent.show(UvnView(uvn="home", viewer=1, generation=8))
        then = next(views)

    assert (first.generation, then.generation) == (7, 8)


def test_who_follows_hears_of_growing_ages_too(path: Path) -> None:
    with running(Agent(path)):
        assert len(list(islice(control.follow(path), 2))) == 2


def test_many_changes_at_once_are_one_line(path: Path) -> None:
    with running(Agent(path)) as agent:
        views = control.follow(path)
        next(views)
        for generation in range(100):
            agent.show(UvnView(uvn="home", viewer=1, generation=generation))
        then = next(views)

    assert then.generation == 99


def test_a_registry_is_asked_to_synchronise_and_then_followed(path: Path) -> None:
    with running(Agent(path, syncs=True)) as agent:
        first = next(control.follow(path, Want.SYNC))

    assert first == VIEW
    assert agent.asked_to_sync == 1


def test_why_a_registry_cannot_synchronise_reaches_who_asked(path: Path) -> None:
    with running(Agent(path, syncs=True)) as agent:
        agent.refusal = ActionNeeded("the registry is locked", "give its passphrase")
        with pytest.raises(UnoError, match="the registry is locked; give its passphrase"):
            control.ask(path, Want.SYNC)


def test_a_cell_does_not_synchronise(path: Path) -> None:
    with running(Agent(path)), pytest.raises(UnoError, match="type uno sync where the registry is"):
        control.ask(path, Want.SYNC)


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"want": "tea"}\n', b"{}\n", b"\n"])
def test_what_is_no_question_is_refused(path: Path, line: bytes) -> None:
    with running(Agent(path)):
        assert b"was asked for what it does not know" in say(path, line)


def test_a_question_without_end_is_cut_off(path: Path) -> None:
    with running(Agent(path)):
        with suppress(ConnectionError):
            assert say(path, b"x" * 100_000) == b""

        assert control.ask(path) == VIEW


def test_without_an_agent_the_error_says_how_to_start_one(path: Path) -> None:
    with pytest.raises(NoAgent, match=r"no agent runs here.*start it with: uno agent -r DIR"):
        control.ask(path)


def test_a_socket_that_a_killed_agent_left_is_replaced(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with pytest.raises(NoAgent):
        control.ask(path)

    with running(Agent(path)):
        assert control.ask(path) == VIEW


def test_a_second_agent_does_not_take_the_socket_of_the_first(path: Path) -> None:
    with running(Agent(path)):
        with pytest.raises(UnoError, match="another agent listens"):
            asyncio.run(ControlServer(path, view=lambda: VIEW).serve())

        assert control.ask(path) == VIEW


def test_only_the_owner_can_open_the_socket(path: Path) -> None:
    with running(Agent(path)):
        control.ask(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_agent_that_ends_takes_its_socket_with_it_and_tells_who_follows(path: Path) -> None:
    with running(Agent(path)) as agent:
        views = control.follow(path)
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
        with pytest.raises(UnoError, match=r"makes no sense.*restart it"):
            control.ask(path)
        other.join(10)


def _answer_once(listening: socket.socket, line: bytes) -> None:
    one, _ = listening.accept()
    with one:
        one.recv(4096)
        one.sendall(line)
