"""Requests for new keys: each a function from a `Uvn` to the same one and a selection. Pure.

A request for keys that do not exist is a problem, since otherwise it would look as if it had
replaced some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from uno.diagnostics import Problem, Rejected
from uno.registry.changes import lookup
from uno.registry.changes.edits import Edited
from uno.registry.changes.key_selection import (
    KeyGroup,
    LinkKeys,
    ParticleKeys,
    ParticleVpnKeys,
    RegistrySigningKey,
    RootVpnKeys,
    StolenCell,
    without_keys,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.model.uvn import Cell, Uvn


class Networks(Struct, frozen=True, kw_only=True):
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


def rekey_stolen_cell(uvn: Uvn, name: str) -> Edited:
    """Draw all keys in the package of a cell anew, and revoke the old ones. Raises `Rejected`."""
    return Edited(uvn=uvn, rekey=(StolenCell(_active(uvn, name, option="NAME").id),))


def rekey_registry(uvn: Uvn) -> Edited:
    """Draw the key anew that the registry signs with; the old one signs the new one."""
    return Edited(uvn=uvn, rekey=(RegistrySigningKey(),))


def rekey_particle(uvn: Uvn, name: str, cells: Sequence[str] = ()) -> Edited:
    """Draw the keys of a particle at `cells`, or everywhere, anew. Raises `Rejected`."""
    _, particle = lookup.particle(uvn, name)
    if particle not in uvn.active_particles:
        raise without_keys(f"particle {name} is banned")
    at = [_active(uvn, each, option="-c") for each in cells]
    for cell in at:
        _refuse_unserving(uvn, cell, option="-c")
    if not at and not any(serves_particles(uvn, cell) for cell in uvn.active_cells):
        raise without_keys("no cell serves particles")
    selected = ParticleKeys(particle.id, tuple(cell.id for cell in at))
    return Edited(uvn=uvn, rekey=(selected,))


def rekey_backbone(uvn: Uvn, names: Sequence[str] = ()) -> Edited:
    """Draw the keys of links anew: of all, of a cell's (`lan-a`), of one (`lan-a:lan-b`).

    Raises `Rejected` for what there is not.
    """
    if not names:
        return Edited(uvn=uvn, rekey=(LinkKeys("the backbone has no links"),))
    selection = tuple(
        LinkKeys(
            _no_link(name),
            tuple(_active(uvn, each, option="LINK").id for each in name.split(":", maxsplit=1)),
        )
        for name in names
    )
    return Edited(uvn=uvn, rekey=selection)


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
    cells = None if cell is None else (cell.id,)
    selection: list[KeyGroup] = []
    if networks.root:
        if not uvn.settings.enable_root_vpn:
            raise without_keys("the root VPN is switched off", option="-R")
        selection.append(RootVpnKeys(cells))
    if networks.particles:
        _refuse_without_particles(uvn, cell)
        selection.append(ParticleVpnKeys(cells))
    if networks.backbone:
        whose = "the backbone" if cell is None else f"cell {cell.name}"
        selection.append(LinkKeys(f"{whose} has no links", cells or ()))
    return Edited(uvn=uvn, rekey=tuple(selection))


def _refuse_without_particles(uvn: Uvn, cell: Cell | None) -> None:
    if cell is not None:
        _refuse_unserving(uvn, cell, option="-P")
    elif not any(serves_particles(uvn, each) for each in uvn.active_cells):
        raise without_keys("no cell serves particles", option="-P")


def _active(uvn: Uvn, name: str, *, option: str) -> Cell:
    _, cell = lookup.cell(uvn, name, option=option)
    if cell.excluded:
        raise without_keys(f"cell {name} is banned", option=option)
    return cell


def serves_particles(uvn: Uvn, cell: Cell) -> bool:
    """Whether particles connect to `cell`, so that it has keys with each of them."""
    return (
        uvn.settings.enable_particles_vpn and cell.is_public and cell.settings.enable_particles_vpn
    )


def _refuse_unserving(uvn: Uvn, cell: Cell, *, option: str) -> None:
    if not serves_particles(uvn, cell):
        raise without_keys(f"cell {cell.name} does not serve particles", option=option)


def _no_link(name: str) -> str:
    one, colon, other = name.partition(":")
    return f"there is no link between {one} and {other}" if colon else f"cell {one} has no links"
