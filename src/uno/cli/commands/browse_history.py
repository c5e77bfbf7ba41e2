"""Commands of the past: `uno history`, `uno log`, `uno diff`, `uno rollback`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input.options import Changing, Common, JsonOption, takes_groups

if TYPE_CHECKING:
    from uno.model.uvn import Uvn
    from uno.registry.changes.edits import Edited

Count = Annotated[
    int | None,
    typer.Option("-n", "--number", metavar="N", min=1, help="Only the newest so many."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for name, command in (
        ("history", list_generations),
        ("log", log),
        ("diff", diff),
        ("rollback", rollback),
    ):
        app.command(name)(takes_groups(command))


def list_generations(output: JsonOption, common: Common, count: Count = None) -> None:
    """List the generations, newest first: when, who, and why."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_history(registry, output, count)


def log(output: JsonOption, common: Common, count: Count = 10) -> None:
    """Tell what every change was, newest first: when, who, why, and what changed."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_log(registry, output, count, everything=common.verbosity > 0)


def diff(
    output: JsonOption,
    common: Common,
    first: Annotated[
        int | None, typer.Argument(metavar="A", help="A generation; else the last but one.")
    ] = None,
    second: Annotated[
        int | None, typer.Argument(metavar="B", help="Another generation; else the newest.")
    ] = None,
) -> None:
    """Show what differs between two generations, as declared and as decided."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_diff(registry, output, first, second)


def rollback(
    number: Annotated[int, typer.Argument(metavar="N", help="The generation to go back to.")],
    common: Changing,
) -> None:
    """Go back to what was declared in generation N: as a new generation.

    What was revoked stays revoked: links, cells and particles that come back get new keys, ids
    given since are not given again, and users keep the passwords that they have.
    """
    from uno.cli.input import registry_change
    from uno.cli.output import change_report, generation_views
    from uno.diagnostics import ActionNeeded
    from uno.registry.changes import history, operations

    common.start()
    with operations.opened(common.root, dry_run=common.dry_run) as registry:
        then = registry.store.generation(number).uvn
        gone = generation_views.removed(registry.store.head().uvn, then)
    if gone:
        common.confirm(f"Remove {gone}?")

    def edit(now: Uvn) -> Edited:
        if generation_views.removed(now, then) != gone:
            raise ActionNeeded(
                "the registry was changed by another command while you were asked",
                "nothing was changed; look at it again with --dry-run",
            )
        return history.rolled_back(now, then)

    made = registry_change.make(common, edit)
    change_report.print_change(common, f"Back at what was declared in generation {number}.", made)
