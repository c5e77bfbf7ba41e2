"""What the process of the page has from its agent, and the answers made of it."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from uno.model import codec
from uno.model.network_directory import Directory
from uno.model.status import SESSION_SECONDS, CellView, LinkState, UvnView
from uno.web.documents import EventRow
from uno.web.event_store import MAX_LISTED
from uno.web.page_site import PageSite
from uno.web.picture import LOSSY, Picture
from uno.web.series import SeriesRecorder, samples

# Answers that are kept for readers who ask again.
_ANSWERS: Final = 256
# Seconds for which an answer is given again though other measurements have come.
_REUSED: Final = 1.0
# Bytes from which on compression is worth its time.
_WORTH_COMPRESSION: Final = 1024


class Answer(Struct, frozen=True, kw_only=True):
    """A document as bytes, for whoever has the same rights. `made` is a monotonic time."""

    version: int
    made: float
    etag: str
    body: bytes
    packed: bytes


class _KnownCell(Struct, frozen=True, kw_only=True):
    """A cell as it arrived at the time `since`, and without its measurements."""

    view: CellView
    since: float
    unmeasured: CellView


class PageState(Struct):
    """The newest of everything. For one event loop; `now` is a monotonic clock.

    Each change makes another `version`; `notable_version` is the last one that differs from the one
    before in more than measurements, and `changed` is set by such a one.
    """

    now: Callable[[], float]
    site: PageSite | None = None
    directory: Directory | None = None
    head: UvnView | None = None
    version: int = 0
    notable_version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    events: deque[EventRow] = field(default_factory=lambda: deque(maxlen=MAX_LISTED))
    series: SeriesRecorder = field(default_factory=SeriesRecorder)
    _cells: dict[int, _KnownCell] = field(default_factory=dict)
    _listed: tuple[int, ...] = ()
    _answers: OrderedDict[object, Answer] = field(default_factory=OrderedDict)

    def set_site(self, site: PageSite) -> None:
        """Serve the page of another package."""
        self.site = site
        self._step()

    def set_directory(self, directory: Directory) -> None:
        """Take other public facts of the registry."""
        self.directory = directory
        self._step()

    def set_view(self, head: UvnView, cells: tuple[int, ...]) -> None:
        """Take another state of the UVN, and have only these cells."""
        self.head, self._listed = head, cells
        self._cells = {id_: it for id_, it in self._cells.items() if id_ in set(cells)}
        self._step()

    def add_events(self, rows: tuple[EventRow, ...]) -> None:
        """Take events that have happened, the oldest first."""
        newest = self.newest_event
        self.events.extend(row for row in rows if row.number > newest)
        self._step()

    def set_cell(self, cell: CellView, *, received: float) -> None:
        """Take another state of a cell, whose status was received then."""
        for link, sample in samples(cell):
            self.series.note(link, sample, at=received)
        before = self._cells.get(cell.id)
        known = _KnownCell(view=cell, since=self.now(), unmeasured=without_measurements(cell))
        self._cells[cell.id] = known
        self._step(is_notable=before is None or before.unmeasured != known.unmeasured)

    def view(self) -> UvnView | None:
        """Return the UVN as the agent has it, with the ages of now; None before it is known."""
        if self.head is None:
            return None
        now = self.now()
        cells = (self._cells[each] for each in self._listed if each in self._cells)
        return replace(self.head, cells=tuple(_aged(cell.view, now - cell.since) for cell in cells))

    def picture(self, wall: float) -> Picture | None:
        """Return all that is known, None before there is something.

        `wall` is the clock in seconds since the epoch.
        """
        view, site = self.view(), self.site
        if view is None or site is None:
            return None
        return Picture(
            view=view,
            roster=site.roster,
            directory=self.directory,
            package=site.package,
            rates=self.series.rates(at=self.now()),
            now=int(wall),
        )

    @property
    def newest_event(self) -> int:
        """The number of the newest event, 0 without any."""
        return self.events[-1].number if self.events else 0

    def answer(self, key: object, make: Callable[[], Struct], *, is_final: bool = False) -> Answer:
        """Return the document with this key, made once for each version, and not each moment.

        One that `is_final` is made once.
        """
        found = self._answers.get(key)
        if found is None or not (is_final or self._is_current(found)):
            found = self._made(make())
            self._answers[key] = found
        self._answers.move_to_end(key)
        while len(self._answers) > _ANSWERS:
            self._answers.popitem(last=False)
        return found

    def _is_current(self, answer: Answer) -> bool:
        if answer.version == self.version:
            return True
        return answer.version >= self.notable_version and self.now() - answer.made < _REUSED

    def _made(self, document: Struct) -> Answer:
        body = codec.encode(document)
        etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        packed = zlib.compress(body, 1, 31) if len(body) >= _WORTH_COMPRESSION else b""
        return Answer(version=self.version, made=self.now(), etag=etag, body=body, packed=packed)

    def _step(self, *, is_notable: bool = True) -> None:
        self.version += 1
        if is_notable:
            self.notable_version = self.version
            self.changed.set()
            self.changed = asyncio.Event()


def without_measurements(cell: CellView) -> CellView:
    """Return a cell without what differs in each of its statuses though nothing has happened."""
    status = cell.status
    if status is not None:
        status = replace(
            status,
            links=tuple(map(_unmeasured_link, status.links)),
            paths=tuple(
                replace(each, rtt=0.0 if each.answers else None, loss=None) for each in status.paths
            ),
            particles=tuple(
                replace(
                    each, handshake=0 if each.is_online else SESSION_SECONDS, received=0, sent=0
                )
                for each in status.particles
            ),
            clock=None,
            uptime=None,
            host_uptime=None,
            dropped={},
        )
    return replace(cell, status=status, age=None, status_age=None)


def _unmeasured_link(link: LinkState) -> LinkState:
    loss = 1.0 if link.loss is not None and link.loss >= LOSSY else 0.0
    return replace(link, handshake=None, rtt=None, loss=loss, received=0, sent=0)


def _aged(cell: CellView, seconds: float) -> CellView:
    age, status_age = cell.age, cell.status_age
    return replace(
        cell,
        age=None if age is None else age + seconds,
        status_age=None if status_age is None else status_age + seconds,
    )
