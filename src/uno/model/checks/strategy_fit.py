"""Whether the cells can be linked at all, and by the strategy that was chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from uno.diagnostics import Severity
from uno.model.checks.finding import Finding, Findings, Path
from uno.model.checks.link_counts import static_links
from uno.model.syntax import quoted, shown, suggestion
from uno.model.uvn import Strategy

if TYPE_CHECKING:
    from uno.model.uvn import Cell, Uvn

_DEPLOYMENT: Path = ("settings", "deployment")
_ARGUMENTS: Path = (*_DEPLOYMENT, "strategy_args")


def check(uvn: Uvn) -> Findings:
    """Find cells that no link can reach, and strategy arguments that make no sense."""
    yield from _check_public(uvn)
    yield from _check_private(uvn)
    yield from _check_particles(uvn)
    yield from _check_uplinks(uvn)
    if uvn.settings.deployment.strategy is Strategy.STATIC:
        yield from _check_static(uvn)
    elif uvn.settings.deployment.strategy_args:
        yield Finding(
            path=_ARGUMENTS,
            what=f"strategy {uvn.settings.deployment.strategy} takes no arguments",
            hint="remove strategy_args, or use strategy static",
            severity=Severity.WARNING,
        )


def _check_public(uvn: Uvn) -> Findings:
    if uvn.active_cells and not any(cell.is_public for cell in uvn.active_cells):
        yield Finding(
            path=("cells",),
            what="no cell has a public address, so none can be reached by another",
            hint="give at least one cell an address",
            needs=(("cells",),),
        )


def _check_private(uvn: Uvn) -> Findings:
    private = {i: cell.name for i, cell in enumerate(uvn.cells) if _is_private(cell)}
    if private and uvn.settings.enable_root_vpn and uvn.address is None:
        yield Finding(
            path=("address",),
            what="the registry has no address, so private cells cannot reach it: "
            + _listed(list(private.values())),
            hint="give the UVN an address, or set enable_root_vpn to false",
            also=tuple(("cells", index) for index in list(private)[:3]),
            needs=(("cells",), ("settings", "enable_root_vpn")),
        )
    for index, cell in enumerate(uvn.cells):
        if _is_private(cell) and cell.is_roaming:
            yield Finding(
                path=("cells", index),
                what=f"private cell {shown(cell.name)} has no LAN and accepts no connections",
                hint="give it allowed_lans or an address",
                severity=Severity.WARNING,
            )


def _is_private(cell: Cell) -> bool:
    return not cell.is_public and not cell.excluded


def _check_particles(uvn: Uvn) -> Findings:
    served = uvn.settings.enable_particles_vpn and any(
        cell.is_public and cell.settings.enable_particles_vpn for cell in uvn.active_cells
    )
    if uvn.active_particles and uvn.active_cells and not served:
        yield Finding(
            path=("particles",),
            what="no cell takes connections from particles",
            hint="set enable_particles_vpn to true for the UVN and for a public cell",
            needs=(("cells",), ("settings", "enable_particles_vpn")),
            severity=Severity.WARNING,
        )


def _check_uplinks(uvn: Uvn) -> Findings:
    deployment = uvn.settings.deployment
    public = sum(cell.is_public for cell in uvn.active_cells)
    ringed = deployment.strategy in {Strategy.CROSSED, Strategy.CIRCULAR}
    if ringed and uvn.active_cells and deployment.private_uplinks > max(1, public):
        yield Finding(
            path=(*_DEPLOYMENT, "private_uplinks"),
            what=f"private_uplinks is {deployment.private_uplinks}, "
            f"and there {'is 1 public cell' if public == 1 else f'are {public} public cells'}",
            hint=f"private cells get {public}; add public cells, or ask for fewer",
            needs=(("cells",),),
            severity=Severity.WARNING,
        )


def _check_static(uvn: Uvn) -> Findings:
    cells = {cell.name: cell for cell in uvn.cells}
    for name, peers in uvn.settings.deployment.strategy_args.items():
        path = (*_ARGUMENTS, name)
        if name not in cells:
            yield _unknown_cell(path, name, cells)
        if not isinstance(peers, list | tuple):
            yield Finding(
                path=path,
                what=f"the peers of {quoted(name)} are not a list of cell names",
                hint="write them as [lan-a, lan-b]",
            )
            continue
        for index, peer in enumerate(peers):
            yield from _check_peer(cells, name, peer, (*path, index))
    yield from _check_parts(uvn)


def _check_peer(cells: dict[str, Cell], name: str, peer: object, path: Path) -> Findings:
    if not isinstance(peer, str):
        yield Finding(
            path=path, what=f"{peer!r:.60} is not the name of a cell", hint="put it in quotes"
        )
    elif peer not in cells:
        yield _unknown_cell(path, peer, cells)
    elif peer == name:
        yield Finding(
            path=path, what=f"cell {shown(name)} is linked with itself", hint="name another cell"
        )
    elif name in cells and _is_private(cells[name]) and _is_private(cells[peer]):
        yield Finding(
            path=path,
            what=f"{shown(name)} and {shown(peer)} are both private: neither reaches the other",
            hint="link each of them with a public cell",
            needs=(("cells",),),
        )


def _unknown_cell(path: Path, name: str, cells: Iterable[str]) -> Finding:
    return Finding(
        path=path,
        what=f"there is no cell {quoted(name)} to link",
        hint=suggestion(name, cells) or "name a cell that is under cells",
        needs=(("cells",),),
    )


def _check_parts(uvn: Uvn) -> Findings:
    """Find cells that static links leave alone, and groups of cells that they leave apart."""
    if len(uvn.active_cells) < 2:
        return
    links = static_links(uvn)
    alone = {cell.name for cell in uvn.active_cells} - {name for link in links for name in link}
    for index, cell in enumerate(uvn.cells):
        if cell.name in alone:
            yield Finding(
                path=_ARGUMENTS,
                what=f"the static links leave cell {shown(cell.name)} without any",
                hint="link it with a public cell, or exclude it",
                also=(("cells", index),),
                needs=(("cells",), _DEPLOYMENT),
            )
    parts = _parts(links)
    if len(parts) > 1:
        yield Finding(
            path=_ARGUMENTS,
            what="the static links leave "
            + " apart from ".join(_listed(sorted(part)) for part in parts),
            hint="link one cell of each group with one of another",
            needs=(("cells",), _DEPLOYMENT),
            severity=Severity.WARNING,
        )


def _parts(links: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    parts: list[frozenset[str]] = []
    for link in links:
        touched = [part for part in parts if part & link]
        parts = [part for part in parts if not part & link]
        parts.append(link.union(*touched))
    return sorted(parts, key=sorted)


def _listed(names: list[str]) -> str:
    return ", ".join([*map(shown, names[:5]), *(["…"] if len(names) > 5 else [])])
