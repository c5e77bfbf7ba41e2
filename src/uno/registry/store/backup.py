"""A whole registry in one file that is sealed with a passphrase, and back.

    magic, length (2 octets), header as JSON     the format, and the lock of the data key (`vault`)
    chunks of 64 KiB, each sealed                length (4 octets), manifest as JSON, registry.db

Each chunk is sealed with ChaCha20-Poly1305 under its number and whether it is the last, with the
header as associated data: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015). So
chunks that are changed, left out, moved or cut off at the end are noticed. What can be made again
from the database, cell and particle packages, is not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from msgspec import Struct

from uno import files
from uno.diagnostics import InvalidInput
from uno.model import codec
from uno.registry.store import agent_rows, directory, key_wrapping
from uno.registry.store.generation_store import Store
from uno.registry.store.key_wrapping import Lock, Slowness, Vault

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from uno.registry.store.directory import Registry

FORMAT = 1
# So far the numbers of a restored registry leave off: more changes than are made between backups.
GAP = 1000

_MAGIC = b"uno-backup\n"
_CHUNK = 64 << 10
_TAG = 16
_HEADER_LIMIT = 4096


class BackupRejected(InvalidInput):
    """A file that cannot be restored from. Nothing was left behind."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        """Say why `path` is refused."""
        super().__init__(f"{path} {why}", hint)


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup says of itself, to whom can open it. `size` is that of the database."""

    uvn: str
    identity: str
    generation: int
    made: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored, and the number that the next generation has."""

    manifest: Manifest
    next_generation: int


class _Header(Struct, frozen=True, kw_only=True):
    format: int
    salt: bytes
    passes: int
    memory: int
    lanes: int
    nonce: bytes
    wrapped: bytes


def write(registry: Registry, path: Path, *, passphrase: str, now: datetime) -> Manifest:
    """Write all of `registry` to `path`, as it is at one moment; what was there is replaced."""
    head, content = registry.store.head(), registry.store.database.snapshot()
    manifest = Manifest(
        uvn=head.uvn.name,
        identity=head.uvn.identity,
        generation=head.number,
        made=now.isoformat(timespec="seconds"),
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
    )
    lock, opened = key_wrapping.locked(passphrase)
    said = codec.encode(manifest)
    plain = memoryview(len(said).to_bytes(4, "big") + said + content)
    files.write_chunks(path, _sealed(_header(lock), opened, plain))
    return manifest


def restore(
    path: Path, root: Path, *, ask: Callable[[], str], generation: int | None = None
) -> Restored:
    """Make the registry in `root`, empty or not there, that is in the backup at `path`.

    All of it is checked before there is a registry, and nothing is left if it is refused. Packages
    and packages are not written yet. The next generation is `generation`, or leaves a gap of `GAP`
    after the last, because cells may have seen what came after the backup.
    """
    directory.require_empty(root)
    with _reading(path) as file:
        header, lock = _read_header(file, path)
        opened = key_wrapping.unlocked(lock, ask(), of=f"the backup {path}")
        done: list[Restored] = []

        def make(new: Path) -> None:
            manifest = _unpack(_unsealed(file, path, header, opened), new, path)
            directory.bring_up_to_date(new)
            following = _check(new, manifest, path, generation)
            done.append(Restored(manifest=manifest, next_generation=following))

        with directory.received(root, make):
            return done[0]


def _header(lock: Lock) -> bytes:
    slow = lock.slowness
    header = _Header(
        format=FORMAT,
        salt=slow.salt,
        passes=slow.passes,
        memory=slow.memory,
        lanes=slow.lanes,
        nonce=lock.nonce,
        wrapped=lock.wrapped,
    )
    text = codec.encode(header)
    return _MAGIC + len(text).to_bytes(2, "big") + text


def _sealed(header: bytes, opened: Vault, plain: memoryview) -> Iterator[bytes]:
    cipher = ChaCha20Poly1305(opened.data_key)
    yield header
    last = max(0, (len(plain) - 1) // _CHUNK)
    for number in range(last + 1):
        chunk = plain[number * _CHUNK : (number + 1) * _CHUNK]
        yield cipher.encrypt(_nonce(number, is_last=number == last), chunk, header)


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(key_wrapping.NONCE_SIZE - 1, "big") + bytes([is_last])


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise files.failure(error, f"cannot read {path}") from error
    with file:
        yield file


def _read(file: BinaryIO, path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise files.failure(error, f"cannot read {path}") from error


def _read_header(file: BinaryIO, path: Path) -> tuple[bytes, Lock]:
    """Return the header's bytes and what is in it."""
    start = _read(file, path, len(_MAGIC) + 2)
    if not start.startswith(_MAGIC):
        raise BackupRejected(path, "is not a backup of a registry", "uno backup FILE makes one")
    size = int.from_bytes(start[len(_MAGIC) :], "big")
    text = _read(file, path, min(size, _HEADER_LIMIT))
    try:
        if codec.decode(text, _Format).format > FORMAT:
            raise BackupRejected(path, "was made by a newer uno", "update uno on this machine")
        found = codec.decode(text, _Header)
    except codec.MalformedJson as error:
        raise _damaged(path) from error
    slowness = Slowness(
        salt=found.salt, passes=found.passes, memory=found.memory, lanes=found.lanes
    )
    return start + text, Lock(slowness=slowness, nonce=found.nonce, wrapped=found.wrapped)


class _Format(Struct, frozen=True):
    format: int


def _unsealed(file: BinaryIO, path: Path, header: bytes, opened: Vault) -> Iterator[bytes]:
    """Yield the contents of all chunks, the last one known to be the last."""
    cipher = ChaCha20Poly1305(opened.data_key)
    number, chunk = 0, _read(file, path, _CHUNK + _TAG)
    while True:
        following = _read(file, path, _CHUNK + _TAG)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), chunk, header)
        except InvalidTag as error:
            raise _damaged(path) from error
        if not following:
            return
        number, chunk = number + 1, following


def _unpack(chunks: Iterator[bytes], new: Path, path: Path) -> Manifest:
    """Write the database to `new`; return the manifest before it."""
    head = next(chunks)
    size = int.from_bytes(head[:4], "big")
    manifest = codec.decode(head[4 : 4 + size], Manifest)
    digest, written = hashlib.sha256(), 0

    def contents() -> Iterator[bytes]:
        nonlocal written
        for chunk in chain([head[4 + size :]], chunks):
            digest.update(chunk)
            written += len(chunk)
            yield chunk

    files.write_chunks(new, contents())
    if (written, digest.hexdigest()) != (manifest.size, manifest.digest):
        raise _damaged(path)
    return manifest


def _check(new: Path, manifest: Manifest, path: Path, generation: int | None) -> int:
    """Check the restored database as a whole, and let its numbers jump; return where to."""
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


def _damaged(path: Path) -> BackupRejected:
    return BackupRejected(
        path, "is damaged or was cut short", "use another copy; nothing was restored"
    )
