"""Commands of the registry as a whole: `uno redeploy`, `uno packages`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import typer

from uno.cli.options import Changing, Common, DeploymentOptions, takes_groups


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (redeploy, packages):
        app.command(command.__name__)(takes_groups(command))


def redeploy(deployment: DeploymentOptions, common: Changing) -> None:
    """Lay the backbone out anew, as if there had been none before.

    Links that are chosen again keep their addresses, ports and keys. The random strategy draws
    again each time.
    """
    from uno.cli import changing, definition

    common.start()
    changing.change(
        common,
        lambda it: definition.laid_out(it, deployment, redraw=True),
        done="Laid out the backbone anew.",
        relay=True,
    )


def packages(common: Common) -> None:
    """Make the particle packages that a large change left to be made."""
    from uno.cli import render
    from uno.registry import operations, publishing

    common.start()
    with operations.opened(common.root, for_change=True) as registry:
        made = publishing.publish(registry, all_packages=True).packages
    if common.verbosity >= 0:
        what = render.count(len(made), "particle package")
        where = f"written to {common.root / 'particles'}" if made else "to make: all are up to date"
        render.result(f"{what} {where}")
