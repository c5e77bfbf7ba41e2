"""A whole registry in one file, encrypted with a passphrase, and back.

The file is in the age format v1 with a scrypt recipient (https://age-encryption.org/v1), so that
`age -d` opens it without uno. It contains a tar archive:

    manifest.json    the UVN, the generation, the time, and the SHA-256 of the database
    registry.db      the registry's SQLite file at one moment

Packages are not in it: `uno restore` makes them again from the database.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from uno import files
from uno.diagnostics import InvalidInput, UnoError
from uno.model import codec
from uno.registry.store import agent_rows, backup_record, directory
from uno.registry.store.generation_store import Store
from uno.registry.store.key_wrapping import WrongPassphrase

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from uno.registry.store.directory import Registry

FORMAT = 1
# How many generation numbers a restored registry skips: more than are made between two backups.
GAP = 1000

_AGE = b"age-encryption.org/"
_MANIFEST = "manifest.json"
_DATABASE = "registry.db"
# A registry of 1,000 cells has 30 MB. Both are held in memory, since they hold secrets.
_LARGEST = 4 << 30


class BackupRejected(InvalidInput):
    """A file that cannot be restored from. Nothing is left behind."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        """Refuse `path` for the reason `why`."""
        super().__init__(f"{path} {why}", hint)


class BackupManifest(Struct, frozen=True, kw_only=True):
    """What a backup contains. `size` (octets) and `digest` (SHA-256) are those of the database."""

    format: int
    uvn: str
    identity: str
    generation: int
    made: str
    size: int
    digest: str


class Restored(Struct, frozen=True, kw_only=True):
    """What was restored, and the number that the next generation has."""

    manifest: BackupManifest
    next_generation: int


def write(registry: Registry, path: Path, *, passphrase: str, now: datetime) -> BackupManifest:
    """Write all of `registry` to `path`, as it is at one moment; an existing file is replaced."""
    head, content = registry.store.head(), registry.store.database.snapshot()
    manifest = BackupManifest(
        format=FORMAT,
        uvn=head.uvn.name,
        identity=head.uvn.identity,
        generation=head.number,
        made=now.isoformat(timespec="seconds"),
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
    )
    archive = _archive({_MANIFEST: codec.encode(manifest), _DATABASE: content}, now)
    files.write_atomic(path, _encrypted(archive, passphrase))
    # A registry on a file system that is read-only is backed up, too.
    with suppress(UnoError), registry.store.transaction():
        record = backup_record.LastBackup(generation=head.number, made=manifest.made)
        backup_record.put_last(registry.store.database, record)
    return manifest


def restore(
    path: Path, root: Path, *, ask: Callable[[], str], generation: int | None = None
) -> Restored:
    """Make the registry in `root`, which is empty or does not exist, from the backup at `path`.

    The backup is checked as a whole before there is a registry, and a refused one leaves nothing.
    Packages are not written yet. The next generation is `generation`, or `GAP` after the last one,
    because cells may have seen generations that were made after the backup.
    """
    directory.require_empty(root)
    content = files.read(path, limit=_LARGEST)
    if not content.startswith(_AGE):
        raise _not_a_backup(path)
    manifest, database = _unpacked(_decrypted(content, ask(), path), path)
    done: list[Restored] = []

    def make(new: Path) -> None:
        files.write_atomic(new, database)
        directory.bring_up_to_date(new)
        following = _check(new, manifest, path, generation)
        done.append(Restored(manifest=manifest, next_generation=following))

    with directory.received(root, make):
        return done[0]


def _archive(members: dict[str, bytes], now: datetime) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o600, int(now.timestamp())
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _encrypted(plain: bytes, passphrase: str) -> bytes:
    # Only these two commands need it.
    from pyrage import passphrase as age  # type: ignore[import-untyped]  # noqa: PLC0415

    return bytes(age.encrypt(plain, _normalized(passphrase)))


def _decrypted(content: bytes, passphrase: str, path: Path) -> bytes:
    from pyrage import DecryptError  # noqa: PLC0415
    from pyrage import passphrase as age  # noqa: PLC0415

    try:
        return bytes(age.decrypt(content, _normalized(passphrase)))
    except DecryptError as error:
        reason = str(error)
    # The library has one exception for all reasons. Its texts are pinned by the tests.
    if reason == "Decryption failed":
        raise WrongPassphrase(f"the backup {path}")
    if reason.startswith("Unknown age format"):
        raise _newer(path)
    if reason.startswith("Excessive work"):
        raise BackupRejected(
            path,
            "needs more work to open than this machine allows",
            "open it on the machine that wrote it, or with age -d",
        )
    if reason == "No matching keys found":
        raise _not_a_backup(path)
    raise _damaged(path)


def _normalized(passphrase: str) -> str:
    """Return NFC: another keyboard may produce other code points for the same characters."""
    return unicodedata.normalize("NFC", passphrase)


def _unpacked(archive: bytes, path: Path) -> tuple[BackupManifest, bytes]:
    """Return the manifest and the database that it describes."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            text, database = _member(tar, _MANIFEST), _member(tar, _DATABASE)
        if codec.decode(text, _BackupFormat).format > FORMAT:
            raise _newer(path)
        manifest = codec.decode(text, BackupManifest)
    except (tarfile.TarError, KeyError, codec.MalformedJson) as error:
        raise _not_a_backup(path) from error
    if (len(database), hashlib.sha256(database).hexdigest()) != (manifest.size, manifest.digest):
        raise _damaged(path)
    return manifest, database


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read()


class _BackupFormat(Struct, frozen=True):
    format: int


def _check(new: Path, manifest: BackupManifest, path: Path, generation: int | None) -> int:
    """Check the restored database, make its numbers jump; return the next generation."""
    store = Store(new)
    try:
        head = store.head()
        if store.database.damage() or (head.number, head.uvn.identity) != (
            manifest.generation,
            manifest.identity,
        ):
            raise _damaged(path)
        if generation is not None and generation <= head.number:
            raise InvalidInput(
                f"--generation {generation} is not after generation {head.number} of the backup",
                "give a number that no cell has seen yet",
            )
        with store.transaction():
            store.numbering.jump_to(generation or head.number + GAP)
            agent_rows.reset(store.database)
        return store.numbering.next
    finally:
        store.close()


def _not_a_backup(path: Path) -> BackupRejected:
    return BackupRejected(path, "is not a backup of a registry", "uno backup FILE makes one")


def _newer(path: Path) -> BackupRejected:
    return BackupRejected(path, "was made by a newer uno", "update uno on this machine")


def _damaged(path: Path) -> BackupRejected:
    return BackupRejected(
        path, "is damaged or was cut short", "use another copy; nothing was restored"
    )
