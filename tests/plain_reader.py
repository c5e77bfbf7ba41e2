"""A reader of a page that is served without TLS, with cookies: what a browser on that host does."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from web_pages import Reply


@dataclass
class PlainReader:
    """Requests to the page at a TCP port of the loopback interface."""

    port: int
    address: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, document: object = None, **fields: str) -> Reply:
        """Return the answer to a request. Raises `OSError`."""
        body = None if document is None else json.dumps(document).encode()
        given = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            given["Content-Type"] = "application/json"
        given |= {name.replace("_", "-"): value for name, value in fields.items()}
        connection = http.client.HTTPConnection(self.address, self.port, timeout=60)
        try:
            connection.request(method, path, body, {k: v for k, v in given.items() if v})
            answer = connection.getresponse()
            reply = Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
        self.cookies |= reply.cookies
        return reply

    def open(self, url: str) -> Reply:
        """Ask for an address as it was printed."""
        parts = urlsplit(url)
        return self.ask("GET", f"{parts.path}?{parts.query}")

    def document(self, path: str) -> Any:
        """Return a document of the API."""
        reply = self.ask("GET", f"/api/v1/{path}")
        assert reply.status == 200, reply.body
        return reply.json()
