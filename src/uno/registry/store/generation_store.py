"""The registry's SQLite file: an append-only list of generations, and the keys beside it."""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from uno.diagnostics import InvalidInput
from uno.model import codec
from uno.model.plan import Plan
from uno.model.uvn import Uvn
from uno.registry.store import schema
from uno.registry.store.secret_table import SecretTable, StoredSecret
from uno.registry.store.sqlite import RESTORE, Database, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = [
    "CellPackageRow",
    "Entry",
    "Generation",
    "Numbering",
    "ParticlePackageRow",
    "Piece",
    "Store",
    "StoreError",
    "StoredSecret",
    "UnknownGeneration",
]


# Settings that earlier versions wrote into definitions.
_RETIRED = (b"enable_dds_security",)


class UnknownGeneration(InvalidInput):
    """The registry has no generation of this number."""


class Entry(Struct, frozen=True, kw_only=True):
    """A line of the history: generation `number` was made by `who` at `time` because of `why`.

    `digest` is the SHA-256 of definition and plan, in hexadecimal.
    """

    number: int
    time: datetime
    who: str
    why: str
    digest: str


class Generation(Struct, frozen=True, kw_only=True):
    """A whole generation: its line in the history, what was declared and what was decided."""

    entry: Entry
    uvn: Uvn
    plan: Plan

    @property
    def number(self) -> int:
        """Its number; the first is 1."""
        return self.entry.number


class Piece(Struct, frozen=True, kw_only=True):
    """Where in a package the packed particles are, to be taken from there into the next one.

    `inputs` is the digest of what they were made from, `content` of what they hold, `packed` of
    the bytes themselves.
    """

    at: int
    size: int
    inputs: str
    content: str
    packed: str


class CellPackageRow(Struct, frozen=True, kw_only=True):
    """What a cell's package is made of: `digest` is over all of its inputs.

    `generation` is that in which `digest` last changed; `written` is the digest that the file was
    written for, and `piece` is a part of that file.
    """

    cell: int
    generation: int
    digest: str
    written: str = ""
    piece: Piece | None = None


class ParticlePackageRow(Struct, frozen=True, kw_only=True):
    """What a particle's package is made of, and the digest of the file as written."""

    particle: int
    digest: str
    written: str = ""


class Numbering:
    """The numbers that generations get: each the next, but for a jump after a restore."""

    def __init__(self, db: Database) -> None:
        """Look at the generations in `db`."""
        self._db = db

    @property
    def next(self) -> int:
        """The number of the next generation."""
        after_last: int = self._db.rows("SELECT coalesce(max(number), 0) + 1 FROM generations")[0][
            0
        ]
        return max(after_last, self.jump or 0)

    @property
    def jump(self) -> int | None:
        """The number that the next generation has at least, if this registry was restored.

        Cells may have seen the numbers below it with another content, so that the next generation
        is also a new one for every cell.
        """
        rows = self._db.rows("SELECT value FROM meta WHERE name = 'jump'")
        return int(rows[0][0]) if rows else None

    def jump_to(self, number: int) -> None:
        """Let the next generation be `number` or later; call it within a transaction."""
        self._db.do("INSERT OR REPLACE INTO meta VALUES ('jump', ?)", str(number))

    def take(self) -> int:
        """Return the number of the next generation, which ends a jump."""
        number = self.next
        self._db.do("DELETE FROM meta WHERE name = 'jump'")
        return number


