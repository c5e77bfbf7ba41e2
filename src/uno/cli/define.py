"""Commands: `uno define uvn|cell|particle|user`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import Annotated

import typer

from uno.cli.options import (
    CellOptions,
    Common,
    DeploymentOptions,
    OwnerOptions,
    PasswordOptions,
    UvnOptions,
    takes_groups,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name: a-z, 0-9 and -.")]


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
    common: Common,
    spec: Annotated[
        str | None,
        typer.Option("-s", "--spec", metavar="YAML", help="The definition: a file, YAML or JSON."),
    ] = None,
) -> None:
    """Define a UVN: make a registry in an empty directory, and the packages to deploy it."""
    from uno.cli import definition, render, views
    from uno.registry import operations

    common.start()
    edited, notes = definition.read(
        name, spec, options=options, password=password, deployment=deployment
    )
    for note in notes:
        render.say(common, note)
    made = operations.define_uvn(common.root, edited, by=definition.author())
    with operations.opened(common.root) as registry:
        key = views.registry_fingerprint(registry)
    render.change(common, f"Defined UVN {name}.", made, notes=[f"the registry's key is {key}"])


def cell(name: Name, options: CellOptions, common: Common) -> None:
    """Add a cell: a gateway that attaches LANs, or routes only."""
    from uno.cli import definition, render, settings
    from uno.registry import edits, operations

    common.start()
    wanted = edits.NewCell(
        name=name,
        owner=options.owner,
        address=options.address,
        networks=tuple(options.networks or ()),
        links=tuple(options.links or ()),
        settings=settings.of_cell(options),
    )
    new = definition.confirm_owner(common, options.owner)
    with operations.opened(common.root, for_change=True) as registry:
        made = operations.change(
            registry,
            lambda it: edits.add_cell(it, wanted, new_owners=new),
            by=definition.author(),
            why=f"define cell {name}",
        )
    render.change(common, f"Defined cell {name}.", made)


def particle(name: Name, owner: OwnerOptions, common: Common) -> None:
    """Add a particle: a phone or laptop with a WireGuard app."""
    from uno.cli import definition, render
    from uno.registry import edits, operations

    common.start()
    new = definition.confirm_owner(common, owner.owner)
    with operations.opened(common.root, for_change=True) as registry:
        made = operations.change(
            registry,
            lambda it: edits.add_particle(it, name, owner.owner, new_owners=new),
            by=definition.author(),
            why=f"define particle {name}",
        )
    render.change(common, f"Defined particle {name}.", made)


def user(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address.")],
    password: PasswordOptions,
    common: Common,
    name: Annotated[str | None, typer.Option("-n", "--name", help="The name, for people.")] = None,
) -> None:
    """Add a user, who can own cells and particles and look at the status page."""
    from uno.cli import definition, render
    from uno.registry import edits, operations, passwords

    common.start()
    someone = edits.Person(email=email, name=name)
    definition.refuse_known_user(common, email)
    hashed = passwords.hashed(definition.password_of(password, whose=email))
    with operations.opened(common.root, for_change=True) as registry:
        made = operations.change(
            registry,
            lambda it: edits.add_user(it, someone, password=hashed),
            by=definition.author(),
            why=f"define user {email}",
        )
    render.change(common, f"Defined user {email}.", made)
