"""What commands print: results on standard output, messages on standard error.

Coloured on a terminal, plain in a pipe, 80 columns at most.
"""

# ruff: noqa: PLC0415 - rich is imported where it is used: most commands print without it

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from uno.cli.output.wrapping import WIDTH, to_standard_error, wrapped
from uno.model import codec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from uno.cli.input.options import Common

_STYLES = {"+": "green", "-": "red", "~": "yellow"}


def message(common: Common, message: str) -> None:
    """Print a message on standard error, unless the command is quiet."""
    if common.verbosity >= 0:
        to_standard_error(f"uno: {message}")


def result(text: str) -> None:
    """Print `text` as it is."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def json(value: object) -> None:
    """Print a value as JSON, indented."""
    sys.stdout.write(codec.encode_pretty(value).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under headings; numbers to the right, what is too long folded."""
    from rich.table import Table

    filled = list(rows)
    if not filled:
        console().print(empty)
        return
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for at, column in enumerate(columns):
        is_number = all(isinstance(row[at], int | None) for row in filled)
        shown.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in filled:
        shown.add_row(*(_cell(value) for value in row))
    page(shown)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Print pairs of a label and a value, one below the other; those without value are left out."""
    from rich.table import Table

    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(style="dim", no_wrap=True)
    shown.add_column(overflow="fold")
    for label, value in rows:
        if value not in (None, "", ()):
            shown.add_row(label, _cell(value))
    page(shown)


def change_lines(lines: Iterable[str]) -> None:
    """Print lines of a difference, those that come, go and change each in a colour."""
    out = console()
    for line in lines:
        change_line(out, line)


def heading(text: str) -> None:
    """Print a heading with an empty line above it."""
    console().print(f"\n{text}", style="bold", markup=False)


def console() -> Console:
    """Return where to print, as wide as the terminal but not wider than 80 columns."""
    from uno.cli.output.pipe_console import PipeConsole

    out = PipeConsole(highlight=False, soft_wrap=False)
    out.width = min(out.width, WIDTH)
    return out


def page(shown: RenderableType) -> None:
    """Print anything that rich can, in a pipe without the spaces that fill it up."""
    out = console()
    if out.is_terminal:
        out.print(shown)
        return
    with out.capture() as captured:
        out.print(shown)
    # Rows are padded with spaces, which a file does not need.
    result("\n".join(line.rstrip() for line in captured.get().splitlines()))


def count(number: int, noun: str) -> str:
    """Return `1 cell`, `2 cells`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _cell(value: Any) -> Any:
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if isinstance(value, list | tuple):
        return Text("\n".join(map(str, value)) if value else "–")
    return Text("–" if value is None else str(value))


def change_line(out: Console, line: str) -> None:
    """Print one line of a difference, coloured by its sign."""
    out.print(wrapped(line, indent=4), style=_STYLES.get(line[:1], ""), markup=False)
