"""Atomic and private writes of files; locks.

Every failure is an `UnoError` with the path and a hint.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
OPEN_DIR = 0o711

# Too short for a person to notice, long enough that a waiting process costs nothing.
_POLL_SECONDS = 0.05
# What `write_together` has not renamed yet is called so; a power cut can leave one behind.
_TEMPORARY_PREFIX, _TEMPORARY_SUFFIX = ".uno-", ".tmp"


def write_atomic(
    path: Path, content: bytes, *, mode: int = PRIVATE_FILE, durable: bool = True
) -> None:
    """Make `path` hold `content`, at once: a reader sees the old file or the new one, never half.

    The file never has more permissions than `mode`, at no time. With `durable` it also survives a
    power cut from here on (fsync of file and directory); leave that out for what can be made again.
    A link at `path` is replaced, not followed. Raises UnoError, and then `path` is as it was.
    """
    write_together({path: content}, mode=mode, durable=durable)


def write_together(
    contents: Mapping[Path, bytes], *, mode: int = PRIVATE_FILE, durable: bool = True
) -> None:
    """Write several files as `write_atomic` does one: a full disk changes none of them.

    They are renamed into place in the order given, so a power cut can leave the first ones new and
    the others old.
    """
    waiting: dict[Path, Path] = {}
    at = Path()
    try:
        for path, content in contents.items():
            at = path
            waiting[path] = _write_temporary(path, (content,), mode=mode, durable=durable)
        for path in contents:
            at = path
            waiting[path].replace(path)
            del waiting[path]
        if durable:
            for directory in {path.parent for path in contents}:
                _sync_directory(directory)
    except OSError as error:
        raise failure(error, f"cannot write {at}") from error
    finally:
        for temporary in waiting.values():
            with suppress(OSError):
                temporary.unlink()


def write_if_changed(
    path: Path, content: bytes, *, mode: int = PRIVATE_FILE, durable: bool = True
) -> bool:
    """Write as `write_atomic` does, unless `path` is that already; return whether it wrote."""
    if holds(path, content, mode=mode):
        return False
    write_atomic(path, content, mode=mode, durable=durable)
    return True


def holds(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> bool:
    """Whether `path` is a file of this mode with this content."""
    try:
        found = path.lstat()
        return (
            stat.S_ISREG(found.st_mode)
            and stat.S_IMODE(found.st_mode) == mode
            and found.st_size == len(content)
            and path.read_bytes() == content
        )
    except OSError:
        return False


def mark(path: Path) -> tuple[int, ...] | None:
    """Return what identifies a file and its content, None without one: each write has another."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode


def rename(source: Path, target: Path) -> None:
    """Move a file onto another in the same directory, at once and durably. Raises UnoError."""
    try:
        source.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise failure(error, f"cannot rename {source} to {target}") from error


def share(source: Path, target: Path) -> None:
    """Make `target` have what `source` has, at once and durably, without room for a copy.

    The two are one file until one of them is replaced. Raises UnoError.
    """
    link = target.with_name(f"{_TEMPORARY_PREFIX}{target.name}{_TEMPORARY_SUFFIX}")
    try:
        link.unlink(missing_ok=True)
        link.hardlink_to(source)
        link.replace(target)
        # Renaming onto another name of the same file does nothing (rename(2)).
        link.unlink(missing_ok=True)
        _sync_directory(target.parent)
    except OSError as error:
        raise failure(error, f"cannot write {target}") from error


