"""Lines of 80 columns."""

from __future__ import annotations

import sys
import textwrap

WIDTH = 80


def wrapped(line: str, *, indent: int = 2) -> str:
    """Return `line` wrapped at 80 columns, later lines indented."""
    # Names, paths and commands stay whole, so that they can be copied.
    return textwrap.fill(
        line,
        WIDTH,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def to_standard_error(text: str) -> None:
    """Print `text` on standard error: lines wrapped at a terminal, whole in a file or a pipe."""
    is_read_at_once = sys.stderr.isatty()
    for line in text.splitlines():
        print(wrapped(line) if is_read_at_once else line, file=sys.stderr)
