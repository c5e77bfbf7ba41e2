"""The agent's end of the process that serves the page: starts it, feeds it, replaces it, ends it.

The agent has the keys: it makes the certificate, opens the listening sockets, and hands both to the
process, which has no rights (`server.page_child`). It never waits for it. The process starts with
the first connection, which waits in the listening socket meanwhile, and ends some time after the
last reader. One that ends by itself is replaced within seconds. Each gets everything again. What
has happened and what was measured is recorded here, with or without a process.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from uno import files
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model import codec, web_access
from uno.model.net import Address, written
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import CellView, UvnView
from uno.model.untrusted_text import visible
from uno.unprivileged.child_link import TEXT_LIMIT, Child, ChildLink, Outgoing
from uno.unprivileged.confinement import WEB
from uno.web import leaf_certificate, own_certificate, series_file
from uno.web import page_frames as frames
from uno.web.event_store import EventStore
from uno.web.events import NetworkEvent
from uno.web.journal import Journal, is_same
from uno.web.leaf_certificate import Leaf
from uno.web.own_certificate import OwnCertificate
from uno.web.page_site import PageSource, shortened, source_of
from uno.web.picture import Picture
from uno.web.series_file import CLOCK_SET, KeptSeries, SeriesMoment

_log = logging.getLogger(__name__)

CERTIFICATE: Final = "web-certificate.json"
"""The file in the cell's directory that keeps the certificate over restarts of the agent."""

EVENTS: Final = "events.db"
"""The file in the cell's directory that keeps what has happened."""

SERIES: Final = "measurements"
"""The file in the cell's directory that keeps the measurements of a day over restarts."""

StartPage = Callable[[socket.socket, int], Child]