def remove(path: Path) -> None:
    """Remove a file, durably; nothing if there is none. Raises UnoError."""
    try:
        path.unlink()
        _sync_directory(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        # unlink(2) has this error on a read-only file system where there is no such file, too.
        if error.errno == errno.EROFS and not os.path.lexists(path):
            return
        raise failure(error, f"cannot remove {path}") from error


def read(path: Path, *, limit: int) -> bytes:
    """Return what `path` holds. Raises UnoError if it cannot be read, or has over `limit` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise failure(error, f"cannot read {path}") from error
    if len(content) > limit:
        raise ActionNeeded(f"{path} is larger than {limit} bytes", "it is not what it should be")
    return content


def make_private_dir(path: Path) -> tuple[Path, ...]:
    """Make `path` a directory that only its owner can enter (0700), its parents too where missing.

    Returns the directories that were made, the outermost first, for a caller that may have to
    take them back.
    """
    made: list[Path] = []
    directory = path
    try:
        for directory in reversed((path, *path.parents)):
            if not directory.is_dir():
                directory.mkdir(mode=PRIVATE_DIR if directory == path else 0o755)
                made.append(directory)
        if stat.S_IMODE(path.stat().st_mode) != PRIVATE_DIR:
            path.chmod(PRIVATE_DIR)
    except OSError as error:
        remove_dirs(tuple(made))
        raise failure(error, f"cannot make the directory {directory}") from error
    return tuple(made)


def make_open_dir(path: Path) -> None:
    """Make `path` a directory that every user can enter and only its owner can read (0711).

    The parents that are missing become so too, whatever the umask is: FRR's daemons do not run as
    root. Directories that exist are left as they are. Raises UnoError.
    """
    directory = path
    try:
        for directory in reversed((path, *path.parents)):
            if not directory.is_dir():
                directory.mkdir(mode=PRIVATE_DIR, exist_ok=True)
                directory.chmod(OPEN_DIR)
    except OSError as error:
        raise failure(error, f"cannot make the directory {directory}") from error


def remove_dirs(made: tuple[Path, ...]) -> None:
    """Remove the directories that `make_private_dir` made, those that are still empty."""
    for directory in reversed(made):
        with suppress(OSError):
            directory.rmdir()


def is_leftover(name: str) -> bool:
    """Whether a file of this name is what an interrupted write left behind."""
    return name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)


@contextmanager
def locked(path: Path, *, wait_seconds: float = 10.0) -> Iterator[None]:
    """Hold the lock file `path`, which exists only while a process holds it or has crashed.

    Waits for another holder that long, then raises an UnoError that names it. The kernel drops the
    lock of a process that ends, however it ends (flock(2)). The lock is not reentrant.
    """
    descriptor = _acquire(path, deadline=time.monotonic() + wait_seconds)
    try:
        yield
    finally:
        # Removed while held: a process that waits on the removed file opens the new one.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def failure(error: OSError, doing: str) -> UnoError:
    """Return `error` as a message for people; `doing` is what failed, with its path."""
    reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), ""))
    kind = ActionNeeded if error.errno in _REASONS else TransientFailure
    return kind(f"{doing}: {reason}", hint)


_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space and try again; nothing was changed"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and try again"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or choose another place"),
    errno.EACCES: ("permission denied", "run as the owner of the directory, or with sudo"),
    errno.EPERM: ("operation not permitted", "run as the owner of the directory, or with sudo"),
    errno.ENOENT: ("there is no such file or directory", "check the path"),
    errno.ENOTDIR: ("a part of the path is not a directory", "check the path"),
    errno.EEXIST: ("there is something else of that name", "remove it, or choose another name"),
    errno.EISDIR: ("it is a directory", "name a file"),
    errno.ELOOP: ("it is a symbolic link", "name the place that it leads to"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
}


def _write_temporary(path: Path, chunks: Iterable[bytes], *, mode: int, durable: bool) -> Path:
    """Write `chunks` to a new file beside `path`, or leave nothing."""
    # mkstemp creates with 0600, so that wider permissions come only once the content is complete.
    descriptor, name = tempfile.mkstemp(_TEMPORARY_SUFFIX, _TEMPORARY_PREFIX, path.parent)
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a Path cannot open a descriptor
            file.writelines(chunks)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _acquire(path: Path, *, deadline: float) -> int:
    """Return a descriptor of `path` with the lock on it, or raise once `deadline` has passed."""
    while True:
        descriptor = _open_lock(path)
        try:
            _wait_for_lock(path, descriptor, deadline=deadline)
            if _is_current(path, descriptor):
                _sign(descriptor)
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise failure(error, f"cannot lock {path}") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, PRIVATE_FILE)
    except OSError as error:
        raise failure(error, f"cannot lock {path}") from error


def _wait_for_lock(path: Path, descriptor: int, *, deadline: float) -> None:
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _held(path) from None
            pause.wait(_POLL_SECONDS)
        else:
            return


def _is_current(path: Path, descriptor: int) -> bool:
    """Whether `path` is still the file that was opened: its last holder may have removed it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Write the holder's process and command into the lock file. A full disk is ignored."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {_command()}\n".encode(), 0)


def _command() -> str:
    """Return what this process was called as, up to the first option: options can hold secrets."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    words = [program if program not in {"", "__main__.py"} else "uno"]
    for word in sys.argv[1:]:
        if word.startswith("-"):
            break
        words.append(word)
    return " ".join(words)


def _held(path: Path) -> UnoError:
    try:
        pid, _, command = path.read_text(errors="replace").strip().partition(" ")
    except OSError:
        pid, command = "", ""
    holder = f"process {pid} ({command})" if pid.isdecimal() else "another process"
    return TransientFailure(
        f"{path.parent} is in use by {holder}", "wait until it is done, or stop it, and try again"
    )
