"""What an agent keeps of root's privileges, and with it all that it starts.

Sources: capabilities(7), prctl(2), capget(2), getrlimit(2), credentials(7).
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Collection, Iterable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

from uno.diagnostics import ActionNeeded


class Capability(IntEnum):
    """A capability, by its number in linux/capability.h."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_SYS_ADMIN = 21
    CAP_SYS_NICE = 23


# Interfaces, routes, filters, kernel parameters; processes that run as other users, and their end.
_OF_BOTH = (
    Capability.CAP_KILL,
    Capability.CAP_NET_ADMIN,
    Capability.CAP_SETGID,
    Capability.CAP_SETUID,
)

OF_REGISTRY = frozenset(_OF_BOTH)
"""What the registry's agent needs."""

OF_CELL = frozenset(
    {
        *_OF_BOTH,
        # Probes, BFD.
        Capability.CAP_NET_RAW,
        # FRR's daemons do not start without these, and make no use of them here
        # (`zprivs_caps_init` in lib/privs.c).
        Capability.CAP_NET_BIND_SERVICE,
        Capability.CAP_SYS_ADMIN,
    }
)
"""What a cell's agent needs, and FRR."""

_OF_FOREIGN_FILES = frozenset({Capability.CAP_CHOWN, Capability.CAP_DAC_OVERRIDE})

NICENESS = -15
"""The least niceness that a program may have without a capability (RLIMIT_NICE)."""

# linux/prctl.h
_CAPBSET_READ, _CAPBSET_DROP, _SET_NO_NEW_PRIVS = 23, 24, 38
# linux/capability.h: _LINUX_CAPABILITY_VERSION_3, of which each set has two words of 32 bits.
_VERSION = 0x20080522
_NUMBERS = range(64)


def needed(capabilities: Iterable[Capability], *, directory: Path) -> frozenset[Capability]:
    """Return what is needed where the agent's directory is `directory`.

    Root needs a capability for files that another user has closed to it.
    """
    found = frozenset(capabilities)
    return found if _is_roots(directory) else found | _OF_FOREIGN_FILES


def restrict(keep: Collection[Capability]) -> None:
    """Give up all other capabilities, and gain none by any program, for good.

    Call it before other threads run. Raises `ActionNeeded`.
    """
    keep = keep if _allow_niceness() else {*keep, Capability.CAP_SYS_NICE}
    libc = ctypes.CDLL(None, use_errno=True)
    for number in _NUMBERS:
        if number not in keep and libc.prctl(_CAPBSET_READ, number, 0, 0, 0) == 1:
            # In a container it may be refused; then the two steps that follow have its effect.
            libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or not _set_capabilities(libc, keep):
        reason = os.strerror(ctypes.get_errno())
        raise ActionNeeded(
            f"cannot give up capabilities: {reason}", "allow prctl(2) and capset(2) in the sandbox"
        )


def _allow_niceness() -> bool:
    """Allow programs NICENESS without a capability; return whether that worked."""
    limit = 20 - NICENESS
    # Refused without CAP_SYS_RESOURCE.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NICE, (limit, limit))
    return resource.getrlimit(resource.RLIMIT_NICE)[0] >= limit


def _set_capabilities(libc: ctypes.CDLL, keep: Iterable[Capability]) -> bool:
    header = struct.pack("=Ii", _VERSION, 0)
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) != 0:
        return False
    mask = sum(1 << number for number in keep)
    words = struct.unpack("=6I", sets.raw)
    kept = [word & (mask >> (32 if index >= 3 else 0)) for index, word in enumerate(words)]
    status: int = libc.capset(header, struct.pack("=6I", *(each & 0xFFFFFFFF for each in kept)))
    return status == 0


def _is_roots(directory: Path) -> bool:
    """Whether root needs no capability for a directory, which may not exist, and what is in it."""
    try:
        place = directory.resolve(strict=True)
        is_entered = all(
            found.st_uid == 0 or found.st_mode & 0o001 for found in map(Path.stat, place.parents)
        )
        # Copied back by another user, files are that user's.
        within = (place, *(each for each in place.iterdir() if each.is_file()))
        return is_entered and all(each.lstat().st_uid == 0 for each in within)
    except OSError:
        return False
