"""Commands: `uno config uvn|cell|particle|user`, which show, and with `-U` change."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uno.cli.input import completion
from uno.cli.input.options import (
    AskingChange,
    CellChanges,
    CellOptions,
    Changing,
    DeploymentOptions,
    NewName,
    ParticleOptions,
    PasswordOptions,
    PrintOptions,
    UvnChanges,
    UvnOptions,
    takes_groups,
)
from uno.diagnostics import Problem, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct

    from uno.model.uvn import Uvn
    from uno.registry.changes.operations import Edit

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.names)]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(help="Show the configuration, or change it with -U.", no_args_is_help=True)
    for command in (uvn, cell, particle, user):
        group.command(command.__name__)(takes_groups(command))
    app.add_typer(group, name="config")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigOptions(PrintOptions):
    """Whether to change a configuration, and how to print it."""

    update: Annotated[
        bool, typer.Option("-U", "--update", help="Change what the other options give.")
    ] = False
    generate: Annotated[
        bool,
        typer.Option("-g", "--generate", help="Write postponed particle packages too, then."),
    ] = False

    @property
    def prints(self) -> bool:
        """Whether it is to be printed after a change."""
        return self.print or self.json or self.query is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ConfigRequest:
    """The object `what` that a command shows or changes, and how to print it."""

    how: ConfigOptions
    groups: tuple[object, ...]
    common: Changing
    what: str
    find: Callable[[Uvn], Struct]

    def is_update(self) -> bool:
        """Whether to change it. Raises `Rejected` for -U without options, or options without -U."""
        given = any(_is_given(group) for group in self.groups)
        if given and not self.how.update:
            raise Rejected(
                Problem(what=f"{self.what} is only shown", hint="add -U to change it", option="-U")
            )
        if self.how.update and not given:
            raise Rejected(
                Problem(
                    what=f"no change of {self.what} is given",
                    hint="add an option; -h lists them",
                    option="-U",
                )
            )
        return self.how.update

    def show(self) -> None:
        """Print it as it is."""
        from uno.cli.input import registry_change
        from uno.cli.output import definition_view

        definition_view.show(self.find(registry_change.head(self.common).uvn), self.how)
        self._generate()

    def change(self, edit: Edit, *, find: Callable[[Uvn], Struct] | None = None) -> None:
        """Change it, and print what that did, or what it is then."""
        from uno.cli.commands import change_command
        from uno.cli.input import registry_change
        from uno.cli.output import change_report

        find = find or self.find
        change_command.check_query(self.common, edit, self.how, find)
        made = registry_change.make(self.common, edit)
        if not self.how.prints:
            change_report.print_text(self.common, f"Changed {self.what}.", made)
        else:
            change_command.show(self.common, made, self.how, find(made.after.uvn))
        self._generate()

    def _generate(self) -> None:
        from uno.cli.commands import redeploy
        from uno.cli.output import printing

        if self.how.generate and not self.common.dry_run:
            printing.message(self.common, redeploy.write_packages(self.common))


def uvn(
    options: UvnOptions,
    password: PasswordOptions,
    deployment: DeploymentOptions,
    how: ConfigOptions,
    changes: UvnChanges,
    common: AskingChange,
) -> None:
    """Show the whole definition, or change its settings with -U."""
    from uno.cli.input import definition_input, setting_options
    from uno.registry.changes import updates

    common.start()
    request = _ConfigRequest(
        groups=(options, password, deployment, changes),
        how=how,
        common=common,
        what="the UVN",
        find=lambda it: it,
    )
    if not request.is_update():
        request.show()
        return
    wanted = updates.UvnUpdate(
        owner=options.owner,
        new_owner=definition_input.confirm_owner(common, options.owner),
        password=definition_input.hash_given(password),
        settings=(
            *setting_options.of_uvn(options),
            *setting_options.cleared(("address",), options.address, wanted=changes.no_address),
            *setting_options.without_notifications(options, wanted=changes.no_notify),
        ),
        layout=lambda it: definition_input.laid_out(it, deployment),
    )
    request.change(lambda it: updates.update_uvn(it, wanted))


def cell(
    name: Name,
    options: CellOptions,
    changes: CellChanges,
    how: ConfigOptions,
    common: AskingChange,
) -> None:
    """Show the configuration of a cell, or change it with -U."""
    from uno.cli.input import definition_input, setting_options
    from uno.cli.output import list_views
    from uno.registry.changes import updates

    common.start()
    request = _ConfigRequest(
        groups=(options, changes),
        how=how,
        common=common,
        what=f"cell {name}",
        find=lambda it: list_views.cell(it, name),
    )
    if not request.is_update():
        request.show()
        return
    new = definition_input.confirm_owner(common, options.owner)
    wanted = updates.CellUpdate(
        naming=updates.Naming(name=changes.new_name, owner=options.owner, new_owners=new),
        networks=tuple(options.networks or ()),
        added=tuple(changes.added or ()),
        removed=tuple(changes.removed or ()),
        links=tuple(options.links or ()),
        settings=setting_options.of_changed_cell(options, changes),
    )
    request.change(
        lambda it: updates.update_cell(it, name, wanted),
        find=lambda it: list_views.cell(it, changes.new_name or name),
    )


def particle(
    name: Name,
    options: ParticleOptions,
    how: ConfigOptions,
    common: AskingChange,
    *,
    new_name: NewName = None,
) -> None:
    """Show the configuration of a particle, or change it with -U."""
    from uno.cli.input import definition_input, setting_options
    from uno.cli.output import list_views
    from uno.registry.changes import updates

    common.start()
    request = _ConfigRequest(
        groups=(options, new_name),
        how=how,
        common=common,
        what=f"particle {name}",
        find=lambda it: list_views.particle(it, name),
    )
    if not request.is_update():
        request.show()
        return
    new = definition_input.confirm_owner(common, options.owner)
    naming = updates.Naming(name=new_name, owner=options.owner, new_owners=new)
    settings = setting_options.of_particle(options)
    request.change(
        lambda it: updates.update_particle(it, name, naming, settings),
        find=lambda it: list_views.particle(it, new_name or name),
    )


def user(
    email: Annotated[str, typer.Argument(metavar="EMAIL", autocompletion=completion.names)],
    password: PasswordOptions,
    how: ConfigOptions,
    common: Changing,
    *,
    name: Annotated[str | None, typer.Option("-n", "--name", help="The user's name.")] = None,
) -> None:
    """Show the configuration of a user, or change it with -U."""
    from uno.cli.input import definition_input
    from uno.cli.output import list_views
    from uno.registry.changes import updates

    common.start()
    request = _ConfigRequest(
        groups=(password, name),
        how=how,
        common=common,
        what=f"user {email}",
        find=lambda it: list_views.user(it, email),
    )
    if not request.is_update():
        request.show()
        return
    hashed = definition_input.hash_given(password)
    request.change(lambda it: updates.update_user(it, email, name=name, password=hashed))


def _is_given(group: Any) -> bool:
    """Whether an option was given, or one of a group."""
    if not is_dataclass(group):
        return bool(group)
    # A flag that is off by default is False, one that can be switched off is None.
    return any(getattr(group, each.name) not in (None, each.default, []) for each in fields(group))
