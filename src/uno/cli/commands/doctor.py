"""`uno doctor`: what is wrong with this host, or at the registry with the whole UVN."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uno.cli.input.options import Common, JsonOption, takes_groups
from uno.diagnostics import UnoError

if TYPE_CHECKING:
    from uno.diagnosis.check_result import Diagnosis
    from uno.model.package import Package


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("doctor")(takes_groups(doctor))


def doctor(
    output: JsonOption,
    common: Common,
    *,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="Print checks that are good, too.")
    ] = False,
) -> None:
    """Check this host: what is wrong, where, and what to do.

    Changes nothing. On a cell's host it checks programs, clock, disk, LANs, routes, firewalls,
    ports, links and forwarding, with or without an agent. At the registry it checks what is not
    released, backups, names, and by their statuses all cells, clocks and links. What needs root is
    not checked without it. Exit status 2 if something is wrong that a person has to mend, 1 for a
    warning or for what could not be checked.
    """
    common.start()
    found = diagnosis(common.root)
    if output.json:
        from uno.cli.output import printing

        printing.json(as_dict(found))
    elif common.verbosity >= 0:
        from uno.cli.output.diagnosis_view import print_diagnosis

        print_diagnosis(found, everything=everything or common.verbosity > 0)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def diagnosis(root: Path) -> Diagnosis:
    """Return the diagnosis of the cell or registry in `root`. Raises `UnoError` without either."""
    if (root / "registry.db").exists():
        from uno.cli import registry_observation
        from uno.diagnosis.registry_checks import diagnose_registry

        return diagnose_registry(registry_observation.observe(root.absolute()))
    from uno.cli import cell_observation
    from uno.diagnosis.cell_checks import diagnose

    package = _package(root)
    return diagnose(cell_observation.observe(root.absolute(), package), package=package)


def as_dict(found: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis for programs, with its worst state."""
    from uno.model import codec

    return {"state": found.state.value, **codec.to_builtins(found)}


def _package(root: Path) -> Package | None:
    """Return the package of a cell, None where this user may not read the directory."""
    from uno.agent.commit.ledger import Ledger
    from uno.diagnostics import ActionNeeded

    if root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
        return None
    try:
        package = Ledger(root).current()
    except UnoError:
        if os.geteuid() != 0:
            return None
        raise
    if package is None:
        raise ActionNeeded(
            f"there is neither a registry nor a cell in {root.absolute()}",
            "name the directory with -r DIR",
        )
    return package
