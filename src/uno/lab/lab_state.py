"""The record of each lab on disk, with which any process can find, enter or remove it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import time
from pathlib import Path
from threading import Event

from msgspec import Struct

from uno.diagnostics import ActionNeeded, TransientFailure
from uno.host.command import run
from uno.lab import inotify_limit, machine, netns
from uno.lab.world_layout import WorldLayout
from uno.model import codec

# Where labs are kept, unless the environment variable UNO_LAB_DIR names another place.
DEFAULT_FOLDER = Path("/run/uno-lab")
_ID = re.compile(r"[0-9a-f]{6}")
_RECORD = "lab.json"
# Seconds for one more process of a lab to end, once all were killed.
_NO_PROGRESS = 10.0
# Seconds for the namespaces of a lab to be deleted.
_REMOVAL = 300.0


class Lab(Struct, frozen=True, kw_only=True):
    """A lab: its id, what it is, and the first process of each machine in it.

    `holders` has, for each machine, the host's process id and start time of its first process.
    `complete` is false while the lab is being built.
    """

    id: str
    layout: WorldLayout
    holders: dict[str, tuple[int, int]] = {}
    complete: bool = False

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return folder() / self.id

    def namespace(self, node: str) -> str:
        """The name of a node's network namespace."""
        return f"uno-{self.id}-{node}"


def folder() -> Path:
    """The directory that holds a directory for each lab of this machine."""
    return Path(os.environ.get("UNO_LAB_DIR") or DEFAULT_FOLDER)


def unused_id() -> str:
    """An id that no lab has: removal by id must not hit another lab."""
    known = ids()
    while (drawn := secrets.token_hex(3)) in known:
        pass
    return drawn


def create(layout: WorldLayout, lab_id: str) -> Lab:
    """Register a lab, before anything else of it exists."""
    folder().mkdir(mode=0o755, parents=True, exist_ok=True)
    lab = Lab(id=lab_id, layout=layout)
    lab.directory.mkdir(mode=0o700)
    save(lab)
    return lab


def save(lab: Lab) -> None:
    """Write what is known of a lab."""
    scratch = lab.directory / f"{_RECORD}.new"
    scratch.write_bytes(codec.encode_pretty(lab))
    scratch.replace(lab.directory / _RECORD)


def ids() -> tuple[str, ...]:
    """The ids of all labs, finished or not, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        found = [path for path in folder().iterdir() if _ID.fullmatch(path.name)]
        return tuple(path.name for path in sorted(found, key=lambda path: path.stat().st_mtime))
    return ()


def load(lab_id: str | None = None) -> Lab:
    """Read a lab; without an id, the only one there is. Raises `UnoError`."""
    lab_id = chosen(lab_id)
    try:
        return codec.decode((folder() / lab_id / _RECORD).read_bytes(), Lab)
    except (OSError, codec.MalformedJson) as error:
        raise ActionNeeded(
            f"lab {lab_id} was never finished", f"remove it with `uno lab down {lab_id}`"
        ) from error


def chosen(lab_id: str | None = None) -> str:
    """The id of a lab that there is; without one, that of the only lab. Raises `UnoError`."""
    known = ids()
    if lab_id is None and len(known) != 1:
        raise ActionNeeded(
            f"there are {len(known)} labs, not one",
            f"name one of {', '.join(known)}" if known else "make one with `uno lab up SPEC`",
        )
    if lab_id is not None and lab_id not in known:
        raise ActionNeeded(
            f"there is no lab {lab_id!r}", "`uno lab list` shows those that there are"
        )
    return lab_id or known[0]


def remove(lab_id: str) -> None:
    """Take everything away that a lab made: processes, namespaces, files; needs nothing but its id.

    With the last lab the machine's inotify limit is as before the first.

    What is not there, or was removed before, does no harm; so a removal can be done again.
    Processes are found by their namespaces, and namespaces by the lab's id. So this works also when
    the process that made the lab was killed, and touches nothing else.
    Raises `UnoError` if a process cannot be ended.
    """
    if not _ID.fullmatch(lab_id):
        raise ActionNeeded(f"{lab_id!r} is not the id of a lab", "an id is six hexadecimal digits")
    # A machine that is only being started may come too late to be ended below; it then finds that
    # there is nothing to run, and ends.
    for script in (folder() / lab_id).glob(f"nodes/*/{machine.SCRIPT}"):
        script.unlink(missing_ok=True)
    prefix = f"uno-{lab_id}-"
    with contextlib.suppress(FileNotFoundError):
        names = sorted(p.name for p in netns.NAMES.iterdir() if p.name.startswith(prefix))
        _end_processes(names)
        if names:
            # -force: go on with the next when one cannot be deleted (ip(8)).
            lines = "".join(f"netns delete {name}\n" for name in names)
            run(["ip", "-force", "-batch", "-"], stdin=lines, timeout=_REMOVAL, check=False)
    shutil.rmtree(folder() / lab_id, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder().rmdir()
    inotify_limit.release()


def _end_processes(namespaces: list[str]) -> None:
    deadline, fewest = time.monotonic() + _NO_PROGRESS, float("inf")
    pause = Event()
    # The first process of a machine takes all others of its process namespace with it.
    while remaining := [p for p in netns.processes_in(namespaces) if netns.start_time(p)]:
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if len(remaining) < fewest:
            # Interfaces of userspace WireGuard go with their processes, one after the other.
            deadline, fewest = time.monotonic() + _NO_PROGRESS, len(remaining)
        if time.monotonic() > deadline:
            raise TransientFailure(f"processes {remaining} of the lab do not end", "try again")
        pause.wait(0.01)
