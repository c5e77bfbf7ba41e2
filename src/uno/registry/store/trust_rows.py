"""What the registry's file keeps on trust: the chain of its keys, and what it has revoked.

It is beside the generations, since to roll back a definition must not make an old key valid again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model import codec
from uno.model.trust import TrustUpdate
from uno.registry.store.sqlite import RESTORE, StoreError

if TYPE_CHECKING:
    from uno.registry.store.sqlite import Database


def read(db: Database) -> TrustUpdate:
    """Return the statement on trust that is in force."""
    rows = db.rows("SELECT value FROM meta WHERE name = 'trust'")
    try:
        return codec.decode(rows[0][0], TrustUpdate) if rows else TrustUpdate()
    except codec.MalformedJson as error:
        raise StoreError(
            f"the revocations in {db.path} cannot be read: {error}", RESTORE
        ) from error


def put(db: Database, update: TrustUpdate) -> None:
    """Replace the statement on trust; call it within a transaction."""
    db.do("INSERT OR REPLACE INTO meta VALUES ('trust', ?)", codec.encode(update).decode())
