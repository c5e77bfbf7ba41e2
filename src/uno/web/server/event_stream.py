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
_SHORTEST, _LONGEST, _TO_SEND = 0.1, 15.0, 20.0

MEASURED: Final = 5.0
"""Seconds between two versions that differ in measurements alone. All pages get them at once."""

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
        state, announced, at = self._state, -1, 0.0
        text, sent_at = b"retry: 2000\n\n", 0.0
        while not leaving.done():
            self._watched()
            change, now = state.changed, state.now()
            due = due_in(
                announced, at, version=state.version, notable=state.notable_version, now=now
            )
            if due == 0:
                announced, at = state.version, now
                text += b"id: %d\nevent: version\ndata: %d\n\n" % (announced, announced)
            elif now - sent_at >= _LONGEST:
                text += b": \n\n"
            if text:
                async with asyncio.timeout(_TO_SEND):
                    await send({"type": "http.response.body", "body": text, "more_body": True})
                text, sent_at = b"", now
                await asyncio.sleep(_SHORTEST)
            waiting: asyncio.Future[object] = asyncio.ensure_future(change.wait())
            await asyncio.wait(
                {waiting, leaving},
                # What differs in measurements alone wakes nobody.
                timeout=due or MEASURED - now % MEASURED,
                return_when=asyncio.FIRST_COMPLETED,
            )
            waiting.cancel()


def due_in(announced: int, at: float, *, version: int, notable: int, now: float) -> float | None:
    """Return in how many seconds a version is to be announced, None if there is no other one.

    `announced` was announced at `at`. What differs in measurements alone has time until all pages
    get it, so that each document is made once for all of them.
    """
    if version == announced:
        return None
    if notable > announced:
        return 0.0
    return max(0.0, (at // MEASURED + 1) * MEASURED - now)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
