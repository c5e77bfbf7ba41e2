"""What commands print: results on standard output, messages on standard error.

Coloured on a terminal, plain in a pipe, 80 columns at most.
"""

# ruff: noqa: PLC0415 - rich is imported where it is used: most commands print without it

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from uno.model import codec

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, RenderableType

    from uno.cli.options import Common
    from uno.registry.changes.operations import Change

WIDTH = 80
# So many lines of a change fit on a screen; -v shows them all.
_LINES = 40
# So many things that a failure costs, until `uno verify` names the others.
_LOST = 5
# So many file names fit on a line or two.
_NAMES = 4
_STYLES = {"+": "green", "-": "red", "~": "yellow"}


def say(common: Common, message: str) -> None:
    """Print a message for the person at the terminal, unless they want quiet."""
    if common.verbosity >= 0:
        print(f"uno: {message}", file=sys.stderr)


def result(text: str) -> None:
    """Print `text` as it is."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def json(value: object) -> None:
    """Print a value as JSON, indented."""
    sys.stdout.write(codec.encode_pretty(value).decode())


def change(common: Common, done: str, made: Change, *, notes: Sequence[str] = ()) -> None:
    """Print what a change did to definition, plan and files, `notes` on it, and what comes next."""
    for warning in made.warnings:
        say(common, f"warning: {warning}")
    if common.verbosity < 0:
        return
    out = console()
    if not made.is_made:
        out.print(f"Nothing to change: generation {made.after.number} is already so.")
        return
    before = f"{made.before} → " if made.before else ""
    title = "A rehearsal: nothing was changed." if made.is_rehearsal else done
    out.print(title, style="bold", markup=False)
    out.print(f"generation {before}{made.after.number}")
    _diff(out, made.lines or _declared(made), everything=common.verbosity > 0)
    _assured(out, made, everything=common.verbosity > 0)
    for line in (*_files(common, made), *notes):
        out.print(_wrapped(line), markup=False)
    if following := _next(made):
        out.print(_wrapped(following), style="dim", markup=False)


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


def changed(lines: Iterable[str]) -> None:
    """Print lines of a difference, those that come, go and change each in a colour."""
    out = console()
    for line in lines:
        _print_change(out, line)


def heading(text: str) -> None:
    """Print a heading with an empty line above it."""
    console().print(f"\n{text}", style="bold", markup=False)


def console() -> Console:
    """Return where to print, as wide as the terminal but not wider than 80 columns."""
    from rich.console import Console

    out = Console(highlight=False, soft_wrap=False)
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
    # Rows are filled up with spaces, which help nobody in a file.
    result("\n".join(line.rstrip() for line in captured.get().splitlines()))


def count(number: int, noun: str) -> str:
    """Return `1 cell`, `2 cells`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _wrapped(line: str, *, indent: int = 2) -> str:
    # Names, paths and commands stay whole, so that they can be copied.
    return textwrap.fill(
        line,
        WIDTH,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _cell(value: Any) -> Any:
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if isinstance(value, list | tuple):
        return Text("\n".join(map(str, value)) if value else "–")
    return Text("–" if value is None else str(value))


def _diff(out: Console, lines: Sequence[str], *, everything: bool) -> None:
    shown = lines if everything else lines[:_LINES]
    for line in shown:
        _print_change(out, line)
    if len(shown) < len(lines):
        out.print(f"… and {len(lines) - len(shown):,} more lines; -v shows them", style="dim")


def _declared(made: Change) -> tuple[str, ...]:
    """Return what was declared otherwise, for a change that no cell learns of."""
    from uno.registry.changes import history

    return (
        history.lines(history.differences(made.parent.uvn, made.after.uvn)) if made.parent else ()
    )


def _print_change(out: Console, line: str) -> None:
    out.print(_wrapped(line, indent=4), style=_STYLES.get(line[:1], ""), markup=False)


def _assured(out: Console, made: Change, *, everything: bool) -> None:
    """Print what failures would cost, where a change is one of cells or links."""
    # Here, since most commands print no change.
    from uno.planning.survivability import report

    plan = made.after.plan
    before = made.parent.plan if made.parent else None
    if len(plan.cells) < 2 or (before and (before.cells, before.links) == (plan.cells, plan.links)):
        return
    found = report.verify(made.after.uvn, plan)
    assured(out, report.lines(found, plan, limit=None if everything else _LOST))


def assured(out: Console, lines: Sequence[str]) -> None:
    """Print what failures would cost: what is lost stands out, what would help less so."""
    for at, line in enumerate(lines):
        style = "bold red" if line.startswith("!") else "green" if len(lines) == 1 else ""
        style = "cyan" if at and not line.startswith("!") else style
        out.print(_wrapped(line), style=style, markup=False)


def _files(common: Common, made: Change) -> list[str]:
    done, root = made.published, common.root
    lines = []
    if done.bundles:
        lines.append(_written("bundle", done.bundles, root / "cells", made))
    if done.packages:
        lines.append(_written("particle package", done.packages, root / "particles", made))
    if done.removed:
        verb = "would remove" if made.is_rehearsal else "removed"
        lines.append(f"{verb} what no longer holds: {_some(done.removed)}")
    if done.stale:
        lines.append(f"{count(done.stale, 'particle package')} to be made: run uno packages")
    if not made.lines and not done.bundles:
        lines.append("no cell is affected")
    return lines


def _written(noun: str, names: Sequence[str], place: Path, made: Change) -> str:
    verb = "would be written" if made.is_rehearsal else "written"
    return f"{count(len(names), noun)} {verb} to {place}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES]) + (
        f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    )


def _next(made: Change) -> str:
    plan = made.after.plan
    if made.is_rehearsal:
        return ""
    if not plan.cells:
        return "next: uno define cell NAME -a ADDRESS -N LAN"
    if not made.published.bundles:
        return ""
    by_hand = "copy each bundle to its host and run there: uno install BUNDLE -r DIR"
    if plan.root is None or made.before == 0:
        return f"next: {by_hand}"
    return f"next: uno sync; or for cells without an agent, {by_hand}"
