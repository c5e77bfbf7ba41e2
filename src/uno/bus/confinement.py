"""Takes from this process all rights that it does not need to exchange datagrams.

Sources: credentials(7), capabilities(7), prctl(2), landlock(7), getrlimit(2). What one of them does
not grant another may also refuse: a kernel without landlock or seccomp leaves the rest in force.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import signal
import struct
from collections.abc import Sequence
from contextlib import suppress

from uno.bus.syscall_filter import install_filter
from uno.diagnostics import ActionNeeded

PROCESS_NAME = "uno-bus"
"""The name that the process has in ps(1)."""

USERS = ("uno-bus", "nobody")
"""The user of the process, if its agent runs as root: the first of these that the host has."""

# Bytes of private memory: several of the largest packages at once, and the stacks of threads.
MEMORY = 512 << 20
# DDS has a few sockets and pipes.
DESCRIPTORS = 64
# Bytes of a file: it writes its errors and the middleware's licence to files in memory.
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


def confine(*, parent: int) -> None:
    """Give up all rights for good. Raises `ActionNeeded` if this process remains root.

    The process is killed when the process `parent` ends, which has started it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_NAME, PROCESS_NAME.encode(), 0, 0, 0)
    _limit_resources()
    if os.geteuid() == 0:
        _become_unprivileged(libc)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    # The kernel forgets this at each change of credentials.
    libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit
    os.umask(0o077)
    _forbid_files(libc)
    install_filter(os.uname().machine)


def user(names: Sequence[str] = USERS) -> pwd.struct_passwd:
    """Return the first of these users that the host has. Raises `ActionNeeded`."""
    for name in names:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ActionNeeded(
        "this host has no user without rights for the process of the bus",
        f"make one with: useradd --system --shell /usr/sbin/nologin {names[0]}",
    )


def _limit_resources() -> None:
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
    ):
        _, most = resource.getrlimit(limit)
        bound = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (bound, bound))


def _become_unprivileged(libc: ctypes.CDLL) -> None:
    found = user()
    for capability in _CAPABILITIES:
        # Refused where the agent itself may not do it; without a user's rights it is of no use.
        libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)
    try:
        os.setgroups([])
        os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
        os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
    except OSError as error:
        raise ActionNeeded(
            f"the process of the bus cannot become the user {found.pw_name}: {error.strerror}",
            "let the agent have CAP_SETUID and CAP_SETGID, and that user in its user namespace",
        ) from error
    if 0 in (*os.getresuid(), *os.getresgid()):
        raise ActionNeeded(
            f"the process of the bus is root as the user {found.pw_name}",
            f"give that user another number: id {found.pw_name}",
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
