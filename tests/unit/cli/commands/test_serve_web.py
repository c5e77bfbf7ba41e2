from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace

import tls
import web_pages
from commands import Uno
from plain_reader import PlainReader
from uno import control, program
from uno.cli import followed_registry
from uno.cli.followed_registry import FollowedAgent
from uno.cli.output import show_views
from uno.control import ControlServer
from uno.controller import registry_page
from uno.controller.registry_page import RegistryPage
from uno.diagnosis.network_map import map_of_facts, map_of_plan
from uno.diagnostics import ActionNeeded
from uno.host.command import start
from uno.model.messages import REGISTRY
from uno.model.status import CellStatus, UvnView
from uno.registry.changes import operations
from uno.web import leaf_certificate
from uno.web.server.connections import Listeners

IDENTITY = "0123456789abcdef" * 2
OWNER = "john@example.org"


@dataclass(frozen=True)
class ServedRegistry:
    """The page of a registry at a port of the loopback interface, and its agent's view, if any."""

    page: RegistryPage
    port: int
    root: Path
    agent: list[UvnView | None]

    def ticket(self) -> str:
        """Return an address that opens it."""
        with operations.opened(self.root) as registry:
            return show_views.own_login_address(
                registry,
                followed_registry.LOOPBACK,
                port=self.port,
                now=time.time(),  # noqa: TID251
            )

    def owner(self) -> PlainReader:
        """Return the UVN's owner, logged in."""
        reader = PlainReader(self.port)
        assert reader.open(self.ticket()).status == 303
        return reader

    def shows(self, reader: PlainReader, **wanted: Any) -> Callable[[], bool]:
        """Return whether the summary has these values."""

        def is_shown() -> bool:
            found = reader.document("summary")
            return all(found[name] == value for name, value in wanted.items())

        return is_shown


@asynccontextmanager
async def served(root: Path, folder: Path) -> AsyncIterator[ServedRegistry]:
    port = web_pages.free_port()
    page = followed_registry.make_registry_page(root, folder, environ={}, port=port)
    page.start()
    found = ServedRegistry(page, port, root, [None])
    running = asyncio.ensure_future(page.run(lambda: found.agent[-1], lambda: None))
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.wait([running])


def played(root: Path, folder: Path, scene: Callable[[ServedRegistry], None]) -> None:
    """Play a scene, which blocks, beside the page."""

    async def play() -> None:
        async with served(root, folder) as found:
            await asyncio.to_thread(scene, found)

    folder.mkdir()
    asyncio.run(play())