class Store:
    """An open registry file, for one thread. `files.locked` keeps other processes out.

    `database` is the file itself, `safe` its secrets, `numbering` the numbers of generations.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at `path`. Raises `StoreError` if it is missing, damaged or too new."""
        self._path = path
        # What was read or written last, by its digest: reading a large plan takes a while.
        self._last: tuple[str, Uvn, Plan] | None = None
        self.database = Database(path)
        try:
            schema.refuse_newer(self.database)
        except BaseException:
            self.database.close()
            raise
        self.secret_table = SecretTable(self.database)
        self.numbering = Numbering(self.database)

    @classmethod
    def create(cls, path: Path) -> Store:
        """Make an empty file at `path`, readable by its owner alone, and open it."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        db = Database(path)
        try:
            schema.create(db)
        finally:
            db.close()
        return cls(path)

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all that is written within it permanent together, or, on an error, none of it."""
        with self.database.transaction():
            yield

    def head(self) -> Generation:
        """Return the newest generation."""
        rows = self.database.rows("SELECT max(number) FROM generations")
        if rows[0][0] is None:
            raise StoreError(f"{self._path} holds no generation", RESTORE)
        return self.generation(rows[0][0])

    def generation(self, number: int) -> Generation:
        """Return generation `number`. Raises `UnknownGeneration`; `StoreError` if it is damaged."""
        rows = self.database.rows(
            "SELECT number, time, who, why, digest FROM generations WHERE number = ?", number
        )
        if not rows:
            raise UnknownGeneration(f"there is no generation {number}", "uno history lists them")
        entry = _entry(rows[0])
        if self._last is None or self._last[0] != entry.digest:
            self._last = (entry.digest, *self._read(entry))
        _, uvn, plan = self._last
        return Generation(entry=entry, uvn=uvn, plan=plan)

    def history(self) -> tuple[Entry, ...]:
        """Return the lines of the history, oldest first."""
        rows = self.database.rows(
            "SELECT number, time, who, why, digest FROM generations ORDER BY number"
        )
        return tuple(map(_entry, rows))

    def append(self, *, uvn: Uvn, plan: Plan, time: datetime, who: str, why: str) -> Generation:
        """Add the next generation; call it within a transaction."""
        definition, text = codec.encode(uvn), codec.encode(plan)
        digest = _digest(definition, text)
        self._last = (digest, uvn, plan)
        line = (self.numbering.take(), time.isoformat(timespec="seconds"), who, why)
        self.database.do(
            "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?)",
            *line,
            # Level 1: a tenth of the time of level 6, and 10% larger.
            zlib.compress(definition, 1),
            zlib.compress(text, 1),
            digest,
        )
        return Generation(entry=_entry((*line, digest)), uvn=uvn, plan=plan)

    def secrets(self) -> dict[str, StoredSecret]:
        """Return the newest epoch of every secret, by id; takes the passphrase if there is one."""
        return self.secret_table.newest()

    def put_secrets(self, secrets: Iterable[StoredSecret]) -> None:
        """Add `secrets`; one whose id exists under the same epoch is an error."""
        self.secret_table.put(secrets)

    def drop_secrets(self, ids: Iterable[str]) -> None:
        """Delete every epoch of the secrets called `ids`, and overwrite them in the file."""
        self.secret_table.drop(ids)

    def cell_packages(self) -> dict[int, CellPackageRow]:
        """Return what is known of each cell's package."""
        rows = self.database.rows(
            "SELECT cell, generation, digest, written, piece FROM cell_packages"
        )
        return {
            row[0]: CellPackageRow(
                cell=row[0],
                generation=row[1],
                digest=row[2],
                written=row[3],
                piece=codec.decode(row[4], Piece | None),  # type: ignore[arg-type]
            )
            for row in rows
        }

    def set_cell_packages(self, rows: Iterable[CellPackageRow]) -> None:
        """Make `rows` all that is known of packages."""
        self.database.do("DELETE FROM cell_packages")
        self.database.do_many(
            "INSERT INTO cell_packages VALUES (?, ?, ?, ?, ?)",
            ((r.cell, r.generation, r.digest, r.written, codec.encode(r.piece)) for r in rows),
        )

    def particle_packages(self) -> dict[int, ParticlePackageRow]:
        """Return what is known of each particle's package."""
        rows = self.database.rows("SELECT particle, digest, written FROM particle_packages")
        return {
            row[0]: ParticlePackageRow(particle=row[0], digest=row[1], written=row[2])
            for row in rows
        }

    def set_particle_packages(self, rows: Iterable[ParticlePackageRow]) -> None:
        """Make `rows` all that is known of packages."""
        self.database.do("DELETE FROM particle_packages")
        self.database.do_many(
            "INSERT INTO particle_packages VALUES (?, ?, ?)",
            ((r.particle, r.digest, r.written) for r in rows),
        )

    def _read(self, entry: Entry) -> tuple[Uvn, Plan]:
        number = entry.number
        rows = self.database.rows(
            "SELECT definition, plan FROM generations WHERE number = ?", number
        )
        try:
            definition, plan = map(zlib.decompress, rows[0])
            if _digest(definition, plan) != entry.digest:
                raise StoreError(f"generation {number} in {self._path} is damaged", RESTORE)
            return codec.decode(_without_retired(definition), Uvn), codec.decode(plan, Plan)
        except (zlib.error, codec.MalformedJson) as error:
            raise StoreError(
                f"generation {number} in {self._path} cannot be read: {error}", RESTORE
            ) from error


def _entry(line: Iterable[Any]) -> Entry:
    number, time, who, why, digest = line
    return Entry(number=number, time=datetime.fromisoformat(time), who=who, why=why, digest=digest)


def _without_retired(definition: bytes) -> bytes:
    """Return a definition that an earlier version wrote, without the settings that are gone."""
    if not any(key in definition for key in _RETIRED):
        return definition
    found = msgspec.json.decode(definition)
    for key in _RETIRED:
        found["settings"].pop(key.decode(), None)
    return msgspec.json.encode(found)


def _digest(definition: bytes, plan: bytes) -> str:
    return hashlib.sha256(definition + b"\0" + plan).hexdigest()
