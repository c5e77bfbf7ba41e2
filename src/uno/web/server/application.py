"""The routes of the page: its files, its login, and its API."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router

from uno.diagnostics import UnoError
from uno.model import codec, web_access
from uno.model.messages import REGISTRY
from uno.render import particle as particle_files
from uno.render.qr import Code, fits
from uno.web import documents_api, metrics, openapi
from uno.web.documents import (
    LoginRequest,
    ParticleConfiguration,
    PasswordRequest,
    ReaderSession,
)
from uno.web.documents_api import DOCUMENTS, ApiDocument, NoSuchDocument
from uno.web.login_ticket import TicketError
from uno.web.page_site import PageSite
from uno.web.picture import Picture, link_name
from uno.web.readers import Reader, reader_of
from uno.web.series import DAY
from uno.web.server.event_stream import EventStreams
from uno.web.server.guard import BODY_LIMIT, Guard, Receive, Scope, Send, refusal
from uno.web.server.login import LoginDesk, LoginLater, LoginRefused, OpenedLogin
from uno.web.server.page_state import Answer, PageState
from uno.web.server.sessions import LIFETIME, LoginSession
from uno.web.server.static_files import INDEX, StaticFile
from uno.web.view import MAX_EVENTS, event_list

COOKIE: Final = "__Host-uno"
DEVICE_COOKIE: Final = "__Host-uno-device"

# Browsers take a cookie with that prefix over HTTPS alone (RFC 6265bis, section 4.1.3.2).
_PREFIX: Final = "__Host-"

_API: Final = "/api/v1/"
_JSON: Final = "application/json"
# Seconds: how long a device is known from which someone has logged in, and for a body to arrive.
_DEVICE_LIFETIME, _TO_READ = 400 * 86_400, 10.0

_MAX_NUMBER: Final = 999_999_999

_Body = TypeVar("_Body", bound=Struct)


class WebApplication:
    """The page, as ASGI has it. For one event loop."""

    def __init__(
        self,
        state: PageState,
        files: dict[str, StaticFile],
        *,
        names: Callable[[], tuple[str, ...]],
        wall: Callable[[], float],
        watched: Callable[[], None],
    ) -> None:
        """Serve `state` and `files` under the host names and addresses that `names` returns.

        `wall` returns the seconds since the epoch. `watched` is called now and then while somebody
        has the page open.
        """
        self._state, self._files, self._wall = state, files, wall
        self.desk = LoginDesk(now=state.now, wall=wall)
        self._watched = watched
        self._streams = EventStreams(state, watched=watched)
        # The particles of a user as the password has opened them, by id.
        self._particles: dict[str, frozenset[int]] = {}
        self._openapi = codec.encode_pretty(openapi.document())
        self._guarded = Guard(self._router(), names=names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        try:
            await self._guarded(scope, receive, send)
        except ClientDisconnect:
            return

    def _router(self) -> Router:
        return Router(
            routes=[
                _Route("/", self._index),
                _Route("/static/{path:path}", self._static),
                _Route("/healthz", self._health),
                _Route("/ca", self._answered(self._authority)),
                _Route("/login", self._answered(self._ticket)),
                _Route("/metrics", self._answered(self._metrics)),
                _Route(f"{_API}openapi.json", self._description),
                _Route(f"{_API}session", self._answered(self._session)),
                _Route(f"{_API}login", self._answered(self._log_in), methods=["POST"]),
                _Route(f"{_API}logout", self._answered(self._log_out), methods=["POST"]),
                _Route(
                    f"{_API}particles/{{id}}/config",
                    self._answered(self._configuration),
                    methods=["POST"],
                ),
                _Route(f"{_API}explain", self._answered(self._explain)),
                _Route(f"{_API}events", self._answered(self._events)),
                _Route(f"{_API}series/{{a}}-{{b}}", self._answered(self._series)),
                _Route(f"{_API}stream", _Endpoint(self._stream), methods=["GET"]),
                *(_Route(_API + each.path, self._document(each)) for each in DOCUMENTS),
            ],
            default=self._nothing,
        )

    # Files, and what takes no login.

    async def _index(self, request: Request) -> Response:
        return _file(request, self._files[INDEX])

    async def _static(self, request: Request) -> Response:
        found = self._files.get(request.path_params["path"])
        return _file(request, found) if found else refusal(404, "there is no such file")

    async def _health(self, _request: Request) -> Response:
        return Response(b'{"ok":true}', media_type=_JSON)

    async def _authority(self, _request: Request) -> Response:
        """The certificate to trust; it is of no use to whoever cannot compare its fingerprint."""
        site = self._site()
        named = {"content-disposition": f'attachment; filename="{site.uvn}.crt"'}
        return Response(site.root, headers=named, media_type="application/x-x509-ca-cert")

    async def _description(self, _request: Request) -> Response:
        return Response(self._openapi, media_type=_JSON)

    async def _nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refusal(404, "there is nothing here", "see /api/v1/openapi.json")(
            scope, receive, send
        )

    async def _metrics(self, request: Request) -> Response:
        if not self._site().metrics_token:
            hint = "read those of all cells at any of them: /metrics?scope=uvn"
            return refusal(404, "the registry's page has no metrics", hint)
        given = request.headers.get("authorization", "").encode()
        wanted = f"Bearer {self._site().metrics_token}".encode()
        if not hmac.compare_digest(given, wanted):
            hint = "uno show cell NAME --metrics-token"
            return refusal(401, "metrics take a token", hint, www_authenticate="Bearer")
        picture = self._state.picture(self._wall())
        if picture is None:
            return refusal(503, "the agent has observed nothing yet")
        self._watched()
        whole = request.query_params.get("scope") == "uvn"
        return Response(
            metrics.render(picture, whole=whole), headers={"content-type": metrics.CONTENT_TYPE}
        )

    # Login.

    async def _ticket(self, request: Request) -> Response:
        try:
            opened = self.desk.redeem(self._site(), request.query_params.get("ticket", ""))
        except TicketError as error:
            where = "" if self._site().cell == REGISTRY else " CELL"
            return refusal(403, str(error), f"run again: uno web login{where}")
        response = RedirectResponse("/", 303)
        self._remember(opened, request, response)
        return response

    async def _log_in(self, request: Request) -> Response:
        given = await _body(request, LoginRequest)
        site = self._site()
        opened = await self.desk.log_in(
            site, given.email, given.password, source=_source(request), device=_device(request)
        )
        self._particles[opened.email] = frozenset(opened.keys)
        found = self.desk.sessions.find(opened.token, now=self._state.now())
        assert found is not None
        response = _json(self._reader_session(self._reader(found), found))
        self._remember(opened, request, response)
        return response

    async def _log_out(self, request: Request) -> Response:
        self.desk.sessions.close(_cookie(request, COOKIE))
        response = Response(status_code=204)
        response.delete_cookie(
            _cookie_name(request, COOKIE),
            path="/",
            secure=_is_secure(request),
            httponly=True,
            samesite="strict",
        )
        return response

    async def _session(self, request: Request) -> Response:
        reader, session = self._logged_in(request)
        return _json(self._reader_session(reader, session))

    def _remember(self, opened: OpenedLogin, request: Request, response: Response) -> None:
        for name, value, age in (
            (COOKIE, opened.token, LIFETIME),
            (DEVICE_COOKIE, opened.device, _DEVICE_LIFETIME),
        ):
            response.set_cookie(
                _cookie_name(request, name),
                value,
                int(age),
                path="/",
                secure=_is_secure(request),
                httponly=True,
                samesite="strict",
            )

    def _reader_session(self, reader: Reader, session: LoginSession) -> ReaderSession:
        return ReaderSession(
            email=reader.email,
            name=reader.name,
            is_owner=reader.is_owner,
            cells=tuple(sorted(reader.cells)),
            particles=tuple(sorted(reader.particles)),
            expires_in=int(session.left(self._state.now())),
        )

    def _logged_in(self, request: Request) -> tuple[Reader, LoginSession]:
        token = _cookie(request, COOKIE)
        session = self.desk.sessions.find(token, now=self._state.now()) if token else None
        if session is None:
            raise HTTPException(401, "log in first")
        return self._reader(session), session

    def _reader(self, session: LoginSession) -> Reader:
        email, site, directory = session.email, self._site(), self._state.directory
        if directory is not None and (found := reader_of(email, directory)) is not None:
            return found
        is_known = any(each.email == email for each in site.users)
        if not is_known and email != site.owner:
            raise HTTPException(401, "log in first")
        return Reader(
            email=email,
            is_owner=email == site.owner,
            cells=frozenset([site.cell] if email == site.cell_owner else []),
            particles=self._particles.get(email, frozenset()),
        )

    # The API.

    async def _configuration(self, request: Request) -> Response:
        reader, session = self._logged_in(request)
        given, wanted = await _body(request, PasswordRequest), _numbers(request, ("id",))["id"]
        site = self._site()
        keys = await self.desk.keys(
            site,
            session.email,
            given.password,
            source=_source(request),
            device=_device(request),
        )
        del reader
        if wanted not in keys or site.particles is None or site.package is None:
            raise NoSuchDocument
        return _json(_particle_configuration(site, wanted, keys[wanted]))

    async def _explain(self, request: Request) -> Response:
        reader, _ = self._logged_in(request)
        if not reader.is_owner:
            return refusal(403, "only the owner of the UVN may ask that")
        ends = (request.query_params.get("from", ""), request.query_params.get("to", ""))
        return Response(
            codec.encode(documents_api.explanation(self._picture(), *ends)), media_type=_JSON
        )

    async def _events(self, request: Request) -> Response:
        reader, _ = self._logged_in(request)
        before = _query_number(request, "before", default=0, most=_MAX_NUMBER)
        after = _query_number(request, "after", default=0, most=_MAX_NUMBER)
        limit = _query_number(request, "limit", default=MAX_EVENTS, most=MAX_EVENTS)
        events, newest = self._state.events, self._state.newest_event
        found = self._state.answer(
            (reader, "events", newest, after, before, limit),
            partial(event_list, events, reader, after=after, before=before or None, limit=limit),
            is_final=True,
        )
        return _kept(request, found, age=0.0)

    async def _series(self, request: Request) -> Response:
        reader, _ = self._logged_in(request)
        ends = _numbers(request, ("a", "b"))
        pair = (min(ends.values()), max(ends.values()))
        if pair not in self._picture().link_health or not reader.owns(*pair):
            raise NoSuchDocument
        span = _query_number(request, "span", default=DAY, most=DAY)
        return _json(self._state.series.series(link_name(pair), span=span, at=self._state.now()))

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            reader, _ = self._logged_in(request)
        except HTTPException as error:
            await refusal(error.status_code, error.detail)(scope, receive, send)
            return
        if not self._streams.has_room(reader.email):
            full = refusal(503, "too many pages are open", "close some", retry_after="30")
            await full(scope, receive, send)
            return
        await self._streams.serve(reader.email, receive, send)

    def _document(self, document: ApiDocument) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            reader, _ = self._logged_in(request)
            numbers = _numbers(request, document.numbers)
            picture = self._picture()
            found = self._state.answer(
                (reader, document.path, *numbers.values()),
                lambda: documents_api.made(document, picture, reader, numbers),
            )
            return _kept(request, found, age=self._state.now() - found.made)

        return self._answered(respond)

    def _answered(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Return `handler` with answers for what it raises."""

        async def respond(request: Request) -> Response:
            try:
                response: Response = await handler(request)
            except NoSuchDocument:
                return refusal(404, "there is nothing of that name that you may see")
            except HTTPException as error:
                return refusal(error.status_code, error.detail)
            except LoginRefused:
                return refusal(401, "the e-mail address or the password is wrong")
            except LoginLater as later:
                what = "others are logging in" if later.busy else "too many wrong passwords"
                seconds = int(later.seconds) + 1
                wait = f"wait {seconds} s"
                return refusal(429, what, wait, retry_after=str(seconds))
            except UnoError as error:
                return refusal(422, error.what, error.hint)
            return response

        return respond

    def _picture(self) -> Picture:
        found = self._state.picture(self._wall())
        if found is None:
            raise HTTPException(503, "the agent has observed nothing yet")
        return found

    def _site(self) -> PageSite:
        if self._state.site is None:
            raise HTTPException(503, "the page starts")
        return self._state.site