def wait_until(condition: Callable[[], object], *, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        Event().wait(0.05)


@pytest.mark.feature("F106")
@pytest.mark.feature("G43")
def test_before_any_cell_is_up_the_page_shows_what_is_defined(
    site: Uno, root: Path, tmp_path: Path
) -> None:
    def scene(page: ServedRegistry) -> None:
        reader = page.owner()
        summary = reader.document("summary")
        assert [(it["name"], it["health"]) for it in summary["cells"]] == [
            ("a", "never"),
            ("b", "never"),
        ]
        assert (summary["viewer"], summary["registry"], summary["limited"]) == (0, False, False)
        assert [it["package"] for it in summary["cells"]] == [4, 4]
        # One cause, and not one for each cell.
        assert [it["kind"] for it in summary["alerts"]] == ["registry-lost"]
        assert summary["headline"].startswith("the registry's agent does not run")
        assert [it["network"] for it in summary["lans"]] == ["192.168.1.0/24", "192.168.2.0/24"]
        assert [it["name"] for it in summary["links"]] == ["1-2"]
        settings = reader.document("settings")
        assert (settings["owner"], settings["directory"]) == (OWNER, 4)
        assert [it["name"] for it in reader.document("particles")["particles"]] == ["phone"]
        assert reader.document("guide/1")["ports"]
        assert reader.document("matrix")["cells"] == [1, 2]
        assert reader.document("cells/1")["cell"]["name"] == "a"
        assert reader.document("links/1-2")["link"]["health"] == "unknown"
        assert reader.document("series/1-2")["link"] == "1-2"
        explained = reader.document("explain?from=a&to=192.168.2.9")
        assert (explained["viewer"], explained["reaches"]) == ("the registry", None)
        assert explained["forth"]["planned"] == ["a", "b"]

        assert site("define", "cell", "c", "-N", "192.168.3.0/24").status == 0
        wait_until(lambda: len(reader.document("summary")["cells"]) == 3)

    played(root, tmp_path / "page", scene)


@pytest.mark.feature("F116")
def test_the_address_that_is_printed_opens_the_page_once(
    site: Uno, root: Path, tmp_path: Path
) -> None:
    del site

    def scene(page: ServedRegistry) -> None:
        reader, again, url = PlainReader(page.port), PlainReader(page.port), page.ticket()
        assert reader.ask("GET", "/api/v1/summary").status == 401

        opened = reader.open(url)

        assert (opened.status, opened.fields["location"]) == (303, "/")
        # Without TLS browsers refuse cookies whose name or attributes require it.
        for cookie in opened.fields.get_all("set-cookie"):
            assert cookie.startswith("uno")
            assert "Secure" not in cookie
            assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
        session = reader.document("session")
        assert (session["email"], session["is_owner"]) == (OWNER, True)
        used = again.open(url)
        assert (used.status, used.json()["hint"]) == (403, "run again: uno web login")
        # That of a cell opens nothing here.
        with operations.opened(root) as registry:
            of_a = show_views.login_address(registry, "a", now=time.time())  # noqa: TID251
        assert again.open(of_a).status == 403

        foreign = {"Origin": "http://example.org"}
        assert reader.ask("POST", "/api/v1/logout", {}, **foreign).status == 403
        secure = {"Origin": f"https://127.0.0.1:{page.port}"}
        assert reader.ask("POST", "/api/v1/logout", {}, **secure).status == 403
        assert reader.ask("GET", "/", Host="example.org").status == 421
        own = {"Origin": f"http://127.0.0.1:{page.port}"}
        assert reader.ask("POST", "/api/v1/logout", {}, **own).status == 204
        assert reader.ask("GET", "/api/v1/summary").status == 401

        # There is no token, and none opens.
        given = reader.ask("GET", "/metrics", Authorization="Bearer ")
        assert given.status == 404
        password = {"email": OWNER, "password": "secret"}
        assert reader.ask("POST", "/api/v1/login", password).status == 200
        wrong = reader.ask("POST", "/api/v1/login", {**password, "password": "wrong"})
        assert wrong.status == 401
        # Keys of particles are not here.
        asked = reader.ask("POST", "/api/v1/particles/1/config", {"password": "secret"})
        assert asked.status == 404

    played(root, tmp_path / "page", scene)


@pytest.mark.feature("G43")
def test_the_agents_view_is_shown_and_after_its_end_what_was_seen_last(
    site: Uno, root: Path, tmp_path: Path
) -> None:
    del site

    def scene(page: ServedRegistry) -> None:
        reader = page.owner()
        page.agent.append(agents_view(page.root))
        wait_until(page.shows(reader, registry=True, generation=4))
        assert [it["health"] for it in reader.document("summary")["cells"]] == ["ok", "never"]
        assert reader.document("explain?from=a&to=b")["viewer"] == "the registry"

        page.agent.append(None)

        wait_until(page.shows(reader, registry=False))
        summary = reader.document("summary")
        assert [it["health"] for it in summary["cells"]] == ["silent", "never"]
        assert summary["cells"][0]["version"] == "1.0"
        assert [it["kind"] for it in summary["alerts"]] == ["registry-lost"]
        texts = [it["text"] for it in reader.document("events")["events"]]
        assert texts == ["the registry's agent does not run", "the registry's agent runs"]

    played(root, tmp_path / "page", scene)


def agents_view(root: Path) -> UvnView:
    """Return what an agent has: the first cell is well, nothing was received of others."""
    defined = registry_page.read(root, port=1).view
    first, *others = defined.cells
    status = CellStatus(generation=4, version="1.0")
    well = replace(first, package=4, status=status, age=0.0, status_age=0.0, alive=True)
    return replace(defined, registry=True, cells=(well, *others))


def test_an_agent_is_followed_from_its_start_to_its_end(
    site: Uno, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del site
    monkeypatch.setattr(control, "RUN", tmp_path / "run")
    monkeypatch.setattr(followed_registry, "_AGAIN", 0.05)
    shown = [agents_view(root)]
    changes: list[bool] = []
    watches: list[bool] = []

    async def play() -> None:
        followed = FollowedAgent(IDENTITY, changed=lambda: changes.append(True))
        followed.start()
        assert followed.view() is None
        server = ControlServer(
            control.socket_path(IDENTITY, REGISTRY),
            view=lambda: shown[-1],
            watched=lambda: watches.append(True),
        )
        serving = asyncio.ensure_future(server.serve())
        await web_pages.until(lambda: followed.view() == shown[0])
        first = followed.view()
        assert first is not None

        shown.append(replace(shown[0], generation=5))
        server.changed()

        await web_pages.until(lambda: followed.view() == shown[1])
        second = followed.view()
        assert second is not None
        # What is the same was not received again.
        assert second.cells[0].status is first.cells[0].status
        # Cells measure once somebody reads the page, and not before.
        assert watches == []
        followed.watch()
        await web_pages.until(lambda: watches == [True])
        serving.cancel()
        await web_pages.until(lambda: followed.view() is None)
        await web_pages.until(lambda: len(changes) > 2)

    asyncio.run(play())


def test_who_may_not_ask_the_agent_is_refused_at_once(
    site: Uno, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> UvnView:
        raise ActionNeeded("only root can connect to the agent", "run it with sudo")

    monkeypatch.setattr(control, "request_view", refuse)

    found = site("web", "--port", str(web_pages.free_port()))

    assert (found.status, found.out) == (2, "")
    assert "only root can connect to the agent; run it with sudo" in found.err


@pytest.mark.feature("F106")
def test_it_serves_until_it_is_interrupted_and_leaves_nothing(
    site: Uno, root: Path, tmp_path: Path
) -> None:
    del site
    port, log, folder = web_pages.free_port(), tmp_path / "log", tmp_path / "tmp"
    folder.mkdir()
    words = program.argv("web", "-r", str(root), "--port", str(port))
    serving = start(words, log=log, env={"TMPDIR": str(folder)})
    try:
        wait_until(lambda: "Ctrl-C" in log.read_text() if log.exists() else False)
        # One line is for a browser, and the other is not in a pipe.
        address, _, _ = log.read_text().partition("\n")
        reader = PlainReader(port)
        assert reader.open(address).status == 303
        assert len(reader.document("summary")["cells"]) == 2
        assert len(list(folder.iterdir())) == 1
    finally:
        os.kill(serving.pid, signal.SIGINT)
        status = serving.wait(30)

    assert status == 0
    assert "Traceback" not in log.read_text()
    assert list(folder.iterdir()) == []
    assert web_pages.is_free(port)
    assert not {path.name for path in root.iterdir()} & {"events.db", "web-certificate.json"}


def test_a_port_that_is_taken_is_named_and_nothing_is_served(site: Uno) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        found = site("web", "--port", str(port))

    assert (found.status, found.out) == (2, "")
    assert f"another program has TCP port {port}" in found.err
    assert "choose another with --port" in found.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("web", "--address", "8.8.8.8"), "8.8.8.8 is no private address"),
        (("web", "--address", "fc00::dead:beef"), "this host does not have the address"),
        (("web", "--address", "there"), "'there' is not an IP address"),
        (("web", "--port", "5000", "login"), "--port is before `login`"),
    ],
)
def test_what_cannot_be_served_is_refused_with_what_to_do(
    site: Uno, words: tuple[str, ...], what: str
) -> None:
    found = site(*words)

    assert (found.status, found.out) == (2, "")
    assert what in found.err


