"""The registry's SQLite file: an append-only list of generations, and the keys beside it.

A rollback journal with `synchronous=EXTRA` is used and not a write-ahead log: a transaction is
either wholly on disk when `transaction()` returns or leaves no trace after a kill or a power
failure, and there is one file to back up (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from uno.diagnostics import UnoError
from uno.model import codec
from uno.model.plan import Plan
from uno.model.uvn import Uvn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA = 1

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
    definition BLOB NOT NULL, plan BLOB NOT NULL, digest TEXT NOT NULL);
CREATE TABLE secrets (
    id TEXT NOT NULL, epoch INTEGER NOT NULL, kind TEXT NOT NULL,
    private BLOB NOT NULL, public BLOB, PRIMARY KEY (id, epoch)) WITHOUT ROWID;
CREATE TABLE bundles (
    cell INTEGER PRIMARY KEY, generation INTEGER NOT NULL, digest TEXT NOT NULL,
    written TEXT NOT NULL, piece TEXT NOT NULL);
CREATE TABLE packages (
    particle INTEGER PRIMARY KEY, digest TEXT NOT NULL, written TEXT NOT NULL);
"""


class StoreError(UnoError):
    """The registry's file cannot be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the history: generation `number` was made by `who` at `time` because of `why`.

    `digest` is the SHA-256 of definition and plan, in hexadecimal.
    """

    number: int
    time: datetime
    who: str
    why: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A whole generation: its line in the history, what was declared and what was decided."""

    entry: Entry
    uvn: Uvn
    plan: Plan

    @property
    def number(self) -> int:
        """Its number; the first is 1."""
        return self.entry.number


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A key as kept. `kind` is pair, psk, seed or sign; `public` is the public half, if any."""

    id: str
    kind: str
    private: bytes = field(repr=False)
    public: bytes | None = None
    epoch: int = 0


class Piece(Struct, frozen=True, kw_only=True):
    """Where in a bundle the packed particles are, to be taken from there into the next one.

    `inputs` is the digest of what they were made from, `content` of what they hold, `packed` of
    the bytes themselves.
    """

    at: int
    size: int
    inputs: str
    content: str
    packed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRow:
    """What a cell's bundle is made of: `digest` is over all of its inputs.

    `generation` is that in which `digest` last changed; `written` is the digest that the file was
    written for, and `piece` is a part of that file.
    """

    cell: int
    generation: int
    digest: str
    written: str = ""
    piece: Piece | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRow:
    """What a particle's package is made of, and the digest of the file as written."""

    particle: int
    digest: str
    written: str = ""


