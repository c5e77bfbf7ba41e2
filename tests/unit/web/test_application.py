"""The page before its agent has sent anything."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from uno.web.server import static_files
from uno.web.server.application import WebApplication
from uno.web.server.page_state import PageState


async def asked(path: str) -> tuple[int, Any]:
    """Return the status and the document of an answer."""
    application = WebApplication(
        PageState(lambda: 0.0),
        static_files.load(),
        names=lambda: ("192.0.2.1",),
        wall=lambda: 0.0,
        watched=lambda: None,
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"192.0.2.1")],
    }
    await application(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.feature("F106")
@pytest.mark.parametrize("path", ["/ca", "/metrics", "/login?ticket=x"])
def test_what_is_not_known_yet_is_asked_for_again(path: str) -> None:
    status, document = asyncio.run(asked(path.partition("?")[0]))

    assert (status, document) == (503, {"error": "the page starts", "hint": ""})
