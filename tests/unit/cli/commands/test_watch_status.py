"""`uno status`, against an agent that a test plays."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from commands import Outcome, Uno
from uno import control
from uno.control import ControlServer
from uno.controller import release_store
from uno.model.status import CellStatus, CellView, LanState, UvnView
from uno.registry.changes import operations

LAN = IPv4Network("192.168.1.0/24")
WELL = CellStatus(generation=4, lans=(LanState(network=LAN, interface="eth0"),))
CELL = CellView(id=1, name="a", package=4, status=WELL, alive=True, age=0.0, status_age=0.0)
VIEW = UvnView(uvn="net", viewer=0, generation=4, cells=(CELL,))
BEHIND = UvnView(uvn="net", viewer=0, generation=5, cells=(CELL, CellView(id=2, name="b")))


@contextmanager
def agent(path: Path, view: UvnView, *, most: float = math.inf) -> Iterator[Callable[[], None]]:
    """Serve `view` at `path`, `most` times; what is yielded ends that, if it is called before."""
    started = threading.Event()
    served = itertools.count(1)
    tasks: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None] | None]] = []

    async def serve() -> None:
        tasks.append((asyncio.get_running_loop(), asyncio.current_task()))
        started.set()
        await ControlServer(path, view=serve_view).serve()

    def serve_view() -> UvnView:
        if next(served) > most:
            stop()
        return view

    def run() -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(serve())

    def stop() -> None:
        loop, task = tasks[0]
        assert task is not None
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    pause = threading.Event()
    while not control.is_served(path):
        assert thread.is_alive(), "the socket is not served"
        pause.wait(0.01)
    try:
        yield stop
    finally:
        stop()
        thread.join(10)


@pytest.fixture(autouse=True)
def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have agents' sockets in a folder of the test's."""
    monkeypatch.setattr(control, "RUN", tmp_path / "run")


@pytest.fixture
def path(site: Uno, root: Path) -> Path:  # noqa: ARG001 - which makes the registry
    """The socket of the registry's agent."""
    with operations.opened(root) as registry:
        return control.socket_path(registry.store.head().uvn.identity, 0)


def test_a_uvn_that_is_well_is_shown_with_exit_status_0(site: Uno, path: Path) -> None:
    with agent(path, VIEW):
        found = site("status")

    assert found.status == 0
    assert found.out.startswith("net, seen from the registry: generation 4, consistent, routed\n")


def test_one_that_is_not_well_has_exit_status_1(site: Uno, path: Path) -> None:
    with agent(path, BEHIND):
        found = site("status")

    assert found.status == 1
    assert "b: no contact yet; is its package installed, and its agent running?" in found.out


@pytest.mark.feature("G52")
def test_one_where_something_is_in_the_way_has_exit_status_1(site: Uno, path: Path) -> None:
    status = replace(WELL, obstacles=("eth0 has no carrier",))
    with agent(path, replace(VIEW, cells=(replace(CELL, status=status),))):
        found = site("status", "--json")

    told = json.loads(found.out)
    assert found.status == 1
    assert (told["routed"], told["obstructed"]) == (True, True)
    assert told["cells"][0]["status"]["obstacles"] == ["eth0 has no carrier"]


def release(root: Path) -> None:
    with operations.opened(root, for_change=True) as registry:
        release_store.release(registry, attempt=1)


@pytest.mark.feature("F046")
@pytest.mark.feature("G41")
def test_a_ban_that_is_not_released_is_named_with_exit_status_3(
    site: Uno, root: Path, path: Path
) -> None:
    release(root)
    with agent(path, VIEW):
        assert site("status").status == 0
    site("config", "cell", "b", "-U", "--location", "attic")
    site("ban", "particle", "phone")

    with agent(path, VIEW):
        found, value = site("status"), json.loads(site("status", "--json").out)

    assert found.status == 3
    assert found.out.splitlines()[1:5] == [
        "2 changes not released: uno sync",
        "  ban of particle phone: cells in contact refuse it already, before uno sync",
        "  generation 5: config cell b --location attic -U",
        "  generation 6: ban particle phone",
    ]
    assert value["not_released"] == {"generations": [5, 6], "revoked": ["ban of particle phone"]}