def test_without_a_registry_there_is_no_page(uno: Uno, tmp_path: Path) -> None:
    found = uno("web", "-r", str(tmp_path / "nowhere"), in_root=False)

    assert found.status == 2
    assert "there is no UVN registry" in found.err


def test_a_cells_agent_refuses_to_serve_what_it_serves_anyway(uno: Uno) -> None:
    found = uno("agent", "--web")

    assert found.status == 2
    assert "--web is for the registry's agent" in found.err
    assert "serves its page anyway" in found.err


@pytest.mark.feature("F106")
def test_the_roots_certificate_is_good_for_the_registry_and_not_for_the_loopback(
    site: Uno, root: Path
) -> None:
    del site
    source = registry_page.read(root, port=1).source
    private, loopback = ip_address("192.168.7.1"), ip_address("127.0.0.1")

    leaf = leaf_certificate.make(
        source.access, name=source.site.name, addresses=(private,), now=time.time_ns() // 10**9
    )

    for host in (str(private), source.site.name):
        assert tls.handshake(chain=leaf.chain, key=leaf.key, root=source.site.root, host=host) == ""
    assert not source.is_plain(private)
    assert source.is_plain(loopback)
    wrong = leaf_certificate.make(
        source.access, name=source.site.name, addresses=(loopback,), now=time.time_ns() // 10**9
    )
    refused = tls.handshake(
        chain=wrong.chain, key=wrong.key, root=source.site.root, host=str(loopback)
    )
    assert "permitted subtree violation" in refused


def test_at_no_other_address_than_the_loopbacks_anything_is_served_without_tls() -> None:
    async def asked(address: str) -> bytes:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listeners = Listeners(_answer)
        listeners.add(address, listening, is_plain=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return await reader.read()
        finally:
            writer.close()
            listeners.close()

    assert b"200" in asyncio.run(asked("127.0.0.1"))
    # Its agent asks for it, and the process does not do it.
    assert asyncio.run(asked("192.168.7.1")) == b""


async def _answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_the_registrys_facts_make_the_map_that_its_definition_makes(site: Uno, root: Path) -> None:
    assert site("ban", "particle", "phone", "-y").status == 0
    with operations.opened(root) as registry:
        head = registry.store.head()
    shown = registry_page.read(root, port=1)

    found = map_of_facts(shown.source.site.roster, shown.directory)

    wanted = map_of_plan(head.plan, head.uvn)
    keyless = tuple(replace(each, sign_key="") for each in found.members)
    assert (keyless, found.links, found.pools) == (wanted.members, wanted.links, wanted.pools)
    assert (found.particles, found.banned_cells) == (wanted.particles, wanted.banned_cells)
    assert found.banned_particles == wanted.banned_particles == {"phone"}
