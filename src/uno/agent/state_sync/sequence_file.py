"""Numbers for what a cell says: each is used once, also across restarts and with a wrong clock."""

from __future__ import annotations

import logging
from pathlib import Path

from uno import files
from uno.diagnostics import UnoError

_log = logging.getLogger(__name__)

FILE = "sequence"

# As many are reserved at once, so that a cell at rest writes to its disk a few times a day.
BLOCK = 1000

# A number is 64 bits on the wire; a file that says more than this is none of ours.
_LIMIT = 1 << 62


class Sequence:
    """The numbers of one cell, the highest reserved one in a file of its directory."""

    def __init__(self, directory: Path) -> None:
        """Go on above what an earlier process may have used."""
        self._path = directory / FILE
        self._last = self._reserved = self._read()

    def next(self) -> int:
        """Return a number that is higher than all before."""
        self._last += 1
        if self._last > self._reserved:
            self._reserve()
        return self._last

    def above(self, seen: int) -> None:
        """Go on above `seen`, which others have heard of this cell: what was kept here was lost."""
        self._last = max(self._last, min(seen, _LIMIT))

    def _reserve(self) -> None:
        self._reserved = self._last + BLOCK
        try:
            files.write_atomic(self._path, b"%d\n" % self._reserved)
        except UnoError as error:
            # Others tell us what we used, should this process end before the disk has room again.
            _log.warning("%s", error)

    def _read(self) -> int:
        try:
            found = int(files.read(self._path, limit=100))
        except (UnoError, ValueError):
            return 0
        return found if 0 <= found < _LIMIT else 0