@pytest.mark.feature("G41")
def test_a_fault_counts_more_than_what_is_not_released(site: Uno, root: Path, path: Path) -> None:
    release(root)
    site("ban", "particle", "phone")

    with agent(path, BEHIND):
        found = site("status")

    assert found.status == 1
    assert "1 change not released: uno sync" in found.out


@pytest.mark.feature("G41")
def test_without_an_agent_what_is_not_released_is_named_too(site: Uno, root: Path) -> None:
    release(root)
    site("ban", "particle", "phone")

    found = site("status")

    assert found.status == 2
    assert found.out.splitlines()[:2] == [
        "1 change not released: uno sync",
        "  ban of particle phone: cells refuse it once the registry's agent runs",
    ]
    assert "no agent runs for the registry of net" in found.err


@pytest.mark.feature("G41")
def test_of_many_changes_that_are_not_released_some_are_listed(site: Uno, root: Path) -> None:
    release(root)
    for number in range(10):
        site("config", "cell", "b", "-U", "--httpd-port", str(9000 + number))

    lines = site("status").out.splitlines()

    assert lines[0] == "10 changes not released: uno sync"
    assert (len(lines), lines[-1]) == (10, "  … and 2 more: uno log")


def test_programs_get_one_object(site: Uno, path: Path) -> None:
    with agent(path, BEHIND):
        found = site("status", "--json")

    reported = json.loads(found.out)
    assert (reported["uvn"], reported["generation"], reported["consistent"]) == ("net", 5, False)
    assert [(it["name"], it["consistent"], it["routed"]) for it in reported["cells"]] == [
        ("a", True, True),
        ("b", False, False),
    ]
    assert reported["cells"][0]["status"]["lans"][0]["network"] == "192.168.1.0/24"
    assert found.status == 1


def watched(site: Uno, path: Path, *words: str) -> Outcome:
    """Watch an agent that ends after the first lines."""
    with agent(path, VIEW, most=2):
        return site("status", "--watch", *words)


def test_watching_programs_get_an_object_a_line(site: Uno, path: Path) -> None:
    found = watched(site, path, "--json")

    lines = found.out.splitlines()
    assert len(lines) >= 2
    assert json.loads(lines[0])["cells"] == json.loads(lines[1])["cells"]


def test_watching_ends_with_the_agent(site: Uno, path: Path) -> None:
    found = watched(site, path)

    assert found.out.count("net, seen from the registry") >= 2
    assert found.err == "uno: the agent has ended; see its log\n"
    assert found.status == 1


def test_without_an_agent_the_registry_shows_how_to_start_one(site: Uno) -> None:
    found = site("status")

    assert found.status == 2
    assert found.err == ("uno: no agent runs for the registry of net; start it: uno agent -r DIR\n")


def test_without_an_agent_programs_get_the_error_as_an_object(site: Uno) -> None:
    found = site("status", "--json")

    assert "no agent runs" in json.loads(found.out)["error"]["problems"][0]["what"]


def test_a_directory_of_nothing_is_named(uno: Uno, root: Path) -> None:
    found = uno("status")

    assert found.status == 2
    assert f"neither a registry nor a cell in {root}" in found.err


def test_at_a_cell_the_agent_of_that_cell_is_asked(site: Uno, root: Path) -> None:
    with operations.opened(root) as registry:
        identity = registry.store.head().uvn.identity
    cell = root.parent / "cell"
    package = root / "cells" / "net__b.uvn-agent"
    assert site("install", str(package), "-r", str(cell), in_root=False).status == 0
    with agent(control.socket_path(identity, 2), VIEW):
        found = site("status", "-r", str(cell), in_root=False)

    assert found.status == 0
