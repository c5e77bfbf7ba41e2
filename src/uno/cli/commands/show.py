"""Read-only commands: `uno list` and `uno show`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input import completion
from uno.cli.input.options import Common, JsonOption, takes_groups

if TYPE_CHECKING:
    from uno.registry.store.generation_store import Generation

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.names)]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    groups: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
        "list": ("List cells, particles, links, users, keys or generations.", _LIST),
        "show": ("Show one object: its definition and its plan.", _SHOW),
    }
    for name, (about, commands) in groups.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for verb, command in commands.items():
            group.command(verb)(takes_groups(command))
        app.add_typer(group, name=name)


def list_users(output: JsonOption, common: Common) -> None:
    """List the users, and what each owns."""
    from uno.cli.output import list_views

    list_views.print_listing(list_views.users(_head(common)), output, empty="There are no users.")


def list_cells(output: JsonOption, common: Common) -> None:
    """List the cells."""
    from uno.cli.output import list_views

    hint = "There are no cells. Define one with: uno define cell NAME"
    list_views.print_listing(list_views.cells(_head(common)), output, empty=hint)


def list_particles(output: JsonOption, common: Common) -> None:
    """List the particles."""
    from uno.cli.output import list_views

    hint = "There are no particles. Define one with: uno define particle NAME"
    list_views.print_listing(list_views.particles(_head(common)), output, empty=hint)


def list_links(output: JsonOption, common: Common) -> None:
    """List the links of the backbone."""
    from uno.cli.output import list_views

    list_views.print_listing(list_views.links(_head(common)), output, empty="There are no links.")


def list_keys(output: JsonOption, common: Common) -> None:
    """List the registry's keys by fingerprint."""
    from uno.cli.output import list_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        head, found = registry.store.head(), registry.store.secret_table.public()
    list_views.print_listing(list_views.secrets(head, found), output, empty="There are no keys.")


def list_generations(output: JsonOption, common: Common) -> None:
    """List the generations, newest first, as `uno history` does."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_history(registry, output, None)


def show_uvn(output: JsonOption, common: Common) -> None:
    """Show a summary of the UVN, with its registry key."""
    from uno.cli.output import show_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        show_views.show_uvn(registry, output)


def show_cell(
    name: Name,
    output: JsonOption,
    common: Common,
    *,
    metrics_token: Annotated[
        bool, typer.Option("--metrics-token", help="The bearer token of its /metrics, and no more.")
    ] = False,
) -> None:
    """Show a cell: its addresses, forwarded ports and links."""
    from uno.cli.output import show_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        if metrics_token:
            show_views.show_metrics_token(registry, name)
        else:
            show_views.show_cell(registry, name, output)


def show_particle(
    name: Name,
    output: JsonOption,
    common: Common,
    *,
    qr: Annotated[
        bool, typer.Option("--qr", help="QR codes for the WireGuard app; they hold its keys.")
    ] = False,
    cell: Annotated[
        str | None, typer.Option("-c", "--cell", help="With --qr: for this cell only.")
    ] = None,
) -> None:
    """Show a particle: its addresses, cells and package."""
    from uno.cli.output import show_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        if qr:
            show_views.show_codes(registry, name, cell)
        else:
            show_views.show_particle(registry, name, output)


def show_user(
    email: Annotated[str, typer.Argument(metavar="EMAIL", autocompletion=completion.names)],
    output: JsonOption,
    common: Common,
) -> None:
    """Show a user, and what they own."""
    from uno.cli.output import show_views

    show_views.show_user(_head(common), email, output)


def show_link(
    one: Annotated[str, typer.Argument(metavar="CELL")],
    other: Annotated[str, typer.Argument(metavar="CELL")],
    output: JsonOption,
    common: Common,
) -> None:
    """Show the link between two cells: interfaces, addresses, ports."""
    from uno.cli.output import show_views

    show_views.show_link(_head(common), (one, other), output)


def show_generation(
    number: Annotated[int, typer.Argument(metavar="N")], output: JsonOption, common: Common
) -> None:
    """Show one generation, and what it changed."""
    from uno.cli.output import generation_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        generation_views.show_generation(registry, output, number)


def show_plan(output: JsonOption, common: Common) -> None:
    """Show the plan: addresses, ports and links of every cell."""
    from uno.cli.output import show_views

    show_views.show_plan(_head(common), output)


def show_ca(output: JsonOption, common: Common) -> None:
    """Show the certificate that browsers have to trust.

    Import it into the browser or the phone, as an authority. It is good for private addresses and
    names below UVN.internal alone. Save it with: uno show ca > UVN.pem
    """
    from uno.cli.output import show_views
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        show_views.show_ca(registry, output, common)


def show_backbone(output: JsonOption, common: Common) -> None:
    """Show the map of the backbone."""
    from uno.cli.output import show_views

    show_views.show_backbone(_head(common), output)


def _head(common: Common) -> Generation:
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        return registry.store.head()


_LIST: dict[str, Callable[..., None]] = {
    "users": list_users,
    "cells": list_cells,
    "particles": list_particles,
    "links": list_links,
    "keys": list_keys,
    "generations": list_generations,
}
_SHOW: dict[str, Callable[..., None]] = {
    "uvn": show_uvn,
    "cell": show_cell,
    "particle": show_particle,
    "user": show_user,
    "link": show_link,
    "generation": show_generation,
    "plan": show_plan,
    "backbone": show_backbone,
    "ca": show_ca,
}
