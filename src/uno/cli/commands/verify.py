"""Command: `uno verify`, which reports what failures would cost."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input.options import Common, JsonOption, takes_groups

if TYPE_CHECKING:
    from uno.model.uvn import Uvn

# Beside 0, 1 and 2 of every command: some failure would cost reachability.
COSTS = 3


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("verify")(takes_groups(verify))


def verify(
    output: JsonOption,
    common: Common,
    depth: Annotated[
        int, typer.Option("--depth", min=1, max=2, help="Number of links that fail at once.")
    ] = 1,
    assumptions: Annotated[
        bool, typer.Option("--assumptions", help="Also list what is not modelled.")
    ] = False,
) -> None:
    """Report what the loss of any one link or cell would cost.

    Or the loss of all cells at one address. It suggests what would fix it. Every LAN must reach
    every other of its IP version, and the particles at every cell must reach each LAN. Exits with 0
    if no failure costs anything, with 3 if one would, and with 1 if a part is cut off now.
    """
    from uno.cli.output import change_report, change_values, printing, wrapping
    from uno.model import codec
    from uno.planning.survivability import report
    from uno.planning.survivability.assumptions import ASSUMPTIONS
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        head = registry.store.head()
    found = report.verify(head.uvn, head.plan, depth=depth)
    warnings = _public_addresses(head.uvn)
    if output.json:
        printing.json(
            {
                "generation": head.number,
                **change_values.verified(found, head.plan),
                "assumptions": codec.to_builtins(ASSUMPTIONS),
                "warnings": warnings,
            }
        )
    elif common.verbosity >= 0:
        for each in warnings:
            printing.message(common, f"warning: {each}")
        count = printing.count
        printing.result(
            f"generation {head.number}: {count(found.cells, 'cell')}, "
            f"{count(found.links, 'link')}, {count(found.lans, 'LAN')}"
        )
        change_report.failure_costs(printing.console(), report.lines(found, head.plan))
        if assumptions:
            printing.result("Not modelled:")
            for assumption in ASSUMPTIONS:
                printing.result(wrapping.wrapped(f"- {assumption.what}"))
    if not found.is_whole:
        raise typer.Exit(1)
    if not found.is_safe:
        raise typer.Exit(COSTS)


def _public_addresses(uvn: Uvn) -> list[str]:
    """Return why other sites may not be able to connect to a public address."""
    from uno.model.checks import public_addresses

    return [f"{each.what}; {each.hint}" for each in public_addresses.check(uvn)]
