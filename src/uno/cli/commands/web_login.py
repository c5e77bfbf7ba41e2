"""`uno web login`: opens a cell's page for the owner of the UVN, without a password."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import Annotated

import typer

from uno.cli.input import completion
from uno.cli.input.options import Common, takes_groups


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(help="The web pages of cells.", no_args_is_help=True)
    group.command("login")(takes_groups(login))
    app.add_typer(group, name="web")


def login(
    cell: Annotated[str, typer.Argument(metavar="CELL", autocompletion=completion.names)],
    common: Common,
) -> None:
    """Print an address that opens a cell's page without a password.

    It is for the UVN's owner, good once, for 5 minutes: the registry signs it. Open it from
    anywhere in the UVN, in a browser that trusts the certificate of `uno show ca`.
    """
    from uno.cli.output import printing, show_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        printing.result(show_views.login_address(registry, cell, now=_now()))


def _now() -> float:
    import time

    return time.time()  # noqa: TID251 - a ticket ends at a time of day
