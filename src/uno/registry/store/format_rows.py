"""What the registry's file keeps on formats of packages (`model.package_formats`).

It is beside the generations: a roll back of the definition says nothing of what agents read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model import codec, package_formats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uno.registry.store.sqlite import Database


def advertised(db: Database) -> dict[int, int]:
    """Return the newest format that the agent of each cell has advertised, by the cell's id."""
    rows = db.rows("SELECT value FROM meta WHERE name = 'agent_formats'")
    try:
        return codec.decode(rows[0][0], dict[int, int]) if rows else {}
    except codec.MalformedJson:
        # Agents advertise it again.
        return {}


def put_advertised(db: Database, formats: Mapping[int, int]) -> None:
    """Replace what agents have advertised; call it within a transaction."""
    db.do("INSERT OR REPLACE INTO meta VALUES ('agent_formats', ?)", codec.encode(formats).decode())


def written(db: Database) -> int:
    """Return the format of the packages of the newest generation."""
    rows = db.rows("SELECT value FROM meta WHERE name = 'package_format'")
    return int(rows[0][0]) if rows else package_formats.FIRST


def put_written(db: Database, package_format: int) -> None:
    """Record the format of the packages of a generation; call it within its transaction."""
    db.do("INSERT OR REPLACE INTO meta VALUES ('package_format', ?)", str(package_format))
