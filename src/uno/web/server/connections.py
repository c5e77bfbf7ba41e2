"""Connections of readers: how many there may be, and how long they may keep the server waiting.

HTTP/1.1 is uvicorn's, on h11. A connection is counted before its TLS handshake: whoever opens a
thousand of them costs no more memory than the bound allows, and keeps out nobody but who shares
the address.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from uno.web.own_certificate import is_named
from uno.web.server.guard import HEAD_LIMIT

MOST, MOST_OF_ONE = 192, 48
"""Connections at the same time, of all sources and of one address."""

# Seconds: for a TLS handshake, for the whole of a request's head, and without a request.
TO_SHAKE_HANDS, TO_ASK, IDLE = 8.0, 10.0, 30
# Seconds in which others may leave, once no connection can be accepted.
_TO_LEAVE: Final = 0.1
# Milliseconds after which a peer that acknowledges nothing is given up (tcp(7)).
_UNACKNOWLEDGED: Final = 60_000


class Listeners:
    """Serves an application at sockets that come and go. For one event loop."""

    def __init__(self, app: Any) -> None:
        """Serve `app` once there are a certificate and sockets."""
        self._loop = asyncio.get_running_loop()
        self._config = Config(
            app,
            loop="none",
            http=H11Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE,
            h11_max_incomplete_event_size=HEAD_LIMIT,
        )
        self._config.load()
        self._server = ServerState()
        self._context: ssl.SSLContext | None = None
        self._own: ssl.SSLContext | None = None
        self.own_names: tuple[str, ...] = ()
        self._accepting: dict[str, socket.socket] = {}
        self._plain: set[socket.socket] = set()
        self._open: Counter[str] = Counter()
        self._quiet_since = self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it serves."""
        return tuple(self._accepting)

    def set_certificate(self, context: ssl.SSLContext) -> None:
        """Serve new connections with another certificate."""
        context.sni_callback = self._choose
        self._context = context

    def set_own_certificate(self, context: ssl.SSLContext | None, names: tuple[str, ...]) -> None:
        """Serve readers that name one of `names` (RFC 6066, section 3) with this one, if any."""
        self._own, self.own_names = context, names

    def _choose(self, connection: Any, name: str | None, _context: ssl.SSLContext) -> None:
        if self._own is not None and name and is_named(name.lower(), self.own_names):
            connection.context = self._own

    def quiet_for(self, now: float) -> float:
        """Return for how many seconds nobody has been connected; `now` is the loop's time."""
        return 0.0 if self._open else now - self._quiet_since

    def add(self, address: str, listening: socket.socket, *, is_plain: bool = False) -> None:
        """Serve at a listening socket, in place of one with the same address.

        `is_plain`: without TLS, if it is an address of the loopback interface.
        """
        self.remove(address)
        listening.settimeout(0)
        self._accepting[address] = listening
        if is_plain and ip_address(address).is_loopback:
            self._plain.add(listening)
        self._loop.add_reader(listening, self._accept, listening)

    def remove(self, address: str) -> None:
        """Accept no more connections at `address`; those that wait there are another process's."""
        if (listening := self._accepting.pop(address, None)) is not None:
            self._loop.remove_reader(listening)
            self._plain.discard(listening)
            listening.close()

    def close(self) -> None:
        """Accept no more connections."""
        for address in self.addresses:
            self.remove(address)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, (host, *_) = listening.accept()
        except BlockingIOError:
            return
        except OSError:
            # No more open files, or a peer that has gone: others may leave.
            self._loop.remove_reader(listening)
            self._loop.call_later(_TO_LEAVE, self._resume, listening)
            return
        is_plain = listening in self._plain
        if self._is_full(host) or (self._context is None and not is_plain):
            connection.close()
            return
        connection.settimeout(0)
        self._open[host] += 1
        context = None if is_plain else self._context
        task = self._loop.create_task(self._serve(connection, host, context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._accepting.values():
            self._loop.add_reader(listening, self._accept, listening)

    def _is_full(self, host: str) -> bool:
        return self._open.total() >= MOST or self._open[host] >= MOST_OF_ONE

    async def _serve(
        self, connection: socket.socket, host: str, context: ssl.SSLContext | None
    ) -> None:
        closed = self._loop.create_future()
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)
            # Whoever sends no TLS, or breaks it off, is none of the log's concern.
            with suppress(OSError, TimeoutError):
                await self._loop.connect_accepted_socket(
                    lambda: BoundedConnection(
                        H11Protocol(self._config, self._server, {}), closed, self._loop
                    ),
                    connection,
                    ssl=context,
                    ssl_handshake_timeout=TO_SHAKE_HANDS if context else None,
                    ssl_shutdown_timeout=1.0 if context else None,
                )
                await closed
        finally:
            connection.close()
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]
            self._quiet_since = self._loop.time()


class BoundedConnection(asyncio.Protocol):
    """A connection that is closed where a request's head takes too long to arrive."""

    def __init__(
        self, http: H11Protocol, closed: asyncio.Future[None], loop: asyncio.AbstractEventLoop
    ) -> None:
        """Have `http` handle it, and complete `closed` at its end."""
        self._http, self._closed, self._loop = http, closed, loop
        self._transport: asyncio.Transport | None = None
        self._asking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._http.connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; after the first of a request its head has so long to arrive."""
        if self._transport is None or self._transport.is_closing():
            # What else was sent with a request that is refused. TLS still hands it over.
            return
        if self._is_idle and self._asking is None:
            self._expect_request()
        self._http.data_received(data)
        if not self._is_idle and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def eof_received(self) -> None:
        """Close: a reader that has closed its half awaits no answer."""
        self._http.eof_received()

    def pause_writing(self) -> None:
        """Have the application wait."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Have the application go on."""
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._asking is not None:
            self._asking.cancel()
        self._http.connection_lost(exc)
        if not self._closed.done():
            self._closed.set_result(None)

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self._http.cycle
        return cycle is None or cycle.response_complete

    def _expect_request(self) -> None:
        self._asking = self._loop.call_later(TO_ASK, self._give_up)

    def _give_up(self) -> None:
        self._asking = None
        if self._is_idle and self._transport is not None:
            self._transport.abort()
