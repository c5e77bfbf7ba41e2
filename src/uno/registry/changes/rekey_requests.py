"""New keys on request: each a function from a `Uvn` to the same one, with the keys to draw anew.

What was asked for and has no keys is a problem, so that nobody believes a key changed that did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uno.diagnostics import Problem, Rejected
from uno.registry.changes import lookup, rekey_selection
from uno.registry.changes.edits import Edited

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from uno.model.plan import Plan
    from uno.model.uvn import Cell, Uvn
    from uno.registry.publish.keygen import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The VPNs whose keys are asked for."""

    root: bool = False
    particles: bool = False
    backbone: bool = False


def rekey_uvn(uvn: Uvn, networks: Networks) -> Edited:
    """Draw the keys of all cells anew, those of the registry too. Raises `Rejected`."""
    return _rekeyed(uvn, networks, None)


def rekey_cell(uvn: Uvn, name: str, networks: Networks) -> Edited:
    """Draw the keys of a cell anew. Raises `Rejected`."""
    return _rekeyed(uvn, networks, _active(uvn, name, option="NAME"))


def rekey_particle(uvn: Uvn, name: str, cells: Sequence[str] = ()) -> Edited:
    """Draw the keys of a particle at `cells`, or everywhere, anew. Raises `Rejected`."""
    _, particle = lookup.particle(uvn, name)
    if particle not in uvn.active_particles:
        raise _without_keys(f"particle {name} is banned")
    at = [_active(uvn, each, option="-c") for each in cells]
    for cell in at:
        _refuse_unserving(uvn, cell, option="-c")
    if not at and not any(_serves(uvn, cell) for cell in uvn.active_cells):
        raise _without_keys("no cell serves particles")
    return Edited(uvn=uvn, rekey=rekey_selection.particle(particle.id, [cell.id for cell in at]))


def rekey_backbone(uvn: Uvn, names: Sequence[str] = ()) -> Edited:
    """Draw the keys of links anew: of all, of a cell's (`lan-a`), of one (`lan-a:lan-b`).

    Raises `Rejected` for what there is not.
    """
    if not names:
        return Edited(
            uvn=uvn, rekey=_nonempty(rekey_selection.backbone(), "the backbone has no links")
        )
    choices: list[Choice] = []
    for name in names:
        ends = [_active(uvn, each, option="LINK").id for each in name.split(":", maxsplit=1)]
        choice = (
            rekey_selection.links_of(ends[0])
            if len(ends) == 1
            else rekey_selection.link_between(*ends)
        )
        choices.append(_nonempty(choice, _no_link(name)))
    return Edited(uvn=uvn, rekey=rekey_selection.together(*choices))


def _rekeyed(uvn: Uvn, networks: Networks, cell: Cell | None) -> Edited:
    if networks == Networks():
        raise Rejected(
            Problem(
                what="no keys to replace are named",
                hint="add -R for the root VPN, -P for the particle VPN, or -B for the backbone",
            )
        )
    if networks.root and networks.backbone:
        raise Rejected(
            Problem(
                what="-R and -B cannot be combined",
                hint="run with -R first, then uno sync, then with -B, then uno sync",
                option="-R",
            )
        )
    ids = None if cell is None else [cell.id]
    choices: list[Choice] = []
    if networks.root:
        choices.append(_root(uvn, ids))
    if networks.particles:
        choices.append(_particles(uvn, cell))
    if networks.backbone:
        chosen = rekey_selection.backbone() if cell is None else rekey_selection.links_of(cell.id)
        whose = "the backbone" if cell is None else f"cell {cell.name}"
        choices.append(_nonempty(chosen, f"{whose} has no links"))
    return Edited(uvn=uvn, rekey=rekey_selection.together(*choices))


def _root(uvn: Uvn, ids: Sequence[int] | None) -> Choice:
    if not uvn.settings.enable_root_vpn:
        raise _without_keys("the root VPN is switched off", option="-R")
    return rekey_selection.root_vpn(ids)


def _particles(uvn: Uvn, cell: Cell | None) -> Choice:
    if cell is not None:
        _refuse_unserving(uvn, cell, option="-P")
        return rekey_selection.particles_vpn([cell.id])
    if not any(_serves(uvn, each) for each in uvn.active_cells):
        raise _without_keys("no cell serves particles", option="-P")
    return rekey_selection.particles_vpn()


def _nonempty(choice: Choice, what: str) -> Choice:
    def chosen(plan: Plan) -> Collection[str]:
        found = choice(plan)
        if not found:
            raise _without_keys(what)
        return found

    return chosen


def _active(uvn: Uvn, name: str, *, option: str) -> Cell:
    _, cell = lookup.cell(uvn, name, option=option)
    if cell.excluded:
        raise _without_keys(f"cell {name} is banned", option=option)
    return cell


def _serves(uvn: Uvn, cell: Cell) -> bool:
    return (
        uvn.settings.enable_particles_vpn and cell.is_public and cell.settings.enable_particles_vpn
    )


def _refuse_unserving(uvn: Uvn, cell: Cell, *, option: str) -> None:
    if not _serves(uvn, cell):
        raise _without_keys(f"cell {cell.name} does not serve particles", option=option)


def _no_link(name: str) -> str:
    one, colon, other = name.partition(":")
    return f"there is no link between {one} and {other}" if colon else f"cell {one} has no links"


def _without_keys(what: str, *, option: str | None = None) -> Rejected:
    return Rejected(Problem(what=what, hint="there are no keys to replace", option=option))
