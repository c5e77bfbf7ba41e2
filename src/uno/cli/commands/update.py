"""Command: `uno update`, which brings a cell's host to a newer package."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uno.cli.commands import install, service_up_down
from uno.cli.commands.service_up_down import Root
from uno.cli.input.log_options import LogOptions, Quiet, Verbose
from uno.cli.input.options import Answers, takes_answers
from uno.diagnostics import InvalidInput


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("update")(takes_answers(update))


def update(
    package: Annotated[
        Path | None,
        typer.Option("-p", "--package", help="The newer package, copied from the registry."),
    ] = None,
    root: Root = Path(),
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Install a cell's newer package on this host, and apply it.

    As `uno install`, and then `uno service up`. Without -p it applies the package that is
    installed. A running agent puts a newer package on trial instead, and exit status 2 is that it
    rolls back.
    """
    LogOptions(verbose=verbose, quiet=quiet).start()
    _require_cell(root)
    if package is not None and install.accept(package, root, trusted=(None, Answers())):
        return
    service_up_down.up(root=root, verbose=verbose, quiet=quiet)


def _require_cell(root: Path) -> None:
    from uno.agent.commit.ledger import Ledger

    if Ledger(root).current() is None:
        raise InvalidInput(
            f"there is no cell to update in {root.absolute()}",
            "install its first package: uno install PACKAGE -r DIR",
        )
