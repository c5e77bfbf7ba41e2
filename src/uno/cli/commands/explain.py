"""`uno explain A B`: the path between two places, and why it does not work."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uno.cli.input import completion
from uno.cli.input.options import Common, JsonOption, takes_groups
from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from uno.diagnosis.explained_path import Explanation
    from uno.diagnosis.explanation import Sight
    from uno.diagnosis.network_map import NamedPlace
    from uno.model.package import Package

Named = Annotated[
    str,
    typer.Argument(
        autocompletion=completion.places,
        help="A cell, a particle, a LAN (A.B.C.D/N), or an address in one.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("explain")(takes_groups(explain))


def explain(a: Named, b: Named, output: JsonOption, common: Common) -> None:
    """Show the path between A and B, and what is in its way.

    It is shown hop by hop, with the first cause if it does not work. Both directions are examined,
    by the plan and by what the cells report: at the registry and where an agent runs by all of
    them, on another cell's host by what this host shows alone. Changes nothing. Exit status 2 if
    something is in the way, 1 if too little is known.
    """
    common.start()
    found = explanation(common.root, a, b)
    if output.json:
        from uno.cli.output import printing

        printing.json(as_dict(found))
    elif common.verbosity >= 0:
        from uno.cli.output.explanation_view import print_explanation

        print_explanation(found)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def as_dict(found: Explanation) -> dict[str, Any]:
    """Return an explanation for programs, with the verdict."""
    from uno.model import codec

    return {"reaches": found.reaches, **codec.to_builtins(found)}


def explanation(root: Path, a: str, b: str) -> Explanation:
    """Explain by what is known in the directory `root`. Raises `UnoError`."""
    if (root / "registry.db").exists():
        return _at_registry(root, a, b)
    from uno.agent.commit.ledger import Ledger

    package = Ledger(root).current()
    if package is None:
        raise ActionNeeded(
            f"there is neither a registry nor a cell in {root.absolute()}",
            "name the directory with -r DIR",
        )
    return _at_cell(package, a, b)


def _at_registry(root: Path, a: str, b: str) -> Explanation:
    from uno.cli.registry_observation import registry_view
    from uno.diagnosis.explanation import Sight
    from uno.diagnosis.explanation import explain as explained
    from uno.diagnosis.network_map import find_place, map_of_plan
    from uno.model.status import UvnView
    from uno.registry.changes import operations

    with operations.opened(root) as registry:
        head = registry.store.head()
    known = map_of_plan(head.plan, head.uvn)
    places = find_place(a, known), find_place(b, known)
    view = registry_view(head.plan.identity)
    blank = UvnView(uvn=head.plan.uvn, viewer=0, generation=head.number)
    return explained(known, Sight(view=view or blank, is_whole=view is not None), *places)


def _at_cell(package: Package, a: str, b: str) -> Explanation:
    from uno.diagnosis.explanation import explain as explained
    from uno.diagnosis.network_map import find_place, map_of_package

    known = map_of_package(package)
    places = find_place(a, known), find_place(b, known)
    return explained(known, _sight(package, places), *places)


def _sight(package: Package, places: tuple[NamedPlace, ...]) -> Sight:
    """Return what this host and its agent show. Raises `UnoError` without root."""
    from uno.cli import cell_observation
    from uno.diagnosis.cell_facts import NotObserved
    from uno.diagnosis.explanation import Sight
    from uno.diagnosis.service_status import local_status
    from uno.model.status import CellView, UvnView

    named = [each.address for each in places if each.address is not None]
    hosts = cell_observation.begun(lambda: cell_observation.lan_hosts_of(package, named)).result()
    paths = cell_observation.begun(lambda: dict(cell_observation.paths_of(package))).result()
    known_hosts = () if isinstance(hosts, NotObserved) else hosts
    known_paths = {} if isinstance(paths, NotObserved) else paths
    view = cell_observation.agent_view(package)
    if view is not None:
        return Sight(view=view, hosts=known_hosts, paths=known_paths)
    service = cell_observation.service_of(package)
    proved = cell_observation.with_proof(package, service)
    links = {link.interface for link in package.plan.links}
    status = local_status(
        service if isinstance(proved, NotObserved) else proved,
        now=cell_observation.now(),
        routed=frozenset(lan for lan, path in known_paths.items() if path.interface in links),
    )
    own, manifest = package.own, package.manifest
    cell = CellView(id=own.id, name=own.name, status=status, age=0, alive=True)
    alone = UvnView(uvn=manifest.uvn, viewer=own.id, generation=manifest.generation, cells=(cell,))
    return Sight(view=alone, is_whole=False, hosts=known_hosts, paths=known_paths)
