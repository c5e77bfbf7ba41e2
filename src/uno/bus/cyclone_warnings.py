"""Warnings that Cyclone DDS prints to standard error: captured, and reported once per kind.

Cyclone prints a line for every datagram that it cannot parse or send, and no setting prevents it,
so that any host that reaches the port could fill a disk. Cyclone copies C's `stderr` when a domain
is created. At that moment it is a non-blocking pipe; what does not fit into the pipe is dropped.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Seconds since the epoch, and the number or name of the thread.
_STAMP = re.compile(r"^[\d.]+ \[\d+\]\s*\S*:\s*")
_KIND = re.compile(r"[a-z_]{3,}")
_NAMES_OF_A_KIND = 4
_MAX_KINDS = 20


@contextmanager
def captured_stderr() -> Iterator[None]:
    """Capture what domains created in the block print, if the C library is glibc."""
    if not _is_glibc():
        yield
        return
    stderr = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
    before, stderr.value = stderr.value, _pipe()[1]
    try:
        yield
    finally:
        stderr.value = before


class DistinctWarnings:
    """The warnings that are new to one bus."""

    def __init__(self) -> None:
        """Start without warnings."""
        self._kinds: set[tuple[str, ...]] = set()

    def new(self) -> list[str]:
        """Return one captured line of each kind that is new, and drop all others."""
        found: list[str] = []
        for line in _lines():
            text = _STAMP.sub("", line)
            kind = tuple(_KIND.findall(text)[:_NAMES_OF_A_KIND])
            if kind and kind not in self._kinds and len(self._kinds) < _MAX_KINDS:
                self._kinds.add(kind)
                found.append(text[:200])
        return found


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False


@cache
def _pipe() -> tuple[int, int]:
    """Return the reading descriptor and the writing C stream, open until the process ends."""
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
