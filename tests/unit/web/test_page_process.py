"""The page as it is served: by a process without rights, which the agent replaces."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import own_certificates
import web_pages
from own_certificates import made
from uno.cli import web_page
from uno.diagnostics import TransientFailure
from uno.model import web_access
from uno.model.plan import CertificateFiles
from uno.model.status import CellStatus, LinkState, UvnView
from uno.unprivileged import child_link
from uno.unprivileged.confinement import PASSWD, WEB, user
from uno.unprivileged.frame_stream import FrameBuffer
from uno.web import documents, page_process
from uno.web import page_frames as frames
from uno.web.page_process import CERTIFICATE, EVENTS, SERIES, PageProcess
from web_pages import JANE, KEYS, NAME, OWNER, PASSWORDS, PHONE, ServedPage

Served = Iterator[ServedPage]
NOW = 1_800_000_000.0
STATUS = CellStatus(generation=1, version="1.0")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Served:
    with web_pages.in_background(tmp_path_factory.mktemp("cell")) as served:
        yield served


@pytest.mark.feature("F106")
def test_the_page_is_served_with_a_certificate_of_the_uvns_own_authority(page: ServedPage) -> None:
    reply = page.browser().ask("GET", "/")

    assert reply.status == 200
    assert reply.body.lower().startswith(b"<!doctype html>")
    policy = reply.fields["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    # And the same root for whoever does not have it yet.
    root = page.browser().ask("GET", "/ca")
    assert root.fields["content-type"] == "application/x-x509-ca-cert"
    assert root.body == page.browser().root


@pytest.mark.feature("F116")
def test_nothing_is_shown_without_a_login(page: ServedPage) -> None:
    browser = page.browser()
    described = browser.ask("GET", "/api/v1/openapi.json").json()
    asked = 0
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            if "security" in about:
                concrete = path.replace("{id}", "1").replace("{cell}", "1")
                concrete = concrete.replace("{a}-{b}", "1-2")
                document = {"password": "x"} if method == "post" else None
                reply = browser.ask(method.upper(), concrete, document)
                assert (concrete, reply.status) == (concrete, 401)
                asked += 1
    assert asked > 8


@pytest.mark.feature("F116")
def test_a_password_of_the_uvn_opens_it_and_logging_out_closes_it(page: ServedPage) -> None:
    browser = page.browser()
    wrong = browser.log_in(OWNER, "wrong")
    nobody = browser.log_in("nobody@example.org", "wrong")
    assert (wrong.status, nobody.status) == (401, 401)
    assert wrong.body == nobody.body

    reply = browser.log_in()

    assert reply.json() == {
        "email": OWNER,
        "name": "",
        "is_owner": True,
        "cells": [1],
        "particles": [],
        "expires_in": reply.json()["expires_in"],
    }
    cookie = next(it for it in reply.fields.get_all("set-cookie") if it.startswith("__Host-uno="))
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    summary = browser.ask("GET", "/api/v1/summary")
    assert summary.status == 200
    assert [cell["name"] for cell in summary.json()["cells"]] == ["hub", "home", "roam"]
    stolen = dict(browser.cookies)
    assert browser.ask("POST", "/api/v1/logout", {}).status == 204
    again = page.browser(cookies=stolen)
    assert again.ask("GET", "/api/v1/summary").status == 401


@pytest.mark.feature("F115")
def test_a_user_gets_the_configuration_of_an_own_particle_for_the_password_again(
    page: ServedPage,
) -> None:
    jane, owner = page.browser(), page.browser()
    assert jane.log_in(JANE).json()["particles"] == [PHONE]
    owner.log_in()
    path, password = f"/api/v1/particles/{PHONE}/config", {"password": PASSWORDS[JANE]}

    found = jane.ask("POST", path, password)

    assert found.status == 200
    assert f"PrivateKey = {web_access.key_text(KEYS[:32])}" in found.json()["conf"]
    assert f"PresharedKey = {web_access.key_text(KEYS[32:])}" in found.json()["conf"]
    assert "<svg" in found.json()["qr"]
    assert found.fields["cache-control"] == "no-store"
    assert jane.ask("POST", path, {"password": "wrong"}).status == 401
    assert jane.ask("POST", "/api/v1/particles/2/config", password).status == 404
    # Not even the UVN's owner.
    own = {"password": PASSWORDS[OWNER]}
    assert owner.ask("POST", path, own).status == 404


@pytest.mark.feature("G44")
def test_every_document_is_what_the_description_of_the_api_says(page: ServedPage) -> None:
    browser = page.browser()
    browser.log_in()
    described = browser.ask("GET", "/api/v1/openapi.json").json()
    asked = set()
    for path, methods in described["paths"].items():
        content = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        if not reference:
            continue
        name = reference.rpartition("/")[2]
        concrete = path.replace("{a}-{b}", "1-2").replace("{id}", "1").replace("{cell}", "1")

        reply = browser.ask("GET", concrete)

        assert (concrete, reply.status) == (concrete, 200)
        found = msgspec.json.decode(reply.body, type=getattr(documents, name))
        assert json.loads(msgspec.json.encode(found)) == reply.json()
        assert set(reply.json()) == set(described["components"]["schemas"][name]["properties"])
        asked.add(name)
    assert {"Summary", "CellReport", "Matrix", "EventList", "LinkSeries"} <= asked


def test_what_has_happened_is_shown_and_still_there_after_a_restart(tmp_path: Path) -> None:
    def texts(events: Any) -> list[str]:
        return [each["text"] for each in events["events"]]

    async def play() -> None:
        async with web_pages.served(tmp_path) as page:
            browser = page.browser()
            await asyncio.to_thread(browser.log_in)
            found: Any = {"events": []}
            generations = itertools.count(2)
            async with asyncio.timeout(60):
                while not found["events"]:
                    page.shown[0] = web_pages.view(next(generations))
                    page.process.changed()
                    await asyncio.sleep(0.3)
                    found = (await page.ask(browser, "GET", "/api/v1/events")).json()
            assert "is in force, after" in texts(found)[-1]
        async with web_pages.served(tmp_path) as page:
            browser = page.browser()
            await asyncio.to_thread(browser.log_in)
            again: Any = {"events": []}
            async with asyncio.timeout(60):
                while not again["events"]:
                    await asyncio.sleep(0.1)
                    again = (await page.ask(browser, "GET", "/api/v1/events")).json()
            # The last ones may have been recorded while the page ended.
            assert texts(again)[-len(texts(found)) :] == texts(found)

    asyncio.run(play())
    assert stat.S_IMODE((tmp_path / EVENTS).stat().st_mode) == 0o600


@pytest.mark.feature("G44")
def test_metrics_take_the_token_of_the_cell_and_no_session(page: ServedPage) -> None:
    browser = page.browser()
    browser.log_in()
    found = web_access.of_package(page.package)
    assert found is not None
    token = f"Bearer {found.metrics_token}"

    assert browser.ask("GET", "/metrics").status == 401
    assert browser.ask("GET", "/metrics", authorization="Bearer x").status == 401
    own = page.browser().ask("GET", "/metrics", authorization=token)
    whole = page.browser().ask("GET", "/metrics?scope=uvn", authorization=token)

    assert own.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'uno_cell_up{uvn="net",cell="hub"} 1\n' in own.body
    assert b'cell="home"' not in own.body
    assert b'uno_cell_up{uvn="net",cell="home"} 0\n' in whole.body


def test_measurements_of_a_link_are_for_the_owners_of_its_cells(page: ServedPage) -> None:
    owner, jane = page.browser(), page.browser()
    owner.log_in()
    jane.log_in(JANE)
    path = "/api/v1/series/1-2?span=600"

    found = owner.ask("GET", path)

    assert (found.status, found.json()["link"], found.json()["step"]) == (200, "1-2", 60)
    assert jane.ask("GET", path).status == 404
    assert owner.ask("GET", "/api/v1/series/1-99").status == 404


@pytest.mark.feature("F116")
def test_who_guesses_waits_and_the_owners_device_does_not(page: ServedPage) -> None:
    known = page.browser(source="127.0.0.8")
    known.log_in(JANE)
    known.ask("POST", "/api/v1/logout", {})
    guessing = page.browser(source="127.0.0.9")

    found = [guessing.log_in(JANE, f"guess {number}") for number in range(12)]

    assert [reply.status for reply in found[:5]] == [401] * 5
    assert found[-1].status == 429
    assert int(found[-1].fields["retry-after"]) >= 1
    # The right password does not help a stranger either.
    assert guessing.log_in(JANE).status == 429
    assert known.log_in(JANE).status == 200


@pytest.mark.feature("F106")
def test_documents_and_files_are_sent_once_and_compressed(page: ServedPage) -> None:
    browser = page.browser()
    browser.log_in()
    for path in ("/", "/static/app.js", "/api/v1/settings"):
        plain = browser.ask("GET", path)
        packed = browser.ask("GET", path, accept_encoding="br, gzip;q=0.5")
        assert len(packed.body) <= len(plain.body)
        again = browser.ask("GET", path, if_none_match=plain.fields["etag"])
        assert (again.status, again.body) == (304, b"")
    assert (
        browser.ask("GET", "/static/app.js", accept_encoding="gzip").fields["content-encoding"]
        == "gzip"
    )


@pytest.mark.feature("F106")
def test_open_pages_are_told_of_each_version(page: ServedPage) -> None:
    browser = page.browser()
    browser.log_in()
    cookies = "; ".join(f"{k}={v}" for k, v in browser.cookies.items())
    head = (
        f"GET /api/v1/stream HTTP/1.1\r\nHost: {page.browser().host}\r\nCookie: {cookies}\r\n\r\n"
    )
    with browser.connect() as stream:
        stream.sendall(head.encode())
        first = read_until(stream, lambda text: text.count("event: version") == 1)
        deadline = time.monotonic() + 20
        while page.watches == 0:
            assert time.monotonic() < deadline, "cells are to measure while somebody reads"
            stream.recv(4096)
        page.shown.append(web_pages.view(generation=len(page.shown) + 1))
        read_until(stream, lambda text: "event: version" in text)
    assert "text/event-stream" in first


def read_until(stream: socket.socket, done: Callable[[str], bool]) -> str:
    text, deadline = "", time.monotonic() + 20
    while not done(text):
        assert time.monotonic() < deadline, text
        text += stream.recv(4096).decode()
    return text


@pytest.mark.feature("F106")
def test_the_process_has_no_rights_no_secrets_and_no_files(page: ServedPage) -> None:
    pid = page.process.pid
    found = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    if os.geteuid() == 0:
        expected = user(WEB, PASSWD.read_text())
        assert found["Uid"].split() == [str(expected.uid)] * 4
        assert found["Groups"].split() == []
        assert {int(found[f"Cap{each}"], 16) for each in ("Inh", "Prm", "Eff", "Bnd")} == {0}
    assert found["NoNewPrivs"].strip() == "1"
    assert found["Seccomp"].strip() == "2"
    opened = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    files = {each for each in opened if each.startswith("/") and "memfd:" not in each}
    assert files == {"/dev/null"}


@pytest.mark.feature("F106")
def test_there_is_no_process_until_somebody_connects_and_who_does_is_served(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with web_pages.served(tmp_path, awaited=False) as page:
            await page.listening()
            assert not has_process(page)
            assert not (tmp_path / CERTIFICATE).exists()
            browser = page.browser()
            # All of it on the first connection, without another attempt.
            assert (await page.ask(browser, "GET", "/")).status == 200
            assert has_process(page)
            assert (await asyncio.to_thread(browser.log_in)).status == 200
            summary = (await page.ask(browser, "GET", "/api/v1/summary")).json()
            assert [cell["name"] for cell in summary["cells"]] == ["hub", "home", "roam"]
            assert page.process.problem == ""

    asyncio.run(scene())


def has_process(page: ServedPage) -> bool:
    return page.process.pid is not None


@pytest.mark.feature("F106")
def test_the_process_ends_without_readers_and_the_next_one_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page_process, "REST_AFTER", 0.5)

    async def scene() -> None:
        async with web_pages.served(tmp_path) as page:
            first = page.process.pid
            await web_pages.until(lambda: page.process.pid is None)
            assert (await page.ask(page.browser(), "GET", "/healthz")).status == 200
            assert page.process.pid not in (first, None)
            assert page.process.problem == ""

    asyncio.run(scene())
    assert caplog.text == ""


@pytest.mark.feature("F106")
def test_the_process_does_not_end_while_somebody_is_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "REST_AFTER", 0.5)

    async def scene() -> None:
        async with web_pages.served(tmp_path) as page:
            browser = page.browser()
            await asyncio.to_thread(browser.log_in)
            first = page.process.pid
            await asyncio.sleep(2)
            assert (await page.ask(browser, "GET", "/api/v1/session")).status == 200
            assert page.process.pid == first
            await page.ask(browser, "POST", "/api/v1/logout", {})
            await web_pages.until(lambda: page.process.pid is None)

    asyncio.run(scene())


def test_what_happens_without_a_reader_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "RECORD_EVERY", 0.1)

    async def scene() -> None:
        async with web_pages.served(tmp_path, awaited=False) as page:
            await page.listening()
            page.shown[0] = web_pages.view(7)
            await web_pages.until((tmp_path / EVENTS).exists)
            assert page.process.pid is None
            browser = page.browser()
            await asyncio.to_thread(browser.log_in)
            found = (await page.ask(browser, "GET", "/api/v1/events")).json()
            assert "generation 7 is in force, after 1" in [it["text"] for it in found["events"]]

    asyncio.run(scene())


def test_a_process_gets_each_state_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_process, "SHORTEST", 0.01)
    monkeypatch.setattr(page_process, "LONGEST", 0.02)
    child = ListeningChild()

    async def scene() -> None:
        process = PageProcess(child.start, tmp_path, wall=lambda: NOW)
        port = web_pages.free_port()
        process.configure(web_pages.package(port), [web_pages.IPv4Address(web_pages.ADDRESS)])
        shown = [web_pages.view()]
        turns: list[UvnView] = []

        def view() -> UvnView:
            # Ages are greater each time.
            cells = tuple(replace(each, age=each.age and each.age + 1) for each in shown[-1].cells)
            turns.append(replace(shown[-1], cells=cells))
            return turns[-1]

        running = asyncio.ensure_future(process.run(view, lambda: None, lambda: None))
        await web_pages.until(lambda: len(turns) > 1)
        assert child.ends == []
        with socket.socket() as reader:
            reader.settimeout(0)
            await web_pages.until(lambda: reader.connect_ex((web_pages.ADDRESS, port)) == 0)
            await web_pages.until(lambda: child.kinds().count("cell") == 3)
            before = len(turns)
            await web_pages.until(lambda: len(turns) > before + 20)
            assert child.kinds().count("cell") == 3
            assert child.kinds().count("view") == 1
            hub = replace(shown[-1].cells[0], status=replace(STATUS, uptime=9))
            shown.append(replace(shown[-1], cells=(hub, *shown[-1].cells[1:])))
            await web_pages.until(lambda: child.kinds().count("cell") == 4)
            before = len(turns)
            await web_pages.until(lambda: len(turns) > before + 20)
            assert child.kinds().count("cell") == 4
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scene())


class ListeningChild:
    """A process of a page that takes all frames and does nothing."""

    pid = 1

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.frames: list[frames.ToPage] = []
        self._buffer = FrameBuffer(limit=frames.TO_PAGE_LIMIT)

    def start(self, connection: socket.socket, _errors: int) -> ListeningChild:
        self.ends.append(connection.dup())
        self.ends[-1].settimeout(0)
        return self

    def kinds(self) -> list[str]:
        """Return the tags of all frames so far."""
        with suppress(BlockingIOError):
            while data := self.ends[-1].recv(1 << 16):
                self.frames += map(frames.to_page, self._buffer.add(data))
        return [str(each.__struct_config__.tag) for each in self.frames]

    def kill(self) -> int:
        self.ends[-1].close()
        return 0

    def ended(self, *, within: float) -> int | None:
        del within
        return 0


@pytest.mark.feature("F106")
def test_a_process_that_cannot_start_is_a_problem_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_link, "PING_INTERVAL", 1.0)
    failing = [True]

    start = web_page.start_process

    def start_or_fail(*given: Any) -> child_link.Child:
        if failing[0]:
            raise TransientFailure("python could not be started")
        return start(*given)

    monkeypatch.setattr(web_page, "start_process", start_or_fail)

    async def scene() -> None:
        process = web_pages.make_page(tmp_path, environ={})
        port = web_pages.free_port()
        package = web_pages.package(port)
        process.configure(package, [web_pages.IPv4Address(web_pages.ADDRESS)])
        running = asyncio.ensure_future(process.run(web_pages.view, lambda: None, lambda: None))
        page = ServedPage(process, port, package, [])
        await page.listening()
        assert process.problem == ""
        asking = asyncio.ensure_future(page.ask(page.browser(), "GET", "/healthz"))
        await web_pages.until(lambda: process.problem == "python could not be started")
        failing[0] = False
        # Who has connected before is served.
        assert (await asking).status == 200
        await web_pages.until(lambda: process.problem == "")
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scene())


def test_a_package_without_certificates_is_a_problem_and_no_page(tmp_path: Path) -> None:
    async def scene() -> str:
        process = web_pages.make_page(tmp_path, environ={})
        package = web_pages.package(web_pages.free_port())
        process.configure(replace(package, secrets={}), [])
        running = asyncio.ensure_future(process.run(web_pages.view, lambda: None, lambda: None))
        await web_pages.until(lambda: process.problem)
        running.cancel()
        await asyncio.wait([running])
        return process.problem

    assert "uno redeploy" in asyncio.run(scene())


@pytest.mark.feature("F044")
def test_a_port_that_is_taken_is_a_problem_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "RECORD_EVERY", 0.4)

    async def scene() -> None:
        process = web_pages.make_page(tmp_path, environ={})
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))  # noqa: S104
            taken.listen()
            port = taken.getsockname()[1]
            package = web_pages.package(port)
            process.configure(package, [web_pages.IPv4Address(web_pages.ADDRESS)])
            running = asyncio.ensure_future(process.run(web_pages.view, lambda: None, lambda: None))
            named = f"another program has TCP port {port}"
            await web_pages.until(lambda: named in process.problem)
        page = ServedPage(process, port, package, [])
        await page.ready()
        assert process.problem == ""
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(scene())


@pytest.mark.feature("F106")
def test_a_process_that_dies_is_back_in_seconds_with_the_same_certificate(tmp_path: Path) -> None:
    async def scene() -> None:
        async with web_pages.served(tmp_path) as page:
            browser = page.browser()
            first = await asyncio.to_thread(certificate, browser)
            died = page.process.pid
            assert died is not None
            began = time.monotonic()
            os.kill(died, signal.SIGKILL)
            await web_pages.until(lambda: page.process.pid not in (died, None))
            # The process is there at once; what it takes to start depends on the machine.
            assert time.monotonic() - began < 5
            await page.ready()
            assert await asyncio.to_thread(certificate, browser) == first
        kept = tmp_path / CERTIFICATE
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        async with web_pages.served(tmp_path) as page:
            other = page.browser()
            assert await asyncio.to_thread(certificate, other) == first

    asyncio.run(scene())


def certificate(browser: web_pages.Browser) -> bytes:
    with browser.connect() as connection:
        found = connection.getpeercert(binary_form=True)
    assert found is not None
    return found


@pytest.mark.feature("F116")
def test_a_new_package_ends_the_sessions_of_who_is_no_user_any_more(tmp_path: Path) -> None:
    async def scene() -> None:
        async with web_pages.served(tmp_path) as page:
            jane, owner = page.browser(), page.browser()
            await asyncio.to_thread(jane.log_in, JANE)
            await asyncio.to_thread(owner.log_in)
            newer = web_pages.package(page.port, generation=2, users=(OWNER,))
            address = web_pages.IPv4Address(web_pages.ADDRESS)
            page.process.configure(newer, [address])
            for _ in range(200):
                if (await asyncio.to_thread(jane.ask, "GET", "/api/v1/session")).status != 200:
                    break
                await asyncio.sleep(0.1)
            assert (await asyncio.to_thread(jane.ask, "GET", "/api/v1/session")).status == 401
            found = await asyncio.to_thread(owner.ask, "GET", "/api/v1/session")
            assert json.loads(found.body)["email"] == OWNER
            assert (await asyncio.to_thread(jane.log_in, JANE)).status in (401, 429)

    asyncio.run(scene())


@pytest.mark.feature("F106")
def test_a_certificate_of_the_owners_is_served_to_its_name_and_renewed_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "CERTIFY_EVERY", 0.1)
    monkeypatch.setattr(page_process, "LONGEST", 0.2)
    files = CertificateFiles(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem"))

    def write(chain: str, key: str) -> None:
        Path(files.certificate).write_text(chain)
        Path(files.key).write_text(key)

    async def scene() -> None:
        first, second = made("page.example.org"), made("page.example.org", "*.example.org")
        write(*first)
        async with web_pages.served(tmp_path, own_files=files) as page:
            pid = page.process.pid

            async def shown(name: str) -> str:
                return await asyncio.to_thread(certificate_at, page.port, name)

            async def until_shown(expected: str) -> None:
                async with asyncio.timeout(30):
                    while expected not in await shown("page.example.org"):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            await until_shown(first[0])
            own = await shown(NAME)
            assert own not in first[0]
            # It answers under that name, and under no other.
            browser = page.browser(host="page.example.org")
            assert (await page.ask(browser, "GET", "/healthz")).status == 200
            other = page.browser(host="other.example.org")
            assert (await page.ask(other, "GET", "/healthz")).status == 421

            write(*second)
            await until_shown(second[0])
            assert (await page.ask(other, "GET", "/healthz")).status == 200
            assert page.process.problem == ""

            write(first[0], second[1])
            await until_shown(own)
            assert "is not the key of the first certificate" in page.process.problem
            assert "has the UVN's certificate alone" in page.process.problem

            write(*made("page.example.org", ends=own_certificates.NOW - timedelta(days=1)))
            await web_pages.until(lambda: "has expired on" in page.process.problem)

            write(*first)
            await until_shown(first[0])
            assert page.process.problem == ""
            assert page.process.pid == pid

    asyncio.run(scene())


def certificate_at(port: int, name: str) -> str:
    """Return the certificate that a page shows who asks for `name`, as PEM."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((web_pages.ADDRESS, port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found)


