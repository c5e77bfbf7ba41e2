"""The highest sequence number that a cell has reserved, in a file of its directory."""

from __future__ import annotations

import logging
from pathlib import Path

from uno import files
from uno.diagnostics import UnoError
from uno.statesync.sequence import LIMIT

_log = logging.getLogger(__name__)

FILE = "sequence"


class SequenceFile:
    """The file that keeps sequence numbers unique across restarts."""

    def __init__(self, directory: Path) -> None:
        """Use the file in the directory of a cell. `problem` is why it cannot be written."""
        self.problem = ""
        self._path = directory / FILE

    def read(self) -> int:
        """Return the highest reserved number, 0 if the file is missing or malformed.

        After 0 the cell takes its last number from what its neighbours have received.
        """
        try:
            found = int(files.read(self._path, limit=100))
        except (UnoError, ValueError):
            return 0
        return found if 0 <= found < LIMIT else 0

    def write(self, through: int) -> None:
        """Record that all numbers up to `through` are reserved.

        A full disk is only reported: after a restart the neighbours' copies give the last number.
        """
        try:
            files.write_atomic(self._path, b"%d\n" % through)
        except UnoError as error:
            if error.what != self.problem:
                _log.warning("%s", error)
            self.problem = error.what
        else:
            self.problem = ""
