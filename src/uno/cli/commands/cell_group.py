"""Commands: `uno cell install` and `uno cell service`, other names of commands of a cell's host."""

from __future__ import annotations

import typer

from uno.cli.commands import install, service_units
from uno.cli.input.options import takes_answers, takes_groups


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(help="Commands for the host of a cell.", no_args_is_help=True)
    group.command("install")(takes_groups(install.install))
    unit = typer.Typer(help="The cell's systemd unit.", no_args_is_help=True)
    unit.command("enable")(takes_groups(service_units.enable))
    unit.command("disable")(takes_answers(service_units.remove))
    group.add_typer(unit, name="service")
    app.add_typer(group, name="cell")
