"""Commands of the past: `uno history`, `uno log`, `uno diff`, `uno rollback`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input.options import AskingChange, Common, JsonOption, takes_groups

if TYPE_CHECKING:
    from uno.model.uvn import Uvn
    from uno.registry.changes.edits import Edited

Count = Annotated[
    int | None,
    typer.Option("-n", "--number", metavar="N", min=1, help="Only the newest N."),
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
    """List the generations, newest first: time, author and reason."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_history(registry, output, count)


def log(output: JsonOption, common: Common, count: Count = 10) -> None:
    """List every change, newest first, with what it changed."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_log(registry, output, count, everything=common.verbosity > 0)


def diff(
    output: JsonOption,
    common: Common,
    first: Annotated[
        int | None, typer.Argument(metavar="A", help="A generation; default: the last but one.")
    ] = None,
    second: Annotated[
        int | None, typer.Argument(metavar="B", help="Another generation; default: the newest.")
    ] = None,
) -> None:
    """Show the differences between two generations."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_diff(registry, output, first, second)


def rollback(
    number: Annotated[int, typer.Argument(metavar="N", help="The generation to restore.")],
    common: AskingChange,
) -> None:
    """Restore the definition of generation N, as a new generation.

    Who is banned stays banned, also who was deleted after that. Old keys never work again: links,
    cells and particles that come back get new ones. Ids are not reused, and users keep their
    current passwords.
    """
    from uno.cli.input import registry_change
    from uno.cli.output import change_report, generation_views
    from uno.diagnostics import ActionNeeded
    from uno.registry.changes import history, operations

    common.start()
    with operations.opened(common.root, dry_run=common.dry_run) as registry:
        store = registry.store
        then, newest = store.generation(number).uvn, store.head()
        gone = generation_views.removed(newest.uvn, then)
        earlier = (store.generation(entry.number).uvn for entry in reversed(store.history()))
        banned = history.bans(earlier, then)
    if gone:
        common.confirm(f"Remove {gone}?")

    def edit(now: Uvn) -> Edited:
        if now != newest.uvn:
            raise ActionNeeded(
                "another command changed the registry while you answered",
                "nothing was changed; check again with --dry-run",
            )
        return history.rolled_back(now, then, banned)

    made = registry_change.make(common, edit)
    change_report.print_change(common, f"Restored the definition of generation {number}.", made)