class Store:
    """An open registry file, for one thread. `files.locked` keeps other processes out."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`. Raises `StoreError` if it is missing, damaged or too new."""
        self._path = path
        # What was read or written last, by its digest: reading a large plan takes a while.
        self._last: tuple[str, Uvn, Plan] | None = None
        if not path.is_file():
            raise StoreError(f"there is no registry file at {path}")
        try:
            self._db = _connect(path)
            schema = self._rows("SELECT value FROM meta WHERE name = 'schema'")
        except sqlite3.Error as error:
            raise StoreError(f"cannot open {path}: {error}", "restore it from a backup") from error
        if schema != [(str(SCHEMA),)]:
            found = schema[0][0] if schema else "none"
            raise StoreError(
                f"{path} has layout {found}, this uno reads {SCHEMA}", "use the uno that wrote it"
            )

    @classmethod
    def create(cls, path: Path) -> Store:
        """Make an empty file at `path`, readable by its owner alone, and open it."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        db = _connect(path)
        try:
            db.execute("BEGIN IMMEDIATE")
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
            db.execute("COMMIT")
        finally:
            db.close()
        return cls(path)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that is written within it permanent together, or, on an error, none of it."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def head(self) -> Generation:
        """Return the newest generation."""
        rows = self._rows("SELECT max(number) FROM generations")
        if rows[0][0] is None:
            raise StoreError(f"{self._path} holds no generation", "restore it from a backup")
        return self.generation(rows[0][0])

    def generation(self, number: int) -> Generation:
        """Return generation `number`. Raises `StoreError` if there is none, or it is damaged."""
        rows = self._rows(
            "SELECT number, time, who, why, digest FROM generations WHERE number = ?", number
        )
        if not rows:
            raise StoreError(f"there is no generation {number}", "uno history lists them")
        entry = _entry(rows[0])
        if self._last is None or self._last[0] != entry.digest:
            self._last = (entry.digest, *self._read(entry))
        _, uvn, plan = self._last
        return Generation(entry=entry, uvn=uvn, plan=plan)

    def history(self) -> tuple[Entry, ...]:
        """Return the lines of the history, oldest first."""
        rows = self._rows("SELECT number, time, who, why, digest FROM generations ORDER BY number")
        return tuple(map(_entry, rows))

    def append(self, *, uvn: Uvn, plan: Plan, time: datetime, who: str, why: str) -> Generation:
        """Add the next generation; call it within a transaction."""
        definition, text = codec.encode(uvn), codec.encode(plan)
        digest = _digest(definition, text)
        self._last = (digest, uvn, plan)
        last = self._rows("SELECT coalesce(max(number), 0) FROM generations")[0][0]
        line = (last + 1, time.isoformat(timespec="seconds"), who, why)
        self._do(
            "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?)",
            *line,
            definition,
            # Level 1: a tenth of the time of level 6, and 10% larger.
            zlib.compress(text, 1),
            digest,
        )
        return Generation(entry=_entry((*line, digest)), uvn=uvn, plan=plan)

    def secrets(self) -> dict[str, StoredSecret]:
        """Return the newest epoch of every secret, by id."""
        rows = self._rows("SELECT id, kind, private, public, max(epoch) FROM secrets GROUP BY id")
        return {
            row[0]: StoredSecret(
                id=row[0], kind=row[1], private=row[2], public=row[3], epoch=row[4]
            )
            for row in rows
        }

    def put_secrets(self, secrets: Iterable[StoredSecret]) -> None:
        """Add `secrets`; one whose id exists under the same epoch is an error."""
        self._do_many(
            "INSERT INTO secrets VALUES (?, ?, ?, ?, ?)",
            ((s.id, s.epoch, s.kind, s.private, s.public) for s in secrets),
        )

    def drop_secrets(self, ids: Iterable[str]) -> None:
        """Delete every epoch of the secrets called `ids`, and overwrite them in the file."""
        self._do_many("DELETE FROM secrets WHERE id = ?", ((id_,) for id_ in ids))

    def bundles(self) -> dict[int, BundleRow]:
        """Return what is known of each cell's bundle."""
        rows = self._rows("SELECT cell, generation, digest, written, piece FROM bundles")
        return {
            row[0]: BundleRow(
                cell=row[0],
                generation=row[1],
                digest=row[2],
                written=row[3],
                piece=codec.decode(row[4], Piece | None),  # type: ignore[arg-type]
            )
            for row in rows
        }

    def set_bundles(self, rows: Iterable[BundleRow]) -> None:
        """Make `rows` all that is known of bundles."""
        self._do("DELETE FROM bundles")
        self._do_many(
            "INSERT INTO bundles VALUES (?, ?, ?, ?, ?)",
            ((r.cell, r.generation, r.digest, r.written, codec.encode(r.piece)) for r in rows),
        )

    def packages(self) -> dict[int, PackageRow]:
        """Return what is known of each particle's package."""
        rows = self._rows("SELECT particle, digest, written FROM packages")
        return {row[0]: PackageRow(particle=row[0], digest=row[1], written=row[2]) for row in rows}

    def set_packages(self, rows: Iterable[PackageRow]) -> None:
        """Make `rows` all that is known of packages."""
        self._do("DELETE FROM packages")
        self._do_many(
            "INSERT INTO packages VALUES (?, ?, ?)",
            ((r.particle, r.digest, r.written) for r in rows),
        )

    def _read(self, entry: Entry) -> tuple[Uvn, Plan]:
        number = entry.number
        rows = self._rows("SELECT definition, plan FROM generations WHERE number = ?", number)
        advice = "restore it from a backup"
        try:
            definition, plan = rows[0][0], zlib.decompress(rows[0][1])
            if _digest(definition, plan) != entry.digest:
                raise StoreError(f"generation {number} in {self._path} is damaged", advice)
            return codec.decode(definition, Uvn), codec.decode(plan, Plan)
        except (zlib.error, codec.Malformed) as error:
            raise StoreError(
                f"generation {number} in {self._path} cannot be read: {error}", advice
            ) from error

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self._do(statement, *values).fetchall()

    def _do(self, statement: str, *values: object) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _do_many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        try:
            self._db.executemany(statement, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"cannot use {self._path}: {error}", "look at the disk's free space and permissions"
        )


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: never make a file that is not there; a leftover journal can still be rolled back.
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=10
    )
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("PRAGMA secure_delete = ON")
    return db


def _entry(line: Iterable[Any]) -> Entry:
    number, time, who, why, digest = line
    return Entry(number=number, time=datetime.fromisoformat(time), who=who, why=why, digest=digest)


def _digest(definition: bytes, plan: bytes) -> str:
    return hashlib.sha256(definition + b"\0" + plan).hexdigest()
