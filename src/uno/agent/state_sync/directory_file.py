"""The registry's last statement of its public facts, in a file of a cell's directory.

A cell that starts without the registry shows what it had, and floods it to cells that have less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno import files
from uno.diagnostics import UnoError
from uno.model import codec
from uno.model.codec import MalformedJson
from uno.model.messages import Envelope
from uno.model.network_directory import MAX_SIZE

if TYPE_CHECKING:
    from pathlib import Path

FILE = "directory.json"

# An envelope has its body in base64.
_LIMIT = 4 * MAX_SIZE


class DirectoryFile:
    """The file in the directory of a cell. The statement in it is not verified."""

    def __init__(self, directory: Path) -> None:
        """Read nothing yet."""
        self._path = directory / FILE
        self._kept: Envelope | None = None

    def read(self) -> tuple[Envelope, ...]:
        """Return the statement that was kept last; nothing if it is missing or malformed."""
        try:
            self._kept = codec.decode(files.read(self._path, limit=_LIMIT), Envelope)
        except (UnoError, MalformedJson):
            return ()
        return (self._kept,)

    def keep(self, statement: Envelope | None) -> None:
        """Write a statement if it is another than before. Raises `UnoError`."""
        if statement is None or _same(statement, self._kept):
            return
        files.write_atomic(self._path, codec.encode(statement))
        self._kept = statement


def _same(one: Envelope, other: Envelope | None) -> bool:
    return other is not None and (one.sequence, one.signature) == (other.sequence, other.signature)
