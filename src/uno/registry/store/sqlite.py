"""A SQLite file as the registry uses one: whole transactions, and errors for people.

A rollback journal with `synchronous=EXTRA` is used and not a write-ahead log: a transaction is
either wholly on disk when `transaction()` returns or leaves no trace after a kill or a power
failure, and there is one file to back up (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from uno.diagnostics import TRACE, ActionNeeded, TransientFailure, UnoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_log = logging.getLogger(__name__)

RESTORE = "restore it from a backup"
_CARE = "check the disk's free space and permissions"
_HINTS = {
    sqlite3.SQLITE_FULL: "free some space and try again; nothing was changed",
    sqlite3.SQLITE_READONLY: "run as the owner of the directory, on a file system that is writable",
    sqlite3.SQLITE_BUSY: "wait until the other command is done, and try again",
    sqlite3.SQLITE_CORRUPT: RESTORE,
    sqlite3.SQLITE_NOTADB: RESTORE,
}


class StoreError(ActionNeeded):
    """The registry's file cannot be read or written."""


class StoreBusy(TransientFailure):
    """Another command has had the registry's file locked for too long."""


class Database:
    """An open SQLite file, for one thread. Everything raises `StoreError` or `StoreBusy`."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`, which is there."""
        self.path = path
        if not path.is_file():
            what = "is not a file" if path.exists() else "is not there"
            raise StoreError(f"the registry's file {path} {what}", RESTORE)
        try:
            self.connection = _connect(path)
        except sqlite3.Error as error:
            raise self._failed(error, "open") from error

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that is written within it permanent together, or, on an error, none of it."""
        self.do("BEGIN IMMEDIATE")
        try:
            yield
            self.do("COMMIT")
        except BaseException:
            # A full disk has rolled back already, and what cannot be is by the next to open it.
            with suppress(sqlite3.Error):
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            raise

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Run a query and return all of its rows."""
        _log.log(TRACE, "SQL: %s", " ".join(statement.split()))
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def do(self, statement: str, *values: object) -> None:
        """Run one statement."""
        self.rows(statement, *values)

    def do_many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Run one statement for each of `rows`."""
        try:
            self.connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def snapshot(self) -> bytes:
        """Return the whole file as it is at one moment, whatever others write meanwhile.

        It is kept in memory, because it holds secrets.
        """
        copy = sqlite3.connect(":memory:")
        try:
            self.connection.backup(copy)
            return copy.serialize()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            copy.close()

    def damage(self) -> str:
        """Return what SQLite finds wrong with the file, or nothing."""
        found = self.rows("PRAGMA integrity_check(1)")[0][0]
        return "" if found == "ok" else str(found)

    def _failed(self, error: sqlite3.Error, doing: str = "use") -> UnoError:
        # The low byte of an extended result code is the code itself.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        kind = StoreBusy if code == sqlite3.SQLITE_BUSY else StoreError
        return kind(f"cannot {doing} {self.path}: {error}", _HINTS.get(code, _CARE))


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: never make a file that is not there; a leftover journal can still be rolled back.
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=10
    )
    try:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = EXTRA")
        db.execute("PRAGMA secure_delete = ON")
    except BaseException:
        db.close()
        raise
    return db
