"""Run a command whose whole effect is one edit of the registry."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from dataclasses import replace  # noqa: TID251 - of a dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from msgspec import Struct

    from uno.cli.input.options import Changing, PrintOptions
    from uno.model.uvn import Uvn
    from uno.registry.changes.operations import Change, Edit


def run(
    common: Changing, edit: Edit, *, done: str, relayout: bool = False, notes: Sequence[str] = ()
) -> None:
    """Apply `edit`, or rehearse it with `--dry-run`, and report; `done` is the report's title."""
    from uno.cli.input import registry_change
    from uno.cli.output import change_report

    made = registry_change.make(common, edit, relayout=relayout)
    change_report.print_change(common, done, made, notes=notes)


def run_and_show(
    common: Changing,
    edit: Edit,
    *,
    done: str,
    how: PrintOptions,
    find: Callable[[Uvn], Struct],
) -> None:
    """Run an edit as `run` does; with `-P` or `-Q` print what `find` finds instead of a report."""
    from uno.cli.input import registry_change
    from uno.cli.output import change_report

    check_query(common, edit, how, find)
    made = registry_change.make(common, edit)
    if how.print or how.query is not None:
        show(common, made, how, find(made.after.uvn))
    else:
        change_report.print_change(common, done, made)


def check_query(
    common: Changing, edit: Edit, how: PrintOptions, find: Callable[[Uvn], Struct]
) -> None:
    """Raise `Rejected` if there is nothing that `-Q` names after `edit`, before that is made."""
    from uno.cli.input import registry_change
    from uno.cli.output import definition_view

    if how.query is not None:
        after = registry_change.make(replace(common, dry_run=True), edit).after.uvn
        definition_view.query(definition_view.whole(find(after)), how.query)


def show(common: Changing, made: Change, how: PrintOptions, value: Struct) -> None:
    """Print a part of the definition after a change, and the warnings about the change."""
    from uno.cli.output import definition_view, printing

    for warning in made.warnings:
        printing.message(common, f"warning: {warning}")
    definition_view.show(value, how)
