"""The machine's limit of inotify instances, raised while there are labs that need more of them.

Each wireguard-go takes one of the instances that its user may have
(/proc/sys/fs/inotify/max_user_instances in inotify(7); 128 by default). The limit is the whole
machine's. The record of it, which outlives every process, has the limit from before the first lab
and the needs of each lab. It is written before the limit is raised; when its last lab is gone, the
removal of any lab restores the limit.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from uno import files
from uno.diagnostics import ActionNeeded
from uno.lab.world_layout import Role, WorldLayout
from uno.model import codec

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
# In /run, as the limit: both are gone after a reboot.
RECORD = Path("/run/uno-lab-inotify.json")
# What is set at least.
_RAISED = 8192


class LimitRecord(Struct, frozen=True, kw_only=True):
    """The limit `before` labs raised it to `raised`, and the instances that each lab needs.

    `labs` has the labs by their directories. Both limits are the same while none was raised.
    """

    before: int
    raised: int
    labs: dict[str, int]


def instances(layout: WorldLayout) -> int:
    """Return how many instances the world takes at most: with links between all cells."""
    cells = len(layout.having(Role.CELL))
    # Beside its links a cell has the root VPN and the particle VPN; the registry has the root VPN.
    return cells * (cells + 1) + len(layout.having(Role.PARTICLE)) + 1


def reserve(directory: Path, count: int) -> bool:
    """Let the lab of a directory have `count` instances; return whether that raised the limit.

    Half of the limit is left to others. Raises `UnoError` where the limit cannot be raised.
    """
    with _locked():
        limit = _limit()
        record = with_lab(_record(), str(directory), count, limit=limit)
        _save(record)
        if record.raised == limit:
            return False
        try:
            LIMIT.write_text(f"{record.raised}")
        except OSError as error:
            raise ActionNeeded(
                f"this lab may need {count} inotify instances, and "
                f"fs.inotify.max_user_instances is {limit} and cannot be raised: {error.strerror}",
                f"set it outside of this container: `sysctl -w "
                f"fs.inotify.max_user_instances={record.raised}`",
            ) from error
        return True


def release() -> None:
    """Drop the needs of labs that are gone, and restore the limit after the last of them.

    A limit that was set otherwise since is left as it is. Raises `UnoError`.
    """
    if not RECORD.exists():
        return
    with _locked():
        record = _record()
        if record is None:
            return
        left = {lab: count for lab, count in record.labs.items() if Path(lab).is_dir()}
        if left:
            _save(replace(record, labs=left))
            return
        try:
            if record.raised != record.before and _limit() == record.raised:
                LIMIT.write_text(f"{record.before}")
        except OSError as error:
            raise files.failure(error, f"cannot restore {LIMIT} to {record.before}") from error
        RECORD.unlink()


def with_lab(record: LimitRecord | None, lab: str, count: int, *, limit: int) -> LimitRecord:
    """Return the record with one lab more, and the limit to be set; `limit` is the present one."""
    if record is None or record.raised != limit:
        # Without labs, or set by others since: theirs is what is restored.
        record = LimitRecord(before=limit, raised=limit, labs=record.labs if record else {})
    labs = {**record.labs, lab: count}
    needed = 2 * sum(labs.values())
    raised = limit if needed <= limit else max(_RAISED, needed)
    return replace(record, raised=raised, labs=labs)


def _limit() -> int:
    return int(LIMIT.read_text())


@contextmanager
def _locked() -> Iterator[None]:
    """Wait until no other process changes the limit or its record, and keep them waiting."""
    # One descriptor, whose lock this process can take twice (flock(2)): a signal's exception may
    # have come before the block, and the removal of the lab, which follows, needs the lock again.
    descriptor = _descriptor(LIMIT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@cache
def _descriptor(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _record() -> LimitRecord | None:
    """Return the record; None if there is none. One that cannot be read counts as none."""
    try:
        return codec.decode(RECORD.read_bytes(), LimitRecord)
    except (FileNotFoundError, codec.MalformedJson):
        return None


def _save(record: LimitRecord) -> None:
    scratch = RECORD.with_suffix(".new")
    scratch.write_bytes(codec.encode(record))
    scratch.replace(RECORD)
