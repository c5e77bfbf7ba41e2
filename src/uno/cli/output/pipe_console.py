"""Where commands print, with rich."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class PipeConsole(Console):
    """A console whose reader may close the pipe: the command has done what it was to do."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise `BrokenPipeError`, with which `main` exits 0; rich itself exits 1."""
        raise BrokenPipeError
