"""One agent for each cell and host: the process that holds the lock on the pid file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from uno import files
from uno.diagnostics import ActionNeeded, UnoError

FILE = "agent.pid"


@contextmanager
def hold_pidfile(folder: Path, *, name: str) -> Iterator[None]:
    """Hold the lock of the one agent in `folder`; `name` is for messages.

    Raises UnoError if there is one already. The file has the process id, as long as it runs.
    """
    files.make_open_dir(folder)
    if (holder := running(folder)) is not None:
        raise _taken(name, holder)
    with ExitStack() as held:
        try:
            # `running` holds the lock for a moment.
            held.enter_context(files.locked(folder / FILE, wait_seconds=1))
        except UnoError as error:
            if (holder := running(folder)) is not None:
                raise _taken(name, holder) from error
            raise
        yield


def running(folder: Path) -> int | None:
    """Return the process id of the agent whose lock is in `folder`, 0 if that is not known.

    None means that no agent runs.
    """
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        content = os.read(descriptor, 100).split()
        return int(content[0]) if content and content[0].isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def has_crashed(folder: Path) -> bool:
    """Whether the last agent in `folder` has ended without removing its lock, and none runs."""
    return (folder / FILE).exists() and running(folder) is None


def _taken(name: str, holder: int) -> UnoError:
    return ActionNeeded(
        f"an agent of {name} runs on this host already, as process {holder}",
        "see what it does with uno status, or stop it first: uno service down agent",
    )
