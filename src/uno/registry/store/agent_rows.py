"""What the registry's file keeps for its agent: the record of the release, and message sequences.

The record is text that the controller encodes. It is one value, so that a reader sees all of a
release or none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uno.registry.store.sqlite import Database

# More sequences than a registry uses between a backup and its restore: one per second is a hundred
# million in three years.
_SKIPPED = 1_000_000_000


def release(db: Database) -> str | None:
    """Return the record of the newest release, None if there was none."""
    rows = db.rows("SELECT value FROM meta WHERE name = 'released'")
    return str(rows[0][0]) if rows else None


def put_release(db: Database, record: str) -> None:
    """Replace the record of the release."""
    db.do("INSERT OR REPLACE INTO meta VALUES ('released', ?)", record)


def reserve_sequences(db: Database, count: int, *, above: int = 0) -> int:
    """Return the first of `count` unused sequences above `above`; call it within a transaction."""
    first = max(_next_sequence(db), above + 1)
    _put_next_sequence(db, first + count)
    return first


def reset(db: Database) -> None:
    """Delete the release and skip many sequences; call it within a transaction.

    For a database restored from a backup: the packages of the release are not there, and the cells
    may have received messages that were sent after the backup.
    """
    db.do("DELETE FROM meta WHERE name = 'released'")
    _put_next_sequence(db, _next_sequence(db) + _SKIPPED)


def _next_sequence(db: Database) -> int:
    rows = db.rows("SELECT value FROM meta WHERE name = 'sequence'")
    return int(rows[0][0]) if rows else 1


def _put_next_sequence(db: Database, following: int) -> None:
    db.do("INSERT OR REPLACE INTO meta VALUES ('sequence', ?)", str(following))
