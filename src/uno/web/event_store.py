"""The events of a network on disk: one SQLite file that only its owner reads, with a cap.

A file that is damaged is replaced: what has happened is of less worth than the page. What cannot be
written is lost, and nothing else.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from uno.diagnostics import TransientFailure
from uno.model import codec
from uno.model.codec import MalformedJson
from uno.web.documents import EventList, EventRow
from uno.web.events import NetworkEvent

MAX_EVENTS = 20_000
"""The most events that are kept, some 60 octets each."""

MAX_LISTED = 2_000
"""The most events that are read at once."""

MAX_DAYS = 90
"""How long events are kept, by the host's clock where that is trusted."""

_DAY = 86_400
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS events"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, body TEXT NOT NULL)"
)
_SUFFIXES = ("", "-journal", "-wal", "-shm")

_Result = TypeVar("_Result")


class _Stored(Struct, frozen=True, kw_only=True):
    clock_trusted: bool
    event: NetworkEvent


class EventStore:
    """The events in one file, numbered from 1 on; a number is not used again in the same file."""

    def __init__(self, path: Path) -> None:
        """Use the file `path`, which is created when it is first needed."""
        self._path = path

    def append(
        self, events: Iterable[NetworkEvent], *, now: int, clock_trusted: bool
    ) -> tuple[EventRow, ...]:
        """Record events that have happened at `now`, in seconds since the epoch.

        Raises `TransientFailure` if they cannot be written.
        """
        stored = [_Stored(clock_trusted=clock_trusted, event=each) for each in events]
        if not stored:
            return ()

        def write(database: sqlite3.Connection) -> tuple[EventRow, ...]:
            rows = []
            with database:
                for each in stored:
                    text = codec.encode(each).decode()
                    done = database.execute(
                        "INSERT INTO events (time, body) VALUES (?, ?)", (now, text)
                    )
                    rows.append(_row(done.lastrowid or 0, now, each))
                _prune(database, now if clock_trusted else None)
            return tuple(rows)

        return self._do(write)

    def listed(
        self, *, after: int = 0, before: int | None = None, limit: int = MAX_LISTED
    ) -> EventList:
        """Return the events with a number above `after`, and below `before`; the newest first.

        Raises `TransientFailure` if they cannot be read.
        """
        wanted = max(1, min(limit, MAX_LISTED))

        def read(database: sqlite3.Connection) -> EventList:
            newest = database.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0]
            top = newest + 1 if before is None else before
            rows = database.execute(
                "SELECT number, time, body FROM events WHERE number > ? AND number < ?"
                " ORDER BY number DESC LIMIT ?",
                (after, top, wanted + 1),
            ).fetchall()
            found = []
            for number, time, body in rows[:wanted]:
                # A newer version may have written a kind that this one does not know.
                with suppress(MalformedJson):
                    found.append(_row(number, time, codec.decode(body, _Stored)))
            return EventList(newest=newest, events=tuple(found), more=len(rows) > wanted)

        return self._do(read)

    def _do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            return self._tried(work)
        except sqlite3.OperationalError as error:
            raise TransientFailure(f"{self._path}: {error}") from error
        except sqlite3.DatabaseError:
            for suffix in _SUFFIXES:
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        try:
            return self._tried(work)
        except sqlite3.Error as error:
            raise TransientFailure(f"{self._path}: {error}") from error

    def _tried(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise TransientFailure(f"{self._path}: {error.strerror}") from error
        with closing(sqlite3.connect(self._path)) as database:
            database.execute(_SCHEMA)
            return work(database)


def _prune(database: sqlite3.Connection, now: int | None) -> None:
    database.execute(
        "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (MAX_EVENTS,)
    )
    if now is not None:
        database.execute("DELETE FROM events WHERE time < ?", (now - MAX_DAYS * _DAY,))


def _row(number: int, time: int, stored: _Stored) -> EventRow:
    event = stored.event
    return EventRow(
        number=number,
        time=time,
        clock_trusted=stored.clock_trusted,
        kind=event.kind.value,
        severity=event.severity,
        text=event.text,
        cells=event.cells,
        links=event.links,
    )
