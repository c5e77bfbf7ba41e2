"""Commands: `uno ban`, `uno unban` and `uno delete`, each `cell|particle|user`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

from uno.cli.input import completion
from uno.cli.input.options import AskingChange, Changing, takes_groups

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.names)]
Email = Annotated[str, typer.Argument(metavar="EMAIL", autocompletion=completion.names)]


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    groups: dict[str, tuple[str, _Verbs]] = {
        "ban": ("Ban a cell, particle or user; unban admits it again.", _BAN),
        "unban": ("Admit a banned cell, particle or user again, with new keys.", _UNBAN),
        "delete": ("Delete a cell, particle or user permanently.", _DELETE),
    }
    for name, (about, commands) in groups.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for kind, command in commands.items():
            group.command(kind)(takes_groups(command))
        app.add_typer(group, name=name)


def ban_cell(name: Name, common: Changing) -> None:
    """Ban a cell: every peer removes it, and its keys are revoked."""
    from uno.cli.commands import change_command, revocation_notes
    from uno.registry.changes import membership

    common.start()
    change_command.run(
        common,
        lambda it: membership.exclude_cell(it, name, excluded=True),
        done=f"Banned cell {name}.",
        notes=revocation_notes.notes(common, f"cell {name}"),
    )


def ban_particle(name: Name, common: Changing) -> None:
    """Ban a particle: no cell accepts it; its keys are revoked."""
    from uno.cli.commands import change_command, revocation_notes
    from uno.registry.changes import membership

    common.start()
    change_command.run(
        common,
        lambda it: membership.exclude_particle(it, name, excluded=True),
        done=f"Banned particle {name}.",
        notes=revocation_notes.notes(common, f"particle {name}"),
    )


def ban_user(email: Email, common: Changing) -> None:
    """Ban a user and their particles, but not their cells."""
    from uno.cli.commands import change_command, revocation_notes
    from uno.registry.changes import membership

    common.start()
    change_command.run(
        common,
        lambda it: membership.exclude_user(it, email, excluded=True),
        done=f"Banned user {email}.",
        notes=revocation_notes.notes(common, f"the particles of {email}"),
    )


def unban_cell(name: Name, common: Changing) -> None:
    """Admit a cell again, with new keys: install its new package."""
    from uno.cli.commands import change_command
    from uno.registry.changes import membership

    common.start()
    change_command.run(
        common,
        lambda it: membership.exclude_cell(it, name, excluded=False),
        done=f"Admitted cell {name} again.",
    )


def unban_particle(name: Name, common: Changing) -> None:
    """Admit a particle again, with new keys: hand out its new package."""
    from uno.cli.commands import change_command
    from uno.registry.changes import membership

    common.start()
    change_command.run(
        common,
        lambda it: membership.exclude_particle(it, name, excluded=False),
        done=f"Admitted particle {name} again.",
    )


def unban_user(email: Email, common: Changing) -> None:
    """Admit a user again, and their particles with new keys."""
    from uno.cli.commands import change_command
    from uno.registry.changes import membership

    common.start()
    change_command.run(
        common,
        lambda it: membership.exclude_user(it, email, excluded=False),
        done=f"Admitted user {email} again.",
    )


def delete_cell(name: Name, common: AskingChange) -> None:
    """Delete a cell: its LANs become unreachable."""
    from uno.cli.commands import change_command
    from uno.cli.input import registry_change
    from uno.cli.output import list_views
    from uno.registry.changes import membership

    common.start()
    lans = list_views.cell(registry_change.head(common).uvn, name).allowed_lans
    reached = f" {', '.join(map(str, lans))} will be unreachable." if lans else ""
    common.confirm(f"Delete cell {name} permanently?{reached}")
    change_command.run(
        common, lambda it: membership.delete_cell(it, name), done=f"Deleted cell {name}."
    )


def delete_particle(name: Name, common: AskingChange) -> None:
    """Delete a particle; its id and addresses are not reused."""
    from uno.cli.commands import change_command
    from uno.cli.input import registry_change
    from uno.cli.output import list_views
    from uno.registry.changes import membership

    common.start()
    list_views.particle(registry_change.head(common).uvn, name)
    common.confirm(f"Delete particle {name} permanently?")
    change_command.run(
        common, lambda it: membership.delete_particle(it, name), done=f"Deleted particle {name}."
    )


def delete_user(email: Email, common: AskingChange) -> None:
    """Delete a user; what they own passes to the UVN's owner."""
    from uno.cli.commands import change_command
    from uno.cli.input import registry_change
    from uno.diagnostics import refuse_errors
    from uno.registry.changes import membership

    common.start()
    uvn = registry_change.head(common).uvn
    refuse_errors(membership.delete_user(uvn, email).problems)
    owned = membership.belongings(uvn, email)
    things = [*(f"cell {each}" for each in owned.cells)]
    things += [f"particle {each}" for each in owned.particles]
    moved = f" {_listed(things)} will belong to {uvn.owner}." if things else ""
    common.confirm(f"Delete user {email} permanently?{moved}")
    change_command.run(
        common, lambda it: membership.delete_user(it, email), done=f"Deleted user {email}."
    )


def _listed(things: list[str]) -> str:
    shown = ", ".join(things[:5])
    return f"{shown} and {len(things) - 5:,} more" if len(things) > 5 else shown


_Verbs: TypeAlias = dict[str, Callable[..., None]]
_BAN: _Verbs = {"cell": ban_cell, "particle": ban_particle, "user": ban_user}
_UNBAN: _Verbs = {"cell": unban_cell, "particle": unban_particle, "user": unban_user}
_DELETE: _Verbs = {"cell": delete_cell, "particle": delete_particle, "user": delete_user}
