"""Installed programs: those that are required, and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from uno.diagnostics import ActionNeeded
from uno.host.command import PACKAGES, find, run

REQUIRED = ("ip", "nft", "wg")
"""What every node of a UVN runs; a cell runs FRR too."""


def require(names: Iterable[str]) -> None:
    """Raise `UnoError` that names all of these programs that are missing, and their packages."""
    missing = lacking(names)
    if not missing:
        return
    packages = sorted({PACKAGES[Path(name).name] for name in missing})
    raise ActionNeeded(
        f"this host has no {', '.join(missing)}",
        f"install with `apt-get install --no-install-recommends {' '.join(packages)}`,"
        " or what your distribution calls these packages",
    )


def lacking(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of these programs that are not installed."""
    return tuple(name for name in names if find(name) is None)


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