@pytest.mark.feature("F106")
def test_a_certificate_that_is_missing_from_the_start_is_a_problem_and_no_obstacle(
    tmp_path: Path,
) -> None:
    files = CertificateFiles(certificate="/nowhere/c.pem", key="/nowhere/k.pem")

    async def scene() -> None:
        async with web_pages.served(tmp_path, own_files=files) as page:
            assert (await page.ask(page.browser(), "GET", "/healthz")).status == 200
            assert "/nowhere/c.pem cannot be read: No such file" in page.process.problem

    asyncio.run(scene())


@pytest.mark.feature("G43")
def test_measurements_are_there_again_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    link = LinkState(interface="uwg-b0", cell=2, rtt=12.5, loss=0.0, bgp="Established", bfd="up")

    async def measured(page: ServedPage, *, awaited: bool = False) -> set[float]:
        browser = page.browser()
        await asyncio.to_thread(browser.log_in)
        async with asyncio.timeout(30):
            while True:
                reply = await page.ask(browser, "GET", "/api/v1/series/1-2?span=600")
                found = {each for each in reply.json()["rtt"] if each is not None}
                if found or not awaited:
                    return found
                await asyncio.sleep(0.05)

    async def scene() -> None:
        async with web_pages.served(tmp_path) as page:
            hub, *others = page.shown[-1].cells
            hub = replace(hub, status=replace(STATUS, links=(link,)))
            page.shown.append(replace(page.shown[-1], cells=(hub, *others)))
            page.process.changed()
            assert await measured(page, awaited=True) == {12.5}
        assert stat.S_IMODE((tmp_path / SERIES).stat().st_mode) == 0o600
        async with web_pages.served(tmp_path) as page:
            assert await measured(page) == {12.5}
            # What cannot be written is a problem, and the page goes on.
            (tmp_path / SERIES).unlink()
            (tmp_path / SERIES).mkdir()
        assert "measurements of links cannot be kept" in page.process.problem
        (tmp_path / SERIES).rmdir()
        (tmp_path / SERIES).write_bytes(b"damaged")
        async with web_pages.served(tmp_path) as page:
            assert await measured(page) == set()

    asyncio.run(scene())
