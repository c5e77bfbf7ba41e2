"""What the registry's file keeps of its last backup: the generation, and the time as written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from uno.model import codec
from uno.model.codec import MalformedJson

if TYPE_CHECKING:
    from uno.registry.store.sqlite import Database


class LastBackup(Struct, frozen=True):
    """The last backup: the generation in it, and when it was written (ISO 8601)."""

    generation: int
    made: str


def last(db: Database) -> LastBackup | None:
    """Return the last backup, None if there was none, or an older uno wrote it."""
    rows = db.rows("SELECT value FROM meta WHERE name = 'backup'")
    try:
        return codec.decode(str(rows[0][0]).encode(), LastBackup) if rows else None
    except MalformedJson:
        return None


def put_last(db: Database, backup: LastBackup) -> None:
    """Replace the record; call it within a transaction."""
    db.do("INSERT OR REPLACE INTO meta VALUES ('backup', ?)", codec.encode(backup).decode())
