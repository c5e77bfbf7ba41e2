"""Run a command whose whole effect is one edit of the registry."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.cli.input.options import Changing
    from uno.registry.changes.operations import Edit


def run(
    common: Changing, edit: Edit, *, done: str, relayout: bool = False, notes: Sequence[str] = ()
) -> None:
    """Apply `edit`, or rehearse it with `--dry-run`, and report; `done` is the report's title."""
    from uno.cli.input import registry_change
    from uno.cli.output import change_report

    made = registry_change.make(common, edit, relayout=relayout)
    change_report.print_change(common, done, made, notes=notes)
