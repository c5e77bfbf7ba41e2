"""What Cyclone DDS complains about on standard error: caught, and told once of each kind.

Cyclone prints a line for every datagram that it cannot read or send, and has no setting against
it; whoever can reach its port could fill a disk with them. It remembers C's `stderr` when a domain
is made: for that moment it is a pipe that nobody has to empty, and what does not fit is lost.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Seconds since the epoch, and the thread's number or name.
_STAMP = re.compile(r"^[\d.]+ \[\d+\]\s*\S*:\s*")
_KIND = re.compile(r"[a-z_]{3,}")
_WORDS_OF_A_KIND = 4
_MOST_KINDS = 20


@contextmanager
def caught() -> Iterator[None]:
    """Have domains that are made in the block complain here, where the C library allows it."""
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    stderr = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
    before, stderr.value = stderr.value, _pipe()[1]
    try:
        yield
    finally:
        stderr.value = before


class Complaints:
    """What was not heard before. For one bus."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self._kinds: set[tuple[str, ...]] = set()

    def new(self) -> list[str]:
        """Return one line of each kind that was not returned before, and drop all others."""
        found: list[str] = []
        for line in _lines():
            text = _STAMP.sub("", line)
            kind = tuple(_KIND.findall(text)[:_WORDS_OF_A_KIND])
            if kind and kind not in self._kinds and len(self._kinds) < _MOST_KINDS:
                self._kinds.add(kind)
                found.append(text[:200])
        return found


@cache
def _pipe() -> tuple[int, int]:
    """Return where to read, and the C stream that writes. Both are there for the process's life."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fdopen.restype = ctypes.c_void_p
    stream = libc.fdopen(writing, b"w")
    if stream is None:
        raise OSError(ctypes.get_errno(), "fdopen")
    libc.setbuf(ctypes.c_void_p(stream), None)
    return reading, stream


def _lines() -> list[str]:
    if not _pipe.cache_info().currsize:
        return []
    try:
        content = os.read(_pipe()[0], 1 << 20)
    except BlockingIOError:
        return []
    return content.decode(errors="replace").splitlines()
