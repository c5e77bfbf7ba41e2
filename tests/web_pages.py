"""A cell's web page on the loopback interface: the real process behind it, and a reader."""

from __future__ import annotations

import asyncio
import http.client
import json
import queue
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from msgspec.structs import replace

from packages import HUB, UVN, package_of
from uno.cli.web_page import make_page
from uno.model import password_hash, web_access
from uno.model.key_ids import WEB, cell_signing
from uno.model.package import Package
from uno.model.plan import CertificateFiles
from uno.model.status import CellStatus, CellView, UvnView
from uno.model.uvn import Cell, Particle, User, Uvn
from uno.model.web_access import ParticleSettings, WebAccess, WebUser
from uno.registry.publish import web_authority
from uno.render import web_seal
from uno.web.page_process import PageProcess

OWNER, JANE = "owner@example.org", "jane@example.org"
PASSWORDS = {OWNER: "the owner's password", JANE: "jane's password"}
ADDRESS, OTHER_ADDRESS = "127.0.0.1", "127.0.0.2"
NAME = "hub.net.internal"
SEED = b"s" * 32
PHONE = 1
KEYS = bytes(range(64))

# As quick as argon2 can be: what it costs is no subject here.
_CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def uvn() -> Uvn:
    """A UVN whose cell `hub` has the loopback interface for a LAN."""
    hub, *others = UVN.cells
    local = replace(hub, allowed_lans=(IPv4Network("127.0.0.0/8"),))
    phone = Particle(id=PHONE, name="phone", owner=JANE)
    return replace(
        UVN,
        users=(User(email=JANE), User(email=OWNER)),
        cells=tuple[Cell, ...]([local, *others]),
        particles=(phone, *UVN.particles[1:]),
    )


def package(port: int, *, generation: int = 1, users: tuple[str, ...] = (OWNER, JANE)) -> Package:
    """Return the package of `hub`, whose page is at TCP `port`."""
    made = package_of(HUB, uvn(), generation=generation)
    plan = replace(made.plan, httpd_port=port)
    manifest = replace(made.manifest, content=f"{generation}-{port}-{len(users)}")
    made = replace(made, plan=plan, manifest=manifest)
    secrets = {**made.secrets, WEB: web_access.to_secret(access(made, users))}
    return replace(made, secrets=secrets)


def access(of: Package, users: tuple[str, ...]) -> WebAccess:
    """Return what the page needs of a package."""
    signing = of.secrets[cell_signing(HUB)].encode()
    key = web_authority.cell_key(SEED, HUB, signing)
    networks = web_access.networks(of.plan, of.own)
    return WebAccess(
        root=web_authority.root_certificate(SEED, "net"),
        authority=web_authority.cell_authority(SEED, "net", "hub", key=key, networks=networks),
        key=key,
        owner=OWNER,
        cell_owner=OWNER,
        metrics_token=web_authority.metrics_token(SEED, HUB, signing),
        users=tuple(_user(of, email) for email in users),
        particles=ParticleSettings(
            endpoint="hub.example.org:63449",
            public_key="h" * 43 + "=",
            mtu=1320,
            keepalive=25,
            tunnel=True,
        ),
    )


def _user(of: Package, email: str) -> WebUser:
    found = password_hash.parsed(_CHEAP.hash(PASSWORDS[email]))
    assert found is not None
    sealed = web_seal.seal(
        {PHONE: KEYS} if email == JANE else {},
        password_hash=found.hash,
        identity=of.plan.identity,
        cell=HUB,
        email=email,
    )
    return WebUser(
        email=email,
        salt=found.salt,
        passes=found.passes,
        memory=found.memory,
        lanes=found.lanes,
        size=len(found.hash),
        verifier=web_seal.verifier(found.hash),
        particles=sealed,
    )


def view(generation: int = 1) -> UvnView:
    """Return the UVN as the cell has it: `hub` is well, nothing was received of the others."""
    status = CellStatus(generation=generation, version="1.0")
    hub = CellView(id=HUB, name="hub", package=generation, status=status, age=0.0, alive=True)
    others = (CellView(id=it.id, name=it.name) for it in UVN.cells[1:])
    return UvnView(uvn="net", viewer=HUB, generation=generation, cells=(hub, *others))


@dataclass(frozen=True)
class Reply:
    """An answer to a request."""

    status: int
    fields: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return its document."""
        return json.loads(self.body)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that it sets."""
        given = self.fields.get_all("set-cookie") or []
        pairs = (each.partition(";")[0].partition("=") for each in given)
        return {name: value for name, _, value in pairs}


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    document: object,
    fields: Mapping[str, str],
    cookies: dict[str, str],
) -> Reply:
    """Return the answer to a request with `cookies`, and keep those that it sets there.

    A field that is empty is left out. The connection is closed. Raises `OSError`.
    """
    body = None if document is None else json.dumps(document).encode()
    given = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    if body is not None:
        given["Content-Type"] = "application/json"
    given |= {name.replace("_", "-"): value for name, value in fields.items()}
    try:
        connection.request(method, path, body, {k: v for k, v in given.items() if v})
        answer = connection.getresponse()
        reply = Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
    cookies |= reply.cookies
    return reply


