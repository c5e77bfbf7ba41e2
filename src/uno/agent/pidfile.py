"""One agent for each cell and host: the process that holds the lock on the pid file."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

from uno import files
from uno.diagnostics import ActionNeeded, UnoError

_log = logging.getLogger(__name__)

FILE = "agent.pid"

# Seconds between two attempts while another process is waited for.
_PAUSE = 0.2


@contextmanager
def hold_pidfile(folder: Path, *, name: str, after: str = "") -> Iterator[None]:
    """Hold the lock of the one agent in `folder`; `name` is for messages.

    Raises UnoError if there is one already, but waits for one that was called as `after`, such as
    `uno sync`. The file has the process id, as long as it runs.
    """
    files.make_open_dir(folder)
    if after:
        _await_end(folder, after)
    if (holder := running(folder)) is not None:
        raise _taken(name, holder)
    with ExitStack() as held:
        while not _lock(held, folder, name):
            files.make_open_dir(folder)
        yield


def _lock(held: ExitStack, folder: Path, name: str) -> bool:
    """Take the lock; False where the folder is gone: its last user removes it as it ends."""
    try:
        # `running` holds the lock for a moment.
        held.enter_context(files.locked(folder / FILE, wait_seconds=1))
    except UnoError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        if (holder := running(folder)) is not None:
            raise _taken(name, holder) from error
        raise
    return True


def running(folder: Path) -> int | None:
    """Return the process id of the agent whose lock is in `folder`, 0 if that is not known.

    None means that no agent runs.
    """
    holder = _holder(folder)
    return holder[0] if holder is not None else None


def _holder(folder: Path) -> tuple[int, str] | None:
    """Return the process that holds the lock, and what it was called as; None if none does."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, command = os.read(descriptor, 100).decode(errors="replace").strip().partition(" ")
        return int(pid) if pid.isdecimal() else 0, command
    finally:
        os.close(descriptor)
    return None


def has_crashed(folder: Path) -> bool:
    """Whether the last agent in `folder` has ended without removing its lock, and none runs."""
    return (folder / FILE).exists() and running(folder) is None


def _await_end(folder: Path, command: str) -> None:
    """Wait while the lock is held by a process that was called so."""
    waits_for: int | None = None
    while (holder := _holder(folder)) is not None and holder[1] == command:
        if holder[0] != waits_for:
            waits_for = holder[0]
            _log.info("waiting until %s ends, process %d", command, waits_for)
        Event().wait(_PAUSE)


def _taken(name: str, holder: int) -> UnoError:
    return ActionNeeded(
        f"an agent of {name} runs on this host already, as process {holder}",
        "see what it does with uno status, or stop it first: uno service down agent",
    )
