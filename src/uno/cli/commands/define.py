"""Commands: `uno define uvn|cell|particle|user`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from uno.cli.input.options import (
    AskingChange,
    CellOptions,
    Changing,
    DeploymentOptions,
    ParticleOptions,
    PasswordOptions,
    PrintOptions,
    UvnOptions,
    takes_groups,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name: a-z, 0-9 and -.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUvnOptions(PrintOptions):
    """What a UVN is defined from, and how to print it."""

    spec: Annotated[
        str | None,
        typer.Option("-s", "--spec", metavar="YAML", help="The definition: a file, YAML or JSON."),
    ] = None


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(help="Define a UVN, or add to it.", no_args_is_help=True)
    for command in (uvn, cell, particle, user):
        group.command(command.__name__)(takes_groups(command))
    app.add_typer(group, name="define")


def uvn(
    name: Name,
    options: UvnOptions,
    password: PasswordOptions,
    deployment: DeploymentOptions,
    how: NewUvnOptions,
    common: Changing,
) -> None:
    """Define a UVN: create its registry in an empty directory."""
    from uno.cli.commands import change_command
    from uno.cli.input import definition_input, passphrase_source, registry_change
    from uno.cli.output import change_report, definition_view, printing, show_views
    from uno.registry.changes import operations

    common.start()
    edited, notes = definition_input.read(
        name, how.spec, options=options, password=password, deployment=deployment
    )
    for note in notes:
        printing.message(common, note)
    if how.query is not None:
        definition_view.query(definition_view.whole(edited.uvn), how.query)
    made = operations.define_uvn(
        common.root,
        edited,
        by=registry_change.author(common),
        why=registry_change.reason(common),
        dry_run=common.dry_run,
        passphrase=passphrase_source.for_new_registry(common.passphrase_file),
    )
    if how.print or how.query is not None:
        change_command.show(common, made, how, made.after.uvn)
        return
    notes = ()
    if not common.dry_run:
        with operations.opened(common.root) as registry:
            notes = (f"registry key: {show_views.registry_fingerprint(registry)}",)
    change_report.print_change(
        common, f"Defined UVN {name}.", made, notes=() if common.dry_run else notes
    )


def cell(name: Name, options: CellOptions, how: PrintOptions, common: AskingChange) -> None:
    """Add a cell: a gateway that attaches LANs, or routes only."""
    from uno.cli.commands import change_command
    from uno.cli.input import definition_input, setting_options
    from uno.cli.output import list_views
    from uno.registry.changes import edits

    common.start()
    wanted = edits.NewCell(
        name=name,
        owner=options.owner,
        address=options.address,
        networks=tuple(options.networks or ()),
        links=tuple(options.links or ()),
        settings=setting_options.of_cell(options),
    )
    new = definition_input.confirm_owner(common, options.owner)
    change_command.run_and_show(
        common,
        lambda it: edits.add_cell(it, wanted, new_owners=new),
        done=f"Defined cell {name}.",
        how=how,
        find=lambda it: list_views.cell(it, name),
    )


def particle(name: Name, options: ParticleOptions, how: PrintOptions, common: AskingChange) -> None:
    """Add a particle: a phone or laptop with a WireGuard app."""
    from uno.cli.commands import change_command
    from uno.cli.input import definition_input, setting_options
    from uno.cli.output import list_views
    from uno.registry.changes import edits

    common.start()
    settings = setting_options.of_particle(options)
    new = definition_input.confirm_owner(common, options.owner)
    change_command.run_and_show(
        common,
        lambda it: edits.add_particle(it, name, options.owner, new_owners=new, settings=settings),
        done=f"Defined particle {name}.",
        how=how,
        find=lambda it: list_views.particle(it, name),
    )


def user(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address.")],
    password: PasswordOptions,
    how: PrintOptions,
    common: Changing,
    name: Annotated[str | None, typer.Option("-n", "--name", help="The user's name.")] = None,
) -> None:
    """Add a user, who can own cells and view the status page."""
    from uno.cli.commands import change_command
    from uno.cli.input import definition_input
    from uno.cli.output import list_views
    from uno.model.syntax import Mailbox
    from uno.registry.changes import edits
    from uno.registry.store import password_hashes

    common.start()
    someone = Mailbox(email=email, name=name)
    definition_input.refuse_new_user(common, email)
    hashed = password_hashes.hashed(definition_input.password_of(password, whose=email))
    change_command.run_and_show(
        common,
        lambda it: edits.add_user(it, someone, password=hashed),
        done=f"Defined user {email}.",
        how=how,
        find=lambda it: list_views.user(it, email),
    )
