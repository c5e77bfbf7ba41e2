"""For how long nobody is notified of what is wrong with a cell: a file in its directory.

It holds the time on the host's own clock at which notifications resume, so that a restart of the
host ends nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from uno import files
from uno.diagnostics import UnoError
from uno.model import codec

LONGEST: Final = 14 * 86_400
"""The most seconds: what was forgotten ends by itself."""

_FILE: Final = "muted.json"
_LIMIT: Final = 1000


class _Muted(Struct, frozen=True, kw_only=True):
    until: int


def muted_until(directory: Path, *, now: float) -> int | None:
    """Return the second at which notifications of the cell in `directory` resume.

    None if it is not muted. `now` is the clock of the host; a time that is too far away was set by
    another clock, and does not count.
    """
    try:
        until = codec.decode(files.read(directory / _FILE, limit=_LIMIT), _Muted).until
    except (UnoError, codec.MalformedJson):
        return None
    return until if now < until <= now + LONGEST else None


def mute(directory: Path, *, until: int) -> None:
    """Have nobody notified of the cell in `directory` until then. Raises `UnoError`."""
    files.write_atomic(directory / _FILE, codec.encode(_Muted(until=until)))


def unmute(directory: Path) -> None:
    """Have people notified of the cell in `directory` again. Raises `UnoError`."""
    files.remove(directory / _FILE)