# Seconds: between two states that are shown, at least and at most; between two that are recorded
# without a process; without readers until the process ends; and until one that has failed is
# started again, the first time and at most.
SHORTEST, LONGEST = 0.1, 2.0
RECORD_EVERY = 5.0
# Seconds between two writes of the measurements of a day while the agent runs, for each MB of them:
# flash memory of small hosts wears. The agent writes them when it ends, too.
KEEP_EVERY = 3600.0
REST_AFTER = 300.0
FIRST_DELAY, MOST_DELAY = 0.1, 15.0
# A process that has lasted so long has not failed for the same reason as the one before.
_LASTING: Final = 60.0
_BACKLOG: Final = 128
# Seconds between two comparisons of a certificate with the clock.
CERTIFY_EVERY = 60.0
_MEGABYTE: Final = 1_000_000
# random(4): another one each time that the host boots.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class PageProcess:
    """`ports.web.WebPage` in a process of its own. For one event loop."""

    def __init__(self, start: StartPage, directory: Path, *, wall: Callable[[], float]) -> None:
        """Start none yet; `start` starts one, `directory` is the cell's.

        `wall` returns the seconds since the epoch.
        """
        self._start, self._directory, self._wall = start, directory, wall
        self._link: ChildLink | None = None
        # Which package or definition the page is of, and what follows from it.
        self._mark = ""
        self._source: PageSource | None = None
        self._addresses: tuple[Address, ...] = ()
        # What the certificate was made for, and when it is compared with the clock again.
        self._certified: tuple[str, tuple[Address, ...]] | None = None
        self._certify_at = 0.0
        self._leaf: Leaf | None = None
        # The owner's, what its files were like when it was read, and when they are compared again.
        self._own: OwnCertificate | None = None
        self._own_mark: tuple[object, ...] = ()
        self._own_at = 0.0
        self._sockets: dict[str, socket.socket] = {}
        # Those of them at which a first reader is awaited, and those that the process has.
        self._awaiting: dict[str, socket.socket] = {}
        self._passed_on: set[str] = set()
        self._port: int | None = None
        self._problems: dict[str, str] = {}
        self._store = EventStore(directory / EVENTS)
        self._journal = Journal()
        self._keep_at = 0.0
        self._is_watched = False
        # Something has changed; and a reader has come, or the process is to be started again.
        self._wake, self._called = asyncio.Event(), asyncio.Event()
        self._is_wanted = False
        self._is_new = False
        self._sent_cells: dict[int, CellView] = {}
        self._sent_head = b""
        self._sent_directory: Directory | None = None
        self._delay, self._started_at, self._start_at = FIRST_DELAY, 0.0, 0.0

    @property
    def problem(self) -> str:
        """Why the page is not served, or not everywhere; empty if it is."""
        return "; ".join(self._problems.values())

    @property
    def pid(self) -> int | None:
        """The process id of the page's process, None without one."""
        return self._link.child.pid if self._link is not None and self._link.alive else None

    def configure(self, package: Package, addresses: Collection[Address]) -> None:
        """Serve the page of `package` at these addresses of the host."""
        mark = package.manifest.content
        if self._mark != mark:
            access = web_access.of_package(package)
            self._take(mark, source_of(package, access) if access is not None else None)
        self._place(addresses)

    def show(self, source: PageSource, addresses: Collection[Address]) -> None:
        """Serve the page of `source` at these addresses of the host."""
        if self._mark != source.mark:
            self._take(source.mark, source)
        self._place(addresses)

    def listen(self) -> None:
        """Open the listening sockets now. Raises `ActionNeeded` where one cannot be opened."""
        assert self._source is not None
        if failed := self._open_sockets(self._source):
            raise ActionNeeded(failed)

    def _take(self, mark: str, source: PageSource | None) -> None:
        self._mark, self._source, self._is_new = mark, source, True
        self._own_mark, self._own_at = (), 0.0

    def _place(self, addresses: Collection[Address]) -> None:
        before, networks = self._addresses, self._source.networks if self._source else ()
        self._addresses = tuple(
            sorted(
                (each for each in set(addresses) if any(_is_in(each, it) for it in networks)),
                key=lambda it: (it.version, int(it)),
            )
        )
        if self._is_new or self._addresses != before:
            self._called.set()
            self.changed()

    def changed(self) -> None:
        """Show what has changed."""
        self._wake.set()

    async def run(
        self,
        view: Callable[[], UvnView],
        directory: Callable[[], Directory | None],
        watch: Callable[[], None],
    ) -> None:
        """Serve until cancelled; `watch` is called now and then while somebody reads the page."""
        loop = asyncio.get_running_loop()
        await self._restore_series(loop.time())
        try:
            while True:
                self._wake.clear()
                self._called.clear()
                if self._is_watched:
                    self._is_watched = False
                    watch()
                if self._has_page:
                    await self._turn(view(), directory(), now=loop.time())
                if loop.time() >= self._keep_at:
                    await asyncio.to_thread(self._write_series, self._kept_series(loop.time()))
                if self._link is None:
                    await _within(RECORD_EVERY, self._called)
                else:
                    await asyncio.sleep(SHORTEST)
                    await _within(LONGEST - SHORTEST, self._wake)
        finally:
            self.close()
            self._write_series(self._kept_series(loop.time()))

    def close(self) -> None:
        """Serve no more."""
        if self._link is not None:
            self._link.end()
            self._link = None
        self._await_no_reader()
        for address in tuple(self._sockets):
            self._sockets.pop(address).close()

    @property
    def _has_page(self) -> bool:
        """Whether there is a package with what a page needs."""
        if not self._mark:
            return False
        if self._source is None:
            self._problems["access"] = (
                "no web page: the package has no certificate, as an older uno made it: at the"
                " registry, make any change, or run uno redeploy"
            )
            self.close()
            return False
        self._problems.pop("access", None)
        return True

    async def _turn(self, view: UvnView, directory: Directory | None, *, now: float) -> None:
        """Record what has happened, and serve."""
        source = self._source
        assert source is not None
        self._listen(source)
        if now >= self._own_at:
            self._own_at = now + CERTIFY_EVERY
            await self._renew(source)
        self._journal.measure(view, now=now)
        picture = Picture(
            view=view,
            roster=source.site.roster,
            directory=directory,
            package=source.site.package,
            now=int(self._wall()),
        )
        happened = self._journal.happened(picture, now=now)
        if self._link is None and self._is_wanted and now >= self._start_at:
            await self._begin(now)
        if self._link is not None:
            self._serve(view, directory, now=now)
        # Last, as the disk may be slow.
        await self._record(happened)

    # What the process gets.

    def _serve(self, view: UvnView, directory: Directory | None, *, now: float) -> None:
        source = self._source
        if source is None:
            # Another package has come meanwhile.
            return
        if not all(map(source.is_plain, self._addresses)):
            self._certify(source, now)
        if self._is_new:
            self._is_new = False
            self._send("site", frames.SiteFrame(codec.encode(source.site)))
        self._show(view, directory, source)
        for address in self._sockets.keys() - self._passed_on:
            # Last, so that the first reader gets everything.
            self._pass_on(address, source)

    def _show(self, view: UvnView, directory: Directory | None, source: PageSource) -> None:
        for cell in view.cells:
            before = self._sent_cells.get(cell.id)
            if before is None or not is_same(cell, before):
                short, is_shortened = shortened(cell, source.site.roster)
                received = self._journal.received_at(cell.id)
                frame = frames.CellFrame(codec.encode(short), received, is_shortened)
                self._send(("cell", cell.id), frame)
        self._sent_cells = {cell.id: cell for cell in view.cells}
        ids = tuple(self._sent_cells)
        head = codec.encode(replace(view, cells=())) + codec.encode(ids)
        if head != self._sent_head:
            self._sent_head = head
            self._send("view", frames.ViewFrame(codec.encode(replace(view, cells=())), ids))
        if directory is not None and directory is not self._sent_directory:
            self._sent_directory = directory
            self._send("directory", frames.DirectoryFrame(codec.encode(directory)))

    async def _record(self, happened: tuple[NetworkEvent, ...]) -> None:
        """Record what has happened, and have the process show it."""
        if not happened:
            return
        now = int(self._wall())
        record = partial(self._store.append, happened, now=now, clock_trusted=now > CLOCK_SET)
        try:
            rows = await asyncio.to_thread(record)
        except UnoError as error:
            self._note_unrecorded(error)
        else:
            self._problems.pop("events", None)
            self._send(("events", rows[-1].number), frames.RecordedFrame(codec.encode(rows)))

    async def _restore_series(self, now: float) -> None:
        """Have what the last run has measured; a file that is damaged is no obstacle."""
        self._keep_at = now + KEEP_EVERY
        path = self._directory / SERIES
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError:
            return
        kept = series_file.decoded(content)
        if kept is None:
            _log.warning("%s cannot be read: the charts of links begin anew", path)
        else:
            links = list(series_file.moved(kept, self._moment(now)))
            del kept
            while links:
                # Each makes room for the next.
                self._journal.restore([links.pop()])

    def _kept_series(self, now: float) -> KeptSeries:
        return KeptSeries(moment=self._moment(now), links=tuple(self._journal.series.recorded()))

    def _write_series(self, kept: KeptSeries) -> None:
        if not kept.links:
            return
        content = series_file.encoded(kept)
        self._keep_at = kept.moment.monotonic + KEEP_EVERY * max(1.0, len(content) / _MEGABYTE)
        try:
            files.write_atomic(self._directory / SERIES, content)
        except UnoError as error:
            self._problems["series"] = f"the measurements of links cannot be kept: {error.what}"
        else:
            self._problems.pop("series", None)

    def _moment(self, now: float) -> SeriesMoment:
        return SeriesMoment(boot=_boot(), monotonic=now, wall=int(self._wall()))

    async def _send_history(self) -> None:
        try:
            rows = (await asyncio.to_thread(self._store.listed)).events[::-1]
        except UnoError as error:
            self._note_unrecorded(error)
        else:
            self._send("history", frames.RecordedFrame(codec.encode(rows)))

    def _note_unrecorded(self, error: UnoError) -> None:
        self._problems["events"] = f"what has happened cannot be recorded: {error.what}"

    def _send(self, key: object, frame: frames.ToPage) -> None:
        if self._link is not None:
            self._link.put(key, Outgoing(partial(frames.encode, frame)))

    # Sockets and certificate.

    def _listen(self, source: PageSource) -> None:
        failed = self._open_sockets(source)
        if not failed:
            self._problems.pop("port", None)
        elif self._problems.get("port") != failed:
            self._problems["port"] = failed
            _log.warning("%s", failed)

    def _open_sockets(self, source: PageSource) -> str:
        """Have a listening socket at each address; return why there is none at some."""
        port = source.site.port
        wanted = {written(each): each for each in self._addresses}
        gone = self._sockets.keys() if port != self._port else self._sockets.keys() - wanted.keys()
        for text in tuple(gone):
            self._await_no_reader()
            self._sockets.pop(text).close()
            self._passed_on.discard(text)
            self._send(("address", text), frames.UnlistenFrame(text))
        self._port = port
        failed: dict[str, OSError] = {}
        for text, address in wanted.items():
            if text in self._sockets:
                continue
            try:
                self._sockets[text] = _listening(address, port)
            except OSError as error:
                failed[text] = error
        self._await_reader()
        return _failure(failed, port, source.port_remedy) if failed else ""

    def _pass_on(self, address: str, source: PageSource) -> None:
        if self._link is not None:
            self._passed_on.add(address)
            listen = frames.ListenFrame(address, source.is_plain(ip_address(address)))
            frame = partial(frames.encode, listen)
            self._link.put(("address", address), Outgoing(frame, (self._sockets[address],)))

    def _await_reader(self) -> None:
        """Start a process once somebody connects, if there is none."""
        if self._link is None and not self._is_wanted:
            loop = asyncio.get_running_loop()
            for text in self._sockets.keys() - self._awaiting.keys():
                self._awaiting[text] = self._sockets[text]
                loop.add_reader(self._sockets[text], self._want)

    def _await_no_reader(self) -> None:
        for one in self._awaiting.values():
            asyncio.get_running_loop().remove_reader(one)
        self._awaiting.clear()

    def _want(self) -> None:
        """Have a process started, or started again."""
        self._await_no_reader()
        self._is_wanted = True
        self._called.set()
        self.changed()

    def _certify(self, source: PageSource, now: float) -> None:
        """Have a certificate for the addresses, kept or new; send it if it is another."""
        wanted, access, name = (source.mark, self._addresses), source.access, source.site.name
        if wanted == self._certified and now < self._certify_at:
            return
        self._certified, self._certify_at = wanted, now + CERTIFY_EVERY
        addresses = tuple(
            each for each in self._addresses if any(_is_in(each, it) for it in source.certified)
        )
        today = int(self._wall())
        before = self._leaf
        if before is None:
            self._leaf = self._kept()
        leaf = self._leaf
        if leaf is None or not leaf_certificate.is_current(
            leaf, access, name=name, addresses=addresses, now=today
        ):
            leaf = leaf_certificate.make(access, name=name, addresses=addresses, now=today)
            self._keep(leaf)
        if leaf is not before:
            self._leaf = leaf
            self._send("certificate", frames.CertificateFrame(leaf.chain, leaf.key))

    async def _renew(self, source: PageSource) -> None:
        """Have the owner's certificate, if there is one; send it if it is another."""
        own, problem = self._own, ""
        try:
            own = await self._read_own(source)
        except UnoError as error:
            own = None
            problem = f"the page has the UVN's certificate alone: {error.what}: {error.hint}"
        else:
            if own is not None and source.own_files is not None:
                problem = own_certificate.late(own, source.own_files, now=int(self._wall()))
        if problem and self._problems.get("own") != problem:
            _log.warning("%s", problem)
        self._problems.pop("own", None)
        if problem:
            self._problems["own"] = problem
        if own != self._own:
            self._own = own
            self._send_own()

    async def _read_own(self, source: PageSource) -> OwnCertificate | None:
        """Return the owner's certificate, read again if a file has changed. Raises `UnoError`."""
        named = source.own_files
        if named is None:
            return None
        own, mark = self._own, await asyncio.to_thread(own_certificate.mark, named)
        if own is None or mark != self._own_mark:
            own = await asyncio.to_thread(own_certificate.read, named)
            self._own_mark = mark
        own_certificate.require_valid(own, named, now=int(self._wall()))
        return own

    def _send_own(self) -> None:
        own = self._own
        frame = frames.OwnCertificateFrame("", "", ())
        if own is not None:
            frame = frames.OwnCertificateFrame(own.chain, own.key, own.names)
        self._send("own-certificate", frame)

    def _kept(self) -> Leaf | None:
        try:
            return codec.decode((self._directory / CERTIFICATE).read_bytes(), Leaf)
        except (OSError, codec.MalformedJson):
            return None

    def _keep(self, leaf: Leaf) -> None:
        try:
            files.write_atomic(self._directory / CERTIFICATE, codec.encode(leaf))
        except UnoError as error:
            # It serves until the agent ends, and there is another one then.
            self._problems["certificate"] = f"the certificate of the page cannot be kept: {error}"
        else:
            self._problems.pop("certificate", None)

    # The process.

    async def _begin(self, now: float) -> None:
        """Start a process, and have it get everything but the newest state."""
        try:
            self._link = ChildLink(
                self._start,
                self,
                noun=WEB.noun,
                ping=frames.encode(frames.ProbeFrame()),
                limit=frames.FROM_PAGE_LIMIT,
            )
        except UnoError as error:
            self._note_lost(error.what, now)
            return
        self._started_at = now
        self._sent_cells, self._sent_head, self._sent_directory = {}, b"", None
        self._passed_on.clear()
        self._certified, self._is_new = None, True
        if self._leaf is not None:
            frame = frames.CertificateFrame(self._leaf.chain, self._leaf.key)
            self._send("certificate", frame)
        if self._own is not None:
            self._send_own()
        self._send("rest", frames.RestFrame(REST_AFTER))
        for link in self._journal.series.links:
            # All of a day at once would be megabytes.
            self._link.put(("series", link), Outgoing(partial(self._series_frame, link)))
        await self._send_history()

    def _series_frame(self, link: str) -> bytes:
        return frames.encode(frames.SeriesFrame(self._journal.series.recorded_of(link)))

    def handle(self, content: bytes) -> None:
        """Handle a frame of the process. Raises `MalformedFrame`."""
        assert self._link is not None
        match frames.from_page(content):
            case frames.ProbedFrame():
                self._link.answered()
                self._problems.pop("process", None)
                self._problems.pop("refused", None)
            case frames.LineFrame(text):
                self._link.log(text)
            case frames.WatchedFrame():
                self._is_watched = True
                self.changed()
            case frames.RestingFrame():
                # Whoever has connected meanwhile waits in the socket.
                self._link.end()
                self._link, self._is_wanted = None, False
                self._await_reader()
            case frames.RefusedFrame(what, hint):
                named = visible(f"{what}: {hint}" if hint else what, limit=TEXT_LIMIT)
                self._problems["refused"] = f"no web page: {named}"

    def lost(self, error: TransientFailure) -> None:
        """Start another process soon, after this one is given up."""
        self._link = None
        self._note_lost(error.what, asyncio.get_running_loop().time())

    def _note_lost(self, what: str, now: float) -> None:
        has_lasted = self._started_at and now - self._started_at >= _LASTING
        self._delay = FIRST_DELAY if has_lasted else min(2 * self._delay, MOST_DELAY)
        self._start_at = now + self._delay
        self._problems["process"] = what
        _log.warning("%s; it is started again", what)
        asyncio.get_running_loop().call_later(self._delay, self._want)


def _boot() -> str:
    """Return what identifies this run of the host; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, at most so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _failure(failed: dict[str, OSError], port: int, remedy: str) -> str:
    """Return why there is no page at these addresses."""
    where = ", ".join(sorted(failed))
    error = next(iter(failed.values()))
    if error.errno == errno.EADDRINUSE:
        return (
            f"no web page at {where}: another program has TCP port {port}; see which with"
            f" `ss -ltnp sport = :{port}`, or {remedy}"
        )
    return f"no web page at {where}, TCP port {port}: {error.strerror}"


def _listening(address: Address, port: int) -> socket.socket:
    """Open a listening socket; the address may come later (ip(7), IP_FREEBIND)."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.version == 4:
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        made.bind((written(address), port))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


# linux/in.h, linux/in6.h
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


def _is_in(address: Address, network: object) -> bool:
    return address in network  # type: ignore[operator]
