"""What strangers send to the real server: other sites, other paths, too much, too slowly."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import chain, count
from pathlib import Path

import pytest

import web_pages
from uno.web.server import connections
from uno.web.server.login_throttle import FREE, LONGEST, pause
from web_pages import ADDRESS, JANE, OWNER, PASSWORDS, Browser, ServedPage

GOOD = {"email": OWNER, "password": PASSWORDS[OWNER]}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPage]:
    with web_pages.in_background(tmp_path_factory.mktemp("cell")) as served:
        yield served


@pytest.fixture
def browser(page: ServedPage) -> Browser:
    return page.browser()


@pytest.mark.feature("F116")
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.2"}, 421),
    ],
)
def test_no_other_site_logs_a_reader_in_or_out(
    browser: Browser, fields: dict[str, str], status: int
) -> None:
    named = {"host": f"{browser.host}:{browser.port}", **fields}
    named = {name.title().replace("_", "-"): value for name, value in named.items()}
    for path in ("/api/v1/login", "/api/v1/logout"):
        assert browser.ask("POST", path, GOOD, **named).status == status
    assert browser.cookies == {}


@pytest.mark.feature("F116")
def test_ten_thousand_guesses_get_no_more_than_the_waits_allow_and_their_victim_gets_in(
    page: ServedPage,
) -> None:
    """All but a few are answered without a hash, which keeps this test quick as well."""
    known = page.browser(source="127.0.0.30")
    assert known.log_in(JANE).status == 200
    known.ask("POST", "/api/v1/logout", {})
    sources = [page.browser(source=f"127.0.0.{number}") for number in range(20, 24)]
    began = time.monotonic()

    with ThreadPoolExecutor(len(sources)) as pool:
        answers = list(chain.from_iterable(pool.map(guesses, sources)))

    took = time.monotonic() - began
    assert len(answers) == 10_000
    assert {*answers} == {401, 429}
    most = next(n for n in count(FREE) if sum(map(pause, range(1, n + 1))) > took)
    assert answers.count(401) <= most
    # Nor does the right password help whoever guesses, or anybody else without a known device.
    late = sources[0].log_in(JANE)
    assert (late.status, 0 < int(late.fields["retry-after"]) <= LONGEST) == (429, True)
    assert known.log_in(JANE).status == 200
    assert page.browser().log_in(OWNER).status == 200


def guesses(browser: Browser) -> list[int]:
    """The statuses of 2,500 guesses on one connection, 20 at a time (RFC 9112, section 9.3.2)."""
    head = f"POST /api/v1/login HTTP/1.1\r\nHost: {browser.host}:{browser.port}\r\n"
    body = json.dumps({"email": JANE, "password": "a guess"})
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    found, many = list[int](), (head + fields + body).encode() * 20
    with browser.connect() as connection, connection.makefile("rb") as answers:
        while len(found) < 2500:
            connection.sendall(many)
            for _ in range(20):
                found.append(int(answers.readline().split()[1]))
                length = http.client.parse_headers(answers)["content-length"]
                answers.read(int(length))
    return found


@pytest.mark.feature("F106")
@pytest.mark.parametrize(
    "line",
    [
        "X: a\rSet-Cookie: x=y",
        "X: a\0b",
        "X\0: a",
        "X Y: a",
        "X: a\r\n Set-Cookie: x=y\r\n\tb",
        "Cookie: __Host-uno=a\r\n Set-Cookie: x=y",
        "Origin: https://{host}\r\n evil",
        'If-None-Match: "a"\r\n Set-Cookie: x=y',
        "X-Forwarded-Host: evil.example\r\nX-Forwarded-For: 127.0.0.99",
    ],
)
def test_no_field_of_a_request_becomes_one_of_the_answer(browser: Browser, line: str) -> None:
    field = line.replace("{host}", browser.host)
    for path in ("/", "/login?ticket=x%0d%0aSet-Cookie:%20x=y", "/api/v1/summary"):
        head = f"GET {path} HTTP/1.1\r\nHost: {browser.host}:{browser.port}\r\n{field}\r\n"
        answered = browser.raw((head + "Connection: close\r\n\r\n").encode())

        fields = answered.partition(b"\r\n\r\n")[0].lower()
        assert fields.startswith(b"http/1.1 ")
        assert answered.count(b"HTTP/1.1 ") == 1
        assert b"x=y" not in fields
        assert b"evil" not in answered


@pytest.mark.feature("F116")
def test_the_same_site_does(browser: Browser) -> None:
    origin = {"Origin": f"https://{browser.host}:{browser.port}", "Sec-Fetch-Site": "same-origin"}

    assert browser.ask("POST", "/api/v1/login", GOOD, **origin).status == 200


@pytest.mark.feature("F106")
@pytest.mark.parametrize(
    "path",
    [
        "/static/../page_process.py",
        "/static/%2e%2e/page_process.py",
        "/static/..%2fpage_process.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/",
        "//etc/passwd",
        "/../../etc/passwd",
        "/api/v1/cells/1%0d%0aSet-Cookie:%20x=y",
        "/api/v1/../../static/index.html",
        "/login?ticket=%0d%0aSet-Cookie:%20x=y",
    ],
)
def test_there_is_no_way_to_another_file_or_field(browser: Browser, path: str) -> None:
    reply = browser.ask("GET", path)

    assert reply.status in (401, 403, 404)
    assert b"root:" not in reply.body
    assert reply.fields.get("set-cookie") is None


@pytest.mark.feature("F106")
def test_a_page_cannot_be_framed_and_nothing_is_guessed_or_kept(browser: Browser) -> None:
    for path in ("/", "/api/v1/summary", "/nothing", "/static/app.js"):
        fields = browser.ask("GET", path).fields
        assert "frame-ancestors 'none'" in fields["content-security-policy"]
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["referrer-policy"] == "no-referrer"
        assert "server" not in fields
        if "/api/" in path:
            assert fields["cache-control"] == "no-store"


@pytest.mark.feature("F106")
@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length : 5\r\n",
        "Host: evil.example\r\nContent-Length: 5\r\n",
    ],
)
def test_two_readings_of_a_request_are_refused(browser: Browser, head: str) -> None:
    first = f"POST /api/v1/login HTTP/1.1\r\nHost: {browser.host}\r\n{head}\r\n"
    smuggled = f"GET /ca HTTP/1.1\r\nHost: {browser.host}\r\nConnection: close\r\n\r\n"

    answered = browser.raw((first + "0\r\n\r\n" + smuggled).encode())

    assert answered.startswith(b"HTTP/1.1 4")
    assert b"x-x509-ca-cert" not in answered


@pytest.mark.feature("F106")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_with_those_that_there_are(browser: Browser, method: str) -> None:
    for path, allowed in (
        ("/", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/api/v1/summary", "GET, HEAD"),
        ("/api/v1/stream", "GET, HEAD"),
        ("/api/v1/login", "POST"),
        ("/api/v1/particles/1/config", "POST"),
    ):
        reply = browser.ask(method, path)
        assert (path, reply.status, reply.fields["allow"]) == (path, 405, allowed)
    assert browser.ask("GET", "/api/v1/login").status == 405


@pytest.mark.feature("G44")
@pytest.mark.parametrize("given", ["x", "-1", "1e3", "", "99999999999", "3&limit=3", "100001"])
def test_a_number_of_a_query_that_is_none_is_refused_and_named(
    page: ServedPage, given: str
) -> None:
    browser = page.browser()
    browser.log_in()

    reply = browser.ask("GET", f"/api/v1/events?limit={given}")

    assert reply.status == 422
    assert reply.json()["error"].startswith("limit is one number from 0 to ")


@pytest.mark.feature("F106")
def test_too_much_is_refused(browser: Browser) -> None:
    assert browser.ask("POST", "/api/v1/login", {"email": "x" * 5000, "password": ""}).status == 413
    head = f"GET / HTTP/1.1\r\nHost: {browser.host}\r\nX: "
    assert browser.raw(f"{head}{'x' * 16_384}\r\n\r\n".encode()).startswith(b"HTTP/1.1 4")
    # Who goes on sending may find the connection closed before the answer (RFC 9112, 9.6).
    with suppress(ssl.SSLError, ConnectionError):
        assert browser.raw(f"{head}{'x' * 500_000}\r\n\r\n".encode())[:10] in (b"", b"HTTP/1.1 4")
    for document in ({}, [], {"email": 1, "password": 2}, {**GOOD, "more": 1}):
        assert browser.ask("POST", "/api/v1/login", document).status == 422
    for path in ("cells/999999999999", "cells/-1", "cells/x", "links/1-", "series/1-x"):
        browser.ask("POST", "/api/v1/login", GOOD)
        assert browser.ask("GET", f"/api/v1/{path}").status in (404, 422)


@pytest.mark.feature("F106")
def test_who_sends_a_request_byte_by_byte_is_given_up_and_nobody_waits(page: ServedPage) -> None:
    slow = page.browser(source="127.0.0.7")
    with slow.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        assert page.browser().ask("GET", "/healthz").status == 200
        connection.settimeout(3 * connections.TO_ASK)
        with suppress(ConnectionError):
            while connection.recv(4096):
                pass
        assert time.monotonic() - began < 2.5 * connections.TO_ASK


@pytest.mark.feature("F106")
def test_a_thousand_connections_of_one_source_keep_nobody_else_out(page: ServedPage) -> None:
    status = Path(f"/proc/{page.process.pid}/status")
    opened: list[socket.socket] = []

    def connect(_: int) -> socket.socket | None:
        try:
            return socket.create_connection(
                (ADDRESS, page.port), timeout=20, source_address=("127.0.0.6", 0)
            )
        except OSError:
            return None

    try:
        with ThreadPoolExecutor(16) as pool:
            opened = [each for each in pool.map(connect, range(1000)) if each is not None]
        began = time.monotonic()
        assert page.browser().ask("GET", "/").status == 200
        assert time.monotonic() - began < 10
        memory = next(line for line in status.read_text().splitlines() if "VmRSS" in line)
        assert int(memory.split()[1]) < 160_000
    finally:
        for each in opened:
            each.close()
    assert page.process.problem == ""


@pytest.mark.feature("F106")
def test_streams_are_bounded_and_end_with_their_reader(page: ServedPage) -> None:
    browser = page.browser()
    browser.log_in()
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    head = f"GET /api/v1/stream HTTP/1.1\r\nHost: {browser.host}\r\nCookie: {cookies}\r\n\r\n"

    def opened(until: ExitStack) -> int:
        connection = until.enter_context(browser.connect())
        connection.sendall(head.encode())
        return int(connection.recv(4096).split(b" ")[1])

    with ExitStack() as pages:
        found = [opened(pages) for _ in range(8)]
    assert found[0] == 200
    assert found[-1] == 503

    deadline, again = time.monotonic() + 60, 503
    while again != 200:
        assert time.monotonic() < deadline
        with ExitStack() as page_of_now:
            again = opened(page_of_now)
