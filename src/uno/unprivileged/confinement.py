"""Takes from this process all rights that it does not need to serve strangers.

Sources: credentials(7), capabilities(7), prctl(2), landlock(7), getrlimit(2). What one of them does
not grant another may also refuse: a kernel without landlock or seccomp leaves the rest in force.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from uno.diagnostics import ActionNeeded
from uno.unprivileged.syscall_filter import install_filter

PASSWD = Path("/etc/passwd")


class Confinement(Struct, frozen=True, kw_only=True):
    """What a kind of process keeps.

    `name` is that of the process in ps(1), and of its user, if its agent runs as root and the host
    has that user; else it is `nobody`. `noun` is what messages call it. `memory` bounds private
    memory, in bytes, and `descriptors` the open files. One that `connects` opens connections to
    others, and files that everybody may read: the names of hosts and the authorities are there.
    """

    name: str
    noun: str
    memory: int
    descriptors: int
    connects: bool = False


BUS = Confinement(
    name="uno-bus",
    noun="the process of the bus",
    # Several of the largest packages at once, and the stacks of threads.
    memory=512 << 20,
    # DDS has a few sockets and pipes.
    descriptors=64,
)
WEB = Confinement(
    name="uno-web",
    noun="the process of the web page",
    # One run of argon2id, and 0.5 MB for each connection.
    memory=768 << 20,
    descriptors=512,
)
COURIER = Confinement(
    name="uno-notify",
    noun="the process that sends notifications",
    memory=256 << 20,
    descriptors=64,
    connects=True,
)

# Bytes of a file: errors, certificates and licences are in files in memory.
FILE_SIZE = 1 << 16

# linux/prctl.h
_PDEATHSIG, _SET_NAME, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 15, 24, 38
_CAPABILITIES = range(64)
# linux/landlock.h; the numbers of its system calls are the same on all machines.
_CREATE_RULESET, _RESTRICT_SELF, _ASK_VERSION = 444, 446, 1
# The rights to files that each version knows, those to TCP ports from version 4 on, and to others'
# abstract sockets and signals from version 6 on.
_FILES = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_ALL_FILES, _TCP, _SCOPES = 0xFFFF, 3, 3


def confine(kind: Confinement, *, parent: int) -> None:
    """Give up all rights for good. Raises `ActionNeeded` if this process remains root.

    The process is killed when the process `parent` ends, which has started it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_NAME, kind.name.encode(), 0, 0, 0)
    _limit_resources(kind)
    if os.geteuid() == 0:
        _become_unprivileged(libc, kind)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    # The kernel forgets this at each change of credentials.
    libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit
    os.umask(0o077)
    os.chdir("/")
    if not kind.connects:
        _forbid_files(libc)
    install_filter(os.uname().machine, streams=kind.connects)


class LocalUser(NamedTuple):
    """A user in passwd(5)."""

    name: str
    uid: int
    gid: int


def user(kind: Confinement, passwd: str) -> LocalUser:
    """Return its own user if the text of passwd(5) has it, else nobody. Raises `ActionNeeded`.

    Other sources of users (nsswitch.conf(5)) may be servers that the host cannot reach without uno.
    """
    rows = [line.split(":") for line in passwd.splitlines()]
    found = {row[0]: row for row in rows if len(row) > 3 and row[2].isdigit() and row[3].isdigit()}
    for name in (kind.name, "nobody"):
        if name in found:
            return LocalUser(name, int(found[name][2]), int(found[name][3]))
    raise ActionNeeded(
        f"this host has no user without rights for {kind.noun}",
        f"make one with: useradd --system --shell /usr/sbin/nologin {kind.name}",
    )


def _limit_resources(kind: Confinement) -> None:
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, kind.descriptors),
        (resource.RLIMIT_DATA, kind.memory),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
    ):
        _, most = resource.getrlimit(limit)
        bound = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (bound, bound))


def _become_unprivileged(libc: ctypes.CDLL, kind: Confinement) -> None:
    found = user(kind, PASSWD.read_text(errors="replace"))
    for capability in _CAPABILITIES:
        # Refused where the agent itself may not do it; without a user's rights it is of no use.
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    try:
        os.setgroups([])
        os.setresgid(found.gid, found.gid, found.gid)
        os.setresuid(found.uid, found.uid, found.uid)
    except OSError as error:
        raise ActionNeeded(
            f"{kind.noun} cannot become the user {found.name}: {error.strerror}",
            "let the agent have CAP_SETUID and CAP_SETGID, and that user in its user namespace",
        ) from error
    if 0 in (*os.getresuid(), *os.getresgid()):
        raise ActionNeeded(
            f"{kind.noun} is root as the user {found.name}",
            f"give that user another number: id {found.name}",
        )


def _forbid_files(libc: ctypes.CDLL) -> None:
    """Open no file any more, and no TCP connection, where the kernel has landlock."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return
    rights = [_FILES.get(version, _ALL_FILES)]
    if version >= 4:
        rights.append(_TCP)
    if version >= 6:
        rights.append(_SCOPES)
    attributes = struct.pack(f"={len(rights)}Q", *rights)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset >= 0:
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
