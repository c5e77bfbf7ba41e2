"""What holds for every request: the host that it names, where it comes from, and fields of answers.

Sources: Fetch Metadata (Sec-Fetch-Site), RFC 9110 section 7.4 (421), CSP level 3, Trusted Types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from starlette.responses import Response

from uno.model import codec
from uno.web.documents import ApiError
from uno.web.own_certificate import is_named

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)

FIELDS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}

BODY_LIMIT: Final = 4096
"""The most bytes of a request's body."""

HEAD_LIMIT: Final = 16_384
"""The most bytes of a request's head: of its target and its fields together."""

# Seconds for a request and its answer, but for a stream.
_TIME: Final = 60.0


class Guard:
    """Refuses requests of other sites, for other hosts and too long ones; completes answers."""

    def __init__(self, app: Application, *, names: Callable[[], Iterable[str]]) -> None:
        """Guard `app`; `names` returns the host names and addresses of this page.

        Among the names may be some such as `*.example.org`.
        """
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, as ASGI has it."""
        if scope["type"] != "http":
            return
        fields = _Fields(scope)
        completed = _completing(send)
        if refused := self._refusal(scope, fields):
            await refused(scope, receive, completed)
            return
        if str(scope["path"]).endswith("/stream"):
            await self._app(scope, receive, completed)
            return
        try:
            async with asyncio.timeout(_TIME):
                await self._app(scope, receive, completed)
        except TimeoutError:
            # Whoever sends or reads this slowly is given up: the connection is closed.
            return

    def _refusal(self, scope: Scope, fields: _Fields) -> Response | None:
        if fields.size > HEAD_LIMIT:
            # One that arrives at once is read before its length is known.
            return refusal(431, f"the head has more than {HEAD_LIMIT:,} bytes", connection="close")
        if fields.one("transfer-encoding") is not None:
            # Two readings of where a request ends are refused (RFC 9112, section 6.3).
            hint = "send Content-Length"
            return refusal(411, "a body comes with its length", hint, connection="close")
        host = fields.one("host")
        names = tuple(each.lower() for each in self._names())
        if host is None or not is_named(_without_port(host), names):
            return refusal(421, "this is not the host that the request names", "use its address")
        # Routes are for GET and POST; they refuse other methods themselves (405).
        if scope["method"] != "POST":
            return None
        return self._refusal_of_change(f"{scope['scheme']}://{host}", fields)

    def _refusal_of_change(self, page: str, fields: _Fields) -> Response | None:
        site, origin = fields.one("sec-fetch-site"), fields.one("origin")
        is_foreign = site not in (None, "same-origin", "none")
        if is_foreign or (origin is not None and origin != page):
            return refusal(403, "this request comes from another site")
        if fields.one("content-type", "").partition(";")[0].strip() != "application/json":
            return refusal(415, "the body of a request is JSON", "Content-Type: application/json")
        length = fields.one("content-length", "")
        if not length.isdecimal():
            return refusal(411, "the request does not state its length", "send Content-Length")
        if int(length) > BODY_LIMIT:
            return refusal(413, f"the body has more than {BODY_LIMIT:,} bytes")
        return None


def refusal(status: int, error: str, hint: str = "", **fields: str) -> Response:
    """Return the answer to a request that failed."""
    content = codec.encode(ApiError(error=error, hint=hint))
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Response(content, status, named, media_type="application/json")


class _Fields:
    """The fields of a request; one that is there more than once counts as wrong."""

    def __init__(self, scope: Scope) -> None:
        self._fields: dict[bytes, list[bytes]] = {}
        self.size = len(scope["path"]) + len(scope["query_string"])
        for name, value in scope["headers"]:
            self._fields.setdefault(name, []).append(value)
            self.size += len(name) + len(value)

    def one(self, name: str, default: str | None = None) -> Any:
        found = self._fields.get(name.encode())
        if found is None:
            return default
        return found[0].decode("latin-1") if len(found) == 1 else "\0"


def _without_port(host: str) -> str:
    """Return the name or address of a Host field (RFC 9110 section 7.2), in lower case."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        name = host
    if name.startswith("[") and name.endswith("]"):
        try:
            return str(ip_address(name[1:-1]))
        except ValueError:
            return ""
    return name.lower()


def _completing(send: Send) -> Send:
    async def completed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in FIELDS.items() if k.encode() not in there]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return completed
