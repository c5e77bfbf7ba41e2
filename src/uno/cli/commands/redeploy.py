"""Commands of the registry as a whole: `uno redeploy`, `uno packages`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import typer

from uno.cli.input.options import Changing, Common, DeploymentOptions, takes_groups


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (redeploy, packages):
        app.command(command.__name__)(takes_groups(command))


def redeploy(deployment: DeploymentOptions, common: Changing) -> None:
    """Choose all links again from scratch.

    Links that are chosen again keep their addresses, ports and keys. The random strategy uses a new
    seed each time.
    """
    from uno.cli.commands import change_command
    from uno.cli.input import definition_input

    common.start()
    change_command.run(
        common,
        lambda it: definition_input.laid_out(it, deployment, redraw=True),
        done="Chose all links again.",
        relayout=True,
    )


def packages(common: Common) -> None:
    """Write the particle packages that a large change postponed."""
    from uno.cli.output import printing

    common.start()
    done = write_packages(common)
    if common.verbosity >= 0:
        printing.result(done)


def write_packages(common: Common) -> str:
    """Write every package that is not there or not up to date; return a sentence on it."""
    from uno.cli.output import printing
    from uno.registry.changes import operations
    from uno.registry.publish import package_files

    with operations.opened(common.root, for_change=True) as registry:
        made = package_files.publish(registry, all_packages=True).particle_packages
    where = f"written to {common.root / 'particles'}" if made else "to write: all are up to date"
    return f"{printing.count(len(made), 'particle package')} {where}"