@dataclass
class Browser:
    """Requests to a page, with cookies."""

    port: int
    root: bytes
    host: str = NAME
    address: str = ADDRESS
    source: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)

    def context(self) -> ssl.SSLContext:
        """Return what trusts the UVN's root, and nothing else."""
        return ssl.create_default_context(cadata=self.root)

    def connect(self) -> ssl.SSLSocket:
        """Open a connection. Raises `OSError`."""
        plain = socket.create_connection(
            (self.address, self.port), timeout=20, source_address=(self.source, 0)
        )
        try:
            return self.context().wrap_socket(plain, server_hostname=NAME)
        except BaseException:
            plain.close()
            raise

    def ask(self, method: str, path: str, document: object = None, **fields: str) -> Reply:
        """Return the answer to a request. Raises `OSError`."""
        connection = http.client.HTTPConnection(NAME, self.port)
        connection.sock = self.connect()
        given = {"Host": f"{self.host}:{self.port}"} | fields
        return exchange(connection, method, path, document, given, self.cookies)

    def raw(self, sent: bytes) -> bytes:
        """Send bytes as they are, and return all that is answered until the page closes."""
        with self.connect() as connection:
            connection.settimeout(20)
            connection.sendall(sent)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def log_in(self, email: str = OWNER, password: str | None = None) -> Reply:
        """Log in."""
        given = PASSWORDS.get(email, "") if password is None else password
        return self.ask("POST", "/api/v1/login", {"email": email, "password": given})


@dataclass
class ServedPage:
    """A page that is served; `watches` counts the times that it had cells measure."""

    process: PageProcess
    port: int
    package: Package
    shown: list[UvnView]
    watches: int = 0

    def watch(self) -> None:
        """Count a watch."""
        self.watches += 1

    def browser(self, **given: Any) -> Browser:
        """Return a reader who is not logged in."""
        found = web_access.of_package(self.package)
        assert found is not None
        return Browser(self.port, found.root, **given)

    async def ask(
        self, browser: Browser, method: str, path: str, *given: Any, **fields: str
    ) -> Reply:
        """Have a reader ask."""
        return await asyncio.to_thread(browser.ask, method, path, *given, **fields)

    async def listening(self) -> None:
        """Wait until the agent listens: until its port is taken."""
        async with asyncio.timeout(60):
            while is_free(self.port):  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)

    async def ready(self) -> None:
        """Wait until the page answers, and shows something."""
        browser = self.browser()
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await asyncio.to_thread(browser.ask, "GET", "/healthz")).status == 200:
                        return
                except OSError:
                    pass
                await asyncio.sleep(0.05)


@asynccontextmanager
async def served(
    directory: Path,
    *,
    addresses: tuple[str, ...] = (ADDRESS,),
    awaited: bool = True,
    own_files: CertificateFiles | None = None,
) -> AsyncIterator[ServedPage]:
    """Serve the page of `hub` at a free port, from the process that agents start.

    Unless `awaited`, nobody has connected yet. `own_files` have a certificate of the owner's.
    """
    port = free_port()
    process = make_page(directory, environ={})
    made = package(port)
    made = replace(made, plan=replace(made.plan, web_files=own_files))
    page = ServedPage(process, port, made, [view()])
    process.configure(page.package, [IPv4Address(each) for each in addresses])
    running = asyncio.ensure_future(process.run(lambda: page.shown[-1], lambda: None, page.watch))
    try:
        if awaited:
            await page.ready()
        yield page
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(condition: Callable[[], object], *, within: float = 60) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - of another thread or process
            await asyncio.sleep(0.05)


@contextmanager
def in_background(directory: Path) -> Iterator[ServedPage]:
    """Serve it from another thread, for readers that block."""
    begun, end = queue.SimpleQueue[ServedPage | BaseException](), threading.Event()

    async def scene() -> None:
        async with served(directory) as page:
            begun.put(page)
            await asyncio.to_thread(end.wait)

    def run() -> None:
        try:
            asyncio.run(scene())
        except BaseException as error:
            begun.put(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        found = begun.get(timeout=90)
        assert isinstance(found, ServedPage), found
        yield found
    finally:
        end.set()
        thread.join()


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as one:
        one.bind((ADDRESS, 0))
        port: int = one.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether nobody listens on a TCP port."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((ADDRESS, port))
        except OSError:
            return False
        return True
