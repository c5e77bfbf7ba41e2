"""A reader of a page that is served without TLS, with cookies: what a browser on that host does."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from web_pages import Reply, exchange


@dataclass
class PlainReader:
    """Requests to the page at a TCP port of the loopback interface."""

    port: int
    address: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, document: object = None, **fields: str) -> Reply:
        """Return the answer to a request. Raises `OSError`."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=60)
        return exchange(connection, method, path, document, fields, self.cookies)

    def open(self, url: str) -> Reply:
        """Ask for an address as it was printed."""
        parts = urlsplit(url)
        return self.ask("GET", f"{parts.path}?{parts.query}")

    def document(self, path: str) -> Any:
        """Return a document of the API."""
        reply = self.ask("GET", f"/api/v1/{path}")
        assert reply.status == 200, reply.body
        return reply.json()
