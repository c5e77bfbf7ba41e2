"""The tables of the registry's file, and the way from older ones to these.

`PRAGMA user_version` numbers the layout. Layout 1 had no number there, only one in `meta`. Later
layouts write both, so that a uno of layout 1 refuses them with an error message.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from uno.registry.store.sqlite import StoreError

if TYPE_CHECKING:
    from uno.registry.store.sqlite import Database

SCHEMA = 3

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generations (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
    definition BLOB NOT NULL, plan BLOB NOT NULL, digest TEXT NOT NULL);
CREATE TABLE secrets (
    id TEXT NOT NULL, epoch INTEGER NOT NULL, kind TEXT NOT NULL,
    private BLOB NOT NULL, public BLOB, nonce BLOB, PRIMARY KEY (id, epoch)) WITHOUT ROWID;
CREATE TABLE lock (
    one INTEGER PRIMARY KEY CHECK (one = 1), salt BLOB NOT NULL, passes INTEGER NOT NULL,
    memory INTEGER NOT NULL, lanes INTEGER NOT NULL, nonce BLOB NOT NULL, wrapped BLOB NOT NULL);
CREATE TABLE cell_packages (
    cell INTEGER PRIMARY KEY, generation INTEGER NOT NULL, digest TEXT NOT NULL,
    written TEXT NOT NULL, piece TEXT NOT NULL);
CREATE TABLE particle_packages (
    particle INTEGER PRIMARY KEY, digest TEXT NOT NULL, written TEXT NOT NULL);
"""
_LOCK = _TABLES[_TABLES.index("CREATE TABLE lock") : _TABLES.index("CREATE TABLE cell_packages")]


def create(db: Database) -> None:
    """Make the tables in an empty file."""
    with db.transaction():
        for statement in _TABLES.split(";"):
            db.do(statement)
        db.do("INSERT INTO meta VALUES ('schema', ?)", str(SCHEMA))
        db.do(f"PRAGMA user_version = {SCHEMA}")


class NewerLayout(StoreError):
    """A newer uno wrote the registry's file."""


def version(db: Database) -> int:
    """Return the layout of a file. Raises `StoreError` if it is no registry's."""
    number: int = db.rows("PRAGMA user_version")[0][0]
    if number == 0 and _is_first(db):
        return 1
    if number == 0:
        raise StoreError(f"{db.path} is not the file of a registry", "is it the right directory?")
    return number


def refuse_newer(db: Database) -> None:
    """Raise `NewerLayout` if a newer uno has to open this file."""
    found = version(db)
    if found > SCHEMA:
        raise NewerLayout(
            f"{db.path} was written by a newer uno: it has layout {found},"
            f" and this uno reads layouts up to {SCHEMA}",
            "update uno on this machine; nothing was changed",
        )


def migrate(db: Database) -> None:
    """Bring a file of an older layout to this one, in one transaction."""
    with db.transaction():
        for number in range(version(db), SCHEMA):
            _STEPS[number](db)
            db.do(f"PRAGMA user_version = {number + 1}")
        db.do("UPDATE meta SET value = ? WHERE name = 'schema'", str(SCHEMA))
    if damage := db.damage():
        raise StoreError(f"{db.path} is damaged: {damage}", "put back the copy beside it")


def _is_first(db: Database) -> bool:
    tables = {row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {"meta", "generations", "secrets"} <= tables and db.rows(
        "SELECT value FROM meta WHERE name = 'schema'"
    ) == [("1",)]


def _from_1_to_2(db: Database) -> None:
    """Make room for sealed secrets, and compress the definitions."""
    db.do("ALTER TABLE secrets ADD COLUMN nonce BLOB")
    db.do(_LOCK.strip().removesuffix(";"))
    for (number,) in db.rows("SELECT number FROM generations"):
        [(definition,)] = db.rows("SELECT definition FROM generations WHERE number = ?", number)
        db.do(
            "UPDATE generations SET definition = ? WHERE number = ?",
            zlib.compress(definition, 1),
            number,
        )


def _from_2_to_3(db: Database) -> None:
    """Name the tables of packages after what the packages are for."""
    db.do("ALTER TABLE bundles RENAME TO cell_packages")
    db.do("ALTER TABLE packages RENAME TO particle_packages")


_STEPS = {1: _from_1_to_2, 2: _from_2_to_3}
