"""Versions of installed programs, each program run once per version of its file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from uno.host.command import run


def version(program: Path) -> str:
    """Return what `program --version` prints. Raises `UnoError` where it cannot be run.

    The program runs again when its file has changed: packages are updated while an agent runs.
    """
    try:
        there = program.stat()
    except OSError:
        return _printed(program, (0, 0))
    return _printed(program, (there.st_mtime_ns, there.st_size))


@lru_cache(maxsize=8)
def _printed(program: Path, _file: tuple[int, int]) -> str:
    return run([str(program), "--version"], check=False).stdout
