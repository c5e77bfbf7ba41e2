"""What installed programs say of themselves, asked once for each file that they were."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from uno.host.command import run


def version(program: Path) -> str:
    """Return what `program --version` prints. Raises `UnoError` where it cannot be run.

    It is asked again when the file has changed: packages are updated while an agent runs.
    """
    try:
        there = program.stat()
    except OSError:
        return _said(program, (0, 0))
    return _said(program, (there.st_mtime_ns, there.st_size))


@lru_cache(maxsize=8)
def _said(program: Path, _file: tuple[int, int]) -> str:
    return run([str(program), "--version"], check=False).stdout
