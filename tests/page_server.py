"""Serves the page, and documents that a test gives, to a browser. It is as slow as a test wants it.

The real server has tests of its own, and rights that a test does not have; this one loses its
connection, ends sessions and announces versions when a test says so.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

STATIC: Final = Path(__file__).parents[1] / "src" / "uno" / "web" / "static"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
PASSWORD: Final = "open sesame"  # noqa: S105
_KINDS: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}

Documents = Callable[[str, dict[str, str]], Any]
"""Returns the document at a path below `/api/v1/`, with its query; None if there is none."""


class PageServer:
    """A server on a free port of this host.

    `documents` are what it serves, `session` is who is logged in, None if nobody is. `requests`
    are those of the API so far. `octets` is what it has sent, bodies alone.
    """

    def __init__(self, documents: Documents, session: Any) -> None:
        """Serve `documents`; `session` is the document of whoever logs in."""
        self.documents = documents
        self.session, self._user = session, session
        self.requests: list[tuple[str, str]] = []
        self.octets = 0
        self._changed = threading.Condition()
        self._version = 1
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def is_stopped(self) -> bool:
        """Whether it refuses connections."""
        return self._server is None

    def start(self) -> None:
        """Listen, again on the same port if it has listened before."""
        server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        server.daemon_threads = True
        self._server, self._port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and close those that are open."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        self.announce()

    def show(self, documents: Documents) -> None:
        """Serve other documents, and announce a version."""
        self.documents = documents
        self.announce()

    def announce(self) -> None:
        """Announce a version to all streams."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def log_in(self) -> None:
        """Log the user in."""
        self.session = self._user

    def versions(self) -> Iterator[int]:
        """Yield the version, and each later one, until the server stops."""
        sent = 0
        while not self.is_stopped:
            if sent != self._version:
                sent = self._version
                yield sent
            with self._changed:
                if sent == self._version:
                    self._changed.wait(timeout=1)


def _handler(page: PageServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        server_of = page

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: PageServer

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def parse_request(self) -> bool:
        """Read a request; close connections that were open when the server stopped."""
        if self.server_of.is_stopped:
            self.close_connection = True
            return False
        return super().parse_request()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not url.path.startswith("/api/v1/"):
            self._file(url.path.removeprefix("/static/").strip("/") or "index.html")
            return
        path = url.path.removeprefix("/api/v1/")
        self.server_of.requests.append(("GET", path))
        if self.server_of.session is None:
            self._json({"error": "log in first"}, 401)
        elif path == "stream":
            self._stream()
        elif path == "session":
            self._json(self.server_of.session)
        else:
            found = self.server_of.documents(path, dict(parse_qsl(url.query)))
            if found is None:
                self._json({"error": "there is no such document", "hint": "go back"}, 404)
            else:
                self._json(found)

    def do_POST(self) -> None:
        path = self.path.removeprefix("/api/v1/")
        self.server_of.requests.append(("POST", path))
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if path == "logout":
            self.server_of.session = None
            self._send(204, "", b"")
        elif body["password"] != PASSWORD:
            self._json({"error": "e-mail address or password is wrong"}, 401)
        elif path == "login":
            self.server_of.log_in()
            self._json(self.server_of.session)
        else:
            self._json(self.server_of.documents(path, {}))

    def _file(self, path: str) -> None:
        file = STATIC / path
        if not re.fullmatch(r"[a-z0-9.]+(/[a-z0-9.]+)?", path) or not file.is_file():
            self._send(404, "text/plain", b"")
            return
        self._send(200, _KINDS[file.suffix[1:]], file.read_bytes())

    def _json(self, document: Any, status: int = 200) -> None:
        self._send(status, "application/json", msgspec.json.encode(document))

    def _send(self, status: int, kind: str, body: bytes) -> None:
        etag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        if status == 200 and self.headers.get("if-none-match") == etag:
            status, body = 304, b""
        packs = "gzip" in self.headers.get("accept-encoding", "") and kind != "font/woff2"
        sent = gzip.compress(body, 9) if body and packs else body
        self.send_response(status)
        fields = {"content-type": kind, "etag": etag, "content-security-policy": POLICY}
        for name, value in fields.items():
            self.send_header(name, value)
        if sent is not body:
            self.send_header("content-encoding", "gzip")
        if status != 204:
            self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
        self.server_of.octets += len(sent)

    def _stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            for version in self.server_of.versions():
                self.wfile.write(b"retry: 300\nevent: version\ndata: %d\n\n" % version)
                self.wfile.flush()
        except OSError:  # the page was closed
            return


@contextmanager
def serving(documents: Documents, session: Any) -> Iterator[PageServer]:
    """Yield a server that listens, and stop it afterwards."""
    server = PageServer(documents, session)
    server.start()
    try:
        yield server
    finally:
        server.stop()