class _Route(Route):
    """A route that refuses other methods as everything is refused here."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.methods is not None
        if scope["method"] in self.methods:
            await super().handle(scope, receive, send)
            return
        allowed = ", ".join(sorted(self.methods))
        refused = refusal(405, "this is not done with that method", f"use {allowed}", allow=allowed)
        await refused(scope, receive, send)


class _Endpoint:
    """An ASGI application as an endpoint of a route: a function would be called with a request."""

    def __init__(self, handler: Callable[[Scope, Receive, Send], Any]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._handler(scope, receive, send)


def _particle_configuration(site: PageSite, particle: int, keys: bytes) -> ParticleConfiguration:
    shared, package = site.particles, site.package
    assert shared is not None
    assert package is not None
    identity = next((it.particle for it in package.particles if it.particle.id == particle), None)
    if identity is None:
        raise NoSuchDocument
    conf = particle_files.conf(
        private_key=web_access.key_text(keys[:32]),
        address4=identity.address4,
        address6=identity.address6,
        mtu=shared.mtu,
        public_key=shared.public_key,
        psk=web_access.key_text(keys[32:]),
        endpoint=shared.endpoint,
        keepalive=shared.keepalive,
        tunnel=shared.tunnel,
        pools=shared.networks,
    )
    title = f"{identity.name} at {site.cell_name}"
    return ParticleConfiguration(
        id=particle,
        name=identity.name,
        cell=site.cell_name,
        file=f"{particle_files.file_name(site.cell_name, site.cell)}.conf",
        conf=conf,
        qr=Code(conf).svg(title) if fits(conf) else "",
    )


async def _body(request: Request, kind: type[_Body]) -> _Body:
    try:
        async with asyncio.timeout(_TO_READ):
            content = b""
            async for part in request.stream():
                content += part
                if len(content) > BODY_LIMIT:
                    raise HTTPException(413, f"the body has more than {BODY_LIMIT:,} bytes")
        return codec.decode(content, kind)
    except TimeoutError as error:
        raise HTTPException(408, "the body did not arrive in time") from error
    except codec.MalformedJson as error:
        raise HTTPException(422, f"the body cannot be read: {error}") from error


def _numbers(request: Request, names: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for name in names:
        number = _number(request.path_params[name])
        if number is None:
            raise NoSuchDocument
        found[name] = number
    return found


def _query_number(request: Request, name: str, *, default: int, most: int) -> int:
    """Return a number of the query, or the default where it has none. Raises `HTTPException`."""
    given = request.query_params.getlist(name)
    if not given:
        return default
    number = _number(given[0]) if len(given) == 1 else None
    if number is None or number > most:
        raise HTTPException(422, f"{name} is one number from 0 to {most}")
    return number


def _number(text: str) -> int | None:
    # At most 32 bits: Python's own limit is above the ids of any UVN.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None


def _source(request: Request) -> str:
    return request.client.host if request.client else ""


def _device(request: Request) -> str:
    return _cookie(request, DEVICE_COOKIE)


def _is_secure(request: Request) -> bool:
    return bool(request.scope["scheme"] == "https")


def _cookie_name(request: Request, name: str) -> str:
    """Return the name of a cookie for the page that is asked, which may be one without TLS."""
    return name if _is_secure(request) else name.removeprefix(_PREFIX)


def _cookie(request: Request, name: str) -> str:
    return request.cookies.get(_cookie_name(request, name), "")


def _json(document: Struct) -> Response:
    return Response(codec.encode(document), media_type=_JSON)


def _kept(request: Request, answer: Answer, *, age: float) -> Response:
    fields = {"etag": answer.etag, "age": str(int(age)), "vary": "accept-encoding, cookie"}
    if _has(request, answer.etag):
        return Response(status_code=304, headers=fields)
    if answer.packed and _takes_gzip(request):
        return Response(
            answer.packed, headers={**fields, "content-encoding": "gzip"}, media_type=_JSON
        )
    return Response(answer.body, headers=fields, media_type=_JSON)


def _file(request: Request, found: StaticFile) -> Response:
    # Files of another version have other contents under the same names: ask each time.
    fields = {"etag": found.etag, "cache-control": "no-cache", "vary": "accept-encoding"}
    if _has(request, found.etag):
        return Response(status_code=304, headers=fields)
    body = found.body
    if found.packed and _takes_gzip(request):
        body, fields["content-encoding"] = found.packed, "gzip"
    # The kind has its character set.
    return Response(body, headers={**fields, "content-type": found.kind})


def _has(request: Request, etag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return etag in (each.strip() for each in given.split(","))


def _takes_gzip(request: Request) -> bool:
    given = request.headers.get("accept-encoding", "").lower()
    return any(each.strip().partition(";")[0] == "gzip" for each in given.split(","))
