"""The stream that announces versions to open pages (server-sent events, HTML standard 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from uno.web.server.guard import Receive, Send
from uno.web.server.page_state import PageState

MOST, MOST_OF_ONE = 16, 6
"""Streams at the same time, of all readers and of one."""

# Seconds: between two versions at least, between two signs of life, and for a reader to take them.
_SHORTEST, _LONGEST, _TO_SEND = 0.25, 15.0, 20.0

_FIELDS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
]


class EventStreams:
    """The open streams. For one event loop."""

    def __init__(self, state: PageState, *, watched: Callable[[], None]) -> None:
        """Announce the versions of `state`, and call `watched` now and then while one is open."""
        self._state, self._watched = state, watched
        self._open: dict[str, int] = {}

    def has_room(self, email: str) -> bool:
        """Whether the user may open another stream."""
        return sum(self._open.values()) < MOST and self._open.get(email, 0) < MOST_OF_ONE

    async def serve(self, email: str, receive: Receive, send: Send) -> None:
        """Send a line for each version until the reader leaves."""
        self._open[email] = self._open.get(email, 0) + 1
        leaving: asyncio.Future[object] = asyncio.ensure_future(_left(receive))
        try:
            async with asyncio.timeout(_TO_SEND):
                await send({"type": "http.response.start", "status": 200, "headers": _FIELDS})
            await self._announce(leaving, send)
        except TimeoutError:
            return
        finally:
            leaving.cancel()
            self._open[email] -= 1
            if not self._open[email]:
                del self._open[email]

    async def _announce(self, leaving: asyncio.Future[object], send: Send) -> None:
        announced, text = -1, b"retry: 2000\n\n"
        while not leaving.done():
            self._watched()
            change, version = self._state.changed, self._state.version
            if version != announced:
                announced = version
                text += b"id: %d\nevent: version\ndata: %d\n\n" % (version, version)
            async with asyncio.timeout(_TO_SEND):
                await send({"type": "http.response.body", "body": text, "more_body": True})
            text = b": \n\n"
            await asyncio.sleep(_SHORTEST)
            waiting: asyncio.Future[object] = asyncio.ensure_future(change.wait())
            await asyncio.wait(
                {waiting, leaving}, timeout=_LONGEST, return_when=asyncio.FIRST_COMPLETED
            )
            waiting.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
