"""Network namespaces by name: entering one from a thread, and the processes in it."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = Path("/run/netns")
# linux/sched.h; os.setns and os.CLONE_NEWNET are there from Python 3.12 on only.
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Have this thread, and no other, in a named namespace for a while.

    Sockets stay in the namespace that they were made in, and /proc/sys/net is that of the thread
    that opens it. Raises OSError.
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(NAMES / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(own)
    finally:
        os.close(own)


def socket_in(namespace: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """Make a socket in a namespace, for use from anywhere in this process; it does not block."""
    with entered(namespace):
        made = socket.socket(family, kind, protocol)
    made.settimeout(0)
    return made


def set_sysctls(namespace: str, values: Iterable[tuple[str, str]]) -> None:
    """Set network sysctls, by their path below /proc/sys/net. Raises OSError."""
    with entered(namespace):
        for name, value in values:
            Path("/proc/sys/net", name).write_text(value)


def processes_in(namespaces: Iterable[str]) -> tuple[int, ...]:
    """The ids of all processes whose main thread is in one of the namespaces; never in our own."""
    own = _identity(Path("/proc/self/ns/net"))
    wanted = {_identity(NAMES / name) for name in namespaces} - {own, None}
    if not wanted:
        return ()
    return tuple(
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _identity(entry / "ns/net") in wanted
    )


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its id, it names it for good.

    None if there is none, or only its zombie (proc(5), /proc/pid/stat).
    """
    try:
        # The command's name stands in parentheses and may hold anything, parentheses too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _identity(path: Path) -> tuple[int, int] | None:
    # A name that is half made or half deleted is an ordinary file: it equals no process's.
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a network namespace: {os.strerror(number)}")
