"""What the process of the page has from its agent, and the answers made of it."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from uno.model import codec
from uno.model.network_directory import Directory
from uno.model.status import CellView, UvnView
from uno.web.documents import EventRow
from uno.web.event_store import MAX_LISTED
from uno.web.page_site import PageSite
from uno.web.picture import Picture
from uno.web.series import SeriesRecorder, samples

# Answers that are kept for readers who ask again.
_ANSWERS: Final = 256
# Bytes from which on compression is worth its time.
_WORTH_COMPRESSION: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A document as bytes, for whoever has the same rights. `made` is a monotonic time."""

    version: int
    made: float
    etag: str
    body: bytes
    packed: bytes


@dataclass(slots=True)
class PageState:
    """The newest of everything. For one event loop; `now` is a monotonic clock."""

    now: Callable[[], float]
    site: PageSite | None = None
    directory: Directory | None = None
    head: UvnView | None = None
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    events: deque[EventRow] = field(default_factory=lambda: deque(maxlen=MAX_LISTED))
    series: SeriesRecorder = field(default_factory=SeriesRecorder)
    _cells: dict[int, tuple[CellView, float]] = field(default_factory=dict)
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
        newest = self.events[-1].number if self.events else 0
        self.events.extend(row for row in rows if row.number > newest)
        self._step()

    def set_cell(self, cell: CellView, *, received: float) -> None:
        """Take another state of a cell, whose status was received then."""
        for link, sample in samples(cell):
            self.series.note(link, sample, at=received)
        self._cells[cell.id] = cell, self.now()
        self._step()

    def view(self) -> UvnView | None:
        """Return the UVN as the agent has it, with the ages of now; None before it is known."""
        if self.head is None:
            return None
        now = self.now()
        cells = (self._cells[each] for each in self._listed if each in self._cells)
        return replace(self.head, cells=tuple(_aged(cell, now - since) for cell, since in cells))

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

    def answer(self, key: object, make: Callable[[], Struct]) -> Answer:
        """Return the document with this key, made once for each version."""
        found = self._answers.get(key)
        if found is None or found.version != self.version:
            found = self._made(make())
            self._answers[key] = found
        self._answers.move_to_end(key)
        while len(self._answers) > _ANSWERS:
            self._answers.popitem(last=False)
        return found

    def _made(self, document: Struct) -> Answer:
        body = codec.encode(document)
        etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        packed = zlib.compress(body, 1, 31) if len(body) >= _WORTH_COMPRESSION else b""
        return Answer(version=self.version, made=self.now(), etag=etag, body=body, packed=packed)

    def _step(self) -> None:
        self.version += 1
        self.changed.set()
        self.changed = asyncio.Event()


def head_of(view: UvnView) -> bytes:
    """Return the JSON of a view without its cells."""
    return codec.encode(replace(view, cells=()))


def _aged(cell: CellView, seconds: float) -> CellView:
    age, status_age = cell.age, cell.status_age
    return replace(
        cell,
        age=None if age is None else age + seconds,
        status_age=None if status_age is None else status_age + seconds,
    )
