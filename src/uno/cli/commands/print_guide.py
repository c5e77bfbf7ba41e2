"""Command: `uno guide`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input import completion
from uno.cli.input.options import Common, takes_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.model.net import Address
    from uno.model.plan import Plan

# For the person at the router; a guide holds no secret.
_MODE = 0o644


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("guide")(takes_groups(guide))


def guide(
    common: Common,
    cell: Annotated[
        str | None,
        typer.Argument(
            metavar="CELL", help="The cell to install.", autocompletion=completion.names
        ),
    ] = None,
    *,
    html: Annotated[bool, typer.Option("--html", help="HTML instead of Markdown.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it to a file.")
    ] = None,
    everything: Annotated[
        Path | None,
        typer.Option(
            "--all", metavar="DIR", help="Write the guides of all cells, in both formats."
        ),
    ] = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option(
            "-g",
            "--gateway",
            metavar="ADDRESS",
            help="The host's address in its LAN; one of IPv4 and one of IPv6.",
        ),
    ] = None,
) -> None:
    """Write a cell's installation guide: ports, routes, commands.

    It lists static routes as common routers name them, and holds no secrets.
    """
    from uno.cli.output import list_views, printing, show_views
    from uno.diagnostics import ActionNeeded, Problem, Rejected
    from uno.ports.bus import CELL_INDEX, listening
    from uno.registry.changes import operations
    from uno.render import handout
    from uno.render.guide import guide as guide_of

    common.start()
    if (cell is None) == (everything is None):
        raise Rejected(Problem(what="which guide?", hint="name one cell, or use --all DIR"))
    if everything is not None and (output or html or gateway):
        raise Rejected(
            Problem(what="--all writes files of its own", hint="leave -o, --html and -g out")
        )
    gateways = _addresses(gateway or ())
    with operations.opened(common.root) as registry:
        head = registry.store.head()
        fingerprint = show_views.registry_fingerprint(registry)
    if everything is not None:
        count = _write_all(head.plan, everything, fingerprint)
        if common.verbosity >= 0:
            printing.result(f"{printing.count(count, 'guide')} written to {everything}")
        return
    declared = list_views.cell(head.uvn, cell or "")
    if declared.excluded:
        raise ActionNeeded(f"cell {declared.name} is banned", "there is nothing to install")
    page = guide_of(
        head.plan,
        declared.name,
        fingerprint=fingerprint,
        bus_ports=listening(head.plan.bus, CELL_INDEX),
        gateways=gateways,
    )
    text = handout.html(page) if html else handout.markdown(page)
    _deliver(common, text, output)


def _deliver(common: Common, text: str, output: Path | None) -> None:
    from uno import files
    from uno.cli.output import printing

    if output is None:
        printing.result(text)
        return
    files.write_atomic(output, text.encode(), mode=_MODE, durable=False)
    if common.verbosity >= 0:
        printing.result(f"Wrote {output}")


def _write_all(plan: Plan, directory: Path, fingerprint: str) -> int:
    """Write both forms of each cell's guide; return how many cells there are."""
    from uno import files
    from uno.ports.bus import CELL_INDEX, listening
    from uno.render import handout
    from uno.render.guide import guide as guide_of

    bus_ports = listening(plan.bus, CELL_INDEX)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.failure(error, f"cannot make the directory {directory}") from error
    for planned in plan.cells:
        name = planned.member.name
        page = guide_of(plan, name, fingerprint=fingerprint, bus_ports=bus_ports)
        for suffix, text in ((".md", handout.markdown(page)), (".html", handout.html(page))):
            path = directory / f"{plan.uvn}__{planned.member.name}{suffix}"
            files.write_atomic(path, text.encode(), mode=_MODE, durable=False)
    return len(plan.cells)


def _addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    from uno.diagnostics import Problem, refuse_errors
    from uno.model.net import address

    found, problems = [], []
    for text in texts:
        try:
            found.append(address(text))
        except ValueError as error:
            problems.append(Problem(what=str(error), hint="such as 192.168.1.2", option="-g"))
    refuse_errors(problems)
    return tuple(found)
