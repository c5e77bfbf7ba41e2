"""The table of secrets: in clear text, or encrypted with a passphrase (`key_wrapping`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uno.registry.store import key_wrapping
from uno.registry.store.key_wrapping import DataKey, KdfParameters, SealedSecret, WrappedKey
from uno.registry.store.passphrase_cache import passphrases
from uno.registry.store.sqlite import RESTORE, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uno.registry.store.sqlite import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A key as kept. `kind` is pair, psk, seed or sign; `public` is the public half, if any."""

    id: str
    kind: str
    private: bytes = field(repr=False)
    public: bytes | None = None
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicFacts:
    """The columns of a secret that are never encrypted."""

    id: str
    kind: str
    public: bytes | None
    epoch: int


class SecretTable:
    """The secrets of an open registry file. Public halves are never encrypted."""

    def __init__(self, db: Database) -> None:
        """Use the table in `db`."""
        self._db = db

    @property
    def is_sealed(self) -> bool:
        """Whether reading a secret takes a passphrase."""
        return self._lock() is not None

    def open(self) -> None:
        """Ask for the passphrase now, if there is one, and not later."""
        self._data_key()

    def public_half(self, name: str) -> bytes:
        """Return the public half of the newest secret `name`."""
        statement = "SELECT public FROM secrets WHERE id = ? ORDER BY epoch DESC LIMIT 1"
        rows = self._db.rows(statement, name)
        if not rows or rows[0][0] is None:
            raise StoreError(f"{self._db.path} has no public half of {name}", RESTORE)
        return bytes(rows[0][0])

    def public(self) -> tuple[PublicFacts, ...]:
        """Return the public columns of the newest epoch of every secret, in order of ids."""
        statement = "SELECT id, kind, public, max(epoch) FROM secrets GROUP BY id ORDER BY id"
        return tuple(
            PublicFacts(id=row[0], kind=row[1], public=row[2], epoch=row[3])
            for row in self._db.rows(statement)
        )

    def newest(self) -> dict[str, StoredSecret]:
        """Return the newest epoch of every secret, by id."""
        rows = self._db.rows(f"SELECT {_COLUMNS}, max(epoch) FROM secrets GROUP BY id")  # noqa: S608
        opened = self._data_key()
        return {row[0]: self._read(row, opened) for row in rows}

    def epochs(self, prefix: str) -> tuple[StoredSecret, ...]:
        """Return every epoch of the secrets whose ids begin with `prefix`, the oldest first."""
        statement = f"SELECT {_COLUMNS} FROM secrets WHERE id >= ? AND id < ? ORDER BY id, epoch"  # noqa: S608
        # The character after the last that an id can end with.
        rows = self._db.rows(statement, prefix, prefix + "\uffff")
        opened = self._data_key()
        return tuple(self._read(row, opened) for row in rows)

    def drop_epochs(self, gone: Iterable[tuple[str, int]]) -> None:
        """Delete these epochs of these secrets, and overwrite them in the file."""
        self._db.do_many("DELETE FROM secrets WHERE id = ? AND epoch = ?", gone)

    def put(self, added: Iterable[StoredSecret]) -> None:
        """Add secrets; one whose id exists under the same epoch is an error."""
        opened = self._data_key()
        self._db.do_many(
            f"INSERT INTO secrets ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
            (_row(each, opened) for each in added),
        )

    def drop(self, names: Iterable[str]) -> None:
        """Delete every epoch of the secrets called `names`, and overwrite them in the file."""
        self._db.do_many("DELETE FROM secrets WHERE id = ?", ((name,) for name in names))

    def seal(self, passphrase: str | None) -> None:
        """Seal everything with `passphrase` and a new data key, or with None unseal it for good.

        Call it within a transaction. Raises `UnoError` if the passphrase so far is not known.
        """
        kept = self._all()
        self._db.do("DELETE FROM lock")
        if passphrase is not None:
            lock, opened = key_wrapping.wrapped(passphrase)
            passphrases.get().add(lock, opened)
            slow = lock.parameters
            self._db.do(
                "INSERT INTO lock VALUES (1, ?, ?, ?, ?, ?, ?)",
                *(slow.salt, slow.passes, slow.memory, slow.lanes, lock.nonce, lock.wrapped),
            )
        self._db.do("DELETE FROM secrets")
        self.put(kept)

    def _all(self) -> tuple[StoredSecret, ...]:
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM secrets")  # noqa: S608
        opened = self._data_key()
        return tuple(self._read(row, opened) for row in rows)

    def _lock(self) -> WrappedKey | None:
        rows = self._db.rows("SELECT salt, passes, memory, lanes, nonce, wrapped FROM lock")
        if not rows:
            return None
        salt, passes, memory, lanes, nonce, wrapped = rows[0]
        parameters = KdfParameters(salt=salt, passes=passes, memory=memory, lanes=lanes)
        return WrappedKey(parameters=parameters, nonce=nonce, wrapped=wrapped)

    def _data_key(self) -> DataKey | None:
        lock = self._lock()
        if lock is None:
            return None
        return passphrases.get().open(lock, of=f"the registry in {self._db.path.parent.absolute()}")

    def _read(self, row: tuple[Any, ...], opened: DataKey | None) -> StoredSecret:
        name, epoch, kind, private, public, nonce, *_ = row
        if opened is not None:
            place = _place(name, epoch, kind, public)
            private = nonce and opened.unseal(SealedSecret(nonce, private), name=place)
        if private is None or (opened is None and nonce is not None):
            raise StoreError(f"the secret {name} in {self._db.path} is damaged", RESTORE)
        return StoredSecret(id=name, epoch=epoch, kind=kind, private=private, public=public)


_COLUMNS = "id, epoch, kind, private, public, nonce"


def _row(secret: StoredSecret, opened: DataKey | None) -> tuple[object, ...]:
    named = (secret.id, secret.epoch, secret.kind)
    if opened is None:
        return (*named, secret.private, secret.public, None)
    sealed = opened.seal(secret.private, name=_place(*named, secret.public))
    return (*named, sealed.content, secret.public, sealed.nonce)


def _place(name: str, epoch: int, kind: str, public: bytes | None) -> bytes:
    """Return the associated data of an encrypted secret: the other columns of its row."""
    return f"{kind} {epoch} {name} {(public or b'').hex()}".encode()
