"""Which keys a request replaces, as values, and their ids in a plan. Pure.

A selection is made before the plan is: it names cells, particles and links, and `ids` resolves it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct

from uno.diagnostics import Problem, Rejected
from uno.model.key_ids import (
    REGISTRY_SIGNING,
    ROOT_REGISTRY,
    cell_sealing,
    cell_signing,
    hub_seed,
    link_pair,
    link_psk,
    pair_seed,
    particle_seed,
    particles_hub_pair,
    root_pair,
    root_psk,
)
from uno.model.plan import Link, Plan


class RootVpnKeys(Struct, frozen=True):
    """The keys of `cells` in the root VPN; None for those of all cells and of the registry."""

    cells: tuple[int, ...] | None = None


class ParticleVpnKeys(Struct, frozen=True):
    """The keys between all particles and `cells`, on both sides; None for all serving cells."""

    cells: tuple[int, ...] | None = None


class ParticleKeys(Struct, frozen=True):
    """The keys of one particle at `cells`; without any, at all serving cells."""

    particle: int
    cells: tuple[int, ...] = ()


class LinkKeys(Struct, frozen=True):
    """The keys of links: all, those of one cell, or the one between two, as `cells` has 0, 1 or 2.

    `missing` is the problem if the plan has no such link.
    """

    missing: str
    cells: tuple[int, ...] = ()


class StolenCell(Struct, frozen=True):
    """All keys of a cell that is in the plan: nothing in its package so far is valid any more."""

    cell: int


class RegistrySigningKey(Struct, frozen=True):
    """The key that the registry signs packages and messages with."""


KeyGroup: TypeAlias = (
    RootVpnKeys | ParticleVpnKeys | ParticleKeys | LinkKeys | StolenCell | RegistrySigningKey
)
KeySelection: TypeAlias = tuple[KeyGroup, ...]


def ids(selection: KeySelection, plan: Plan) -> frozenset[str]:
    """Return the ids of the selected keys of `plan`. Raises `Rejected` for links it does not have.

    Cells and particles that have no keys in the plan are left out.
    """
    return frozenset(id_ for group in selection for id_ in _ids(group, plan))


def without_keys(what: str, *, option: str | None = None) -> Rejected:
    """Return the error for a request to replace keys that do not exist."""
    return Rejected(Problem(what=what, hint="there are no keys to replace", option=option))


def described(plan: Plan, replaced: Iterable[str]) -> tuple[str, ...]:
    """Return one line for each cell, particle and link with new keys among the `replaced` ids."""
    found = frozenset(replaced)
    return tuple(_lines(plan, found)) if found else ()


def _ids(group: KeyGroup, plan: Plan) -> Collection[str]:
    serving = {cell.member.id for cell in plan.cells if cell.member.serves_particles}
    match group:
        case RootVpnKeys(cells):
            return _root_vpn(plan, cells)
        case ParticleVpnKeys(cells):
            at = serving if cells is None else serving & set(cells)
            return {key for cell in at for key in (particles_hub_pair(cell), hub_seed(cell))}
        case ParticleKeys():
            return _of_particle(plan, group, serving)
        case LinkKeys(missing, cells):
            found = [link for link in plan.links if _matches(link, cells)]
            if not found:
                raise without_keys(missing)
            return {key for link in found for key in _keys_of(link)}
        case StolenCell(cell):
            return _all_of(plan, cell)
        case RegistrySigningKey():
            return {REGISTRY_SIGNING}


def _of_particle(plan: Plan, group: ParticleKeys, serving: set[int]) -> Collection[str]:
    if group.particle not in {each.id for each in plan.particles}:
        return ()
    if group.cells:
        return {pair_seed(group.particle, cell) for cell in serving & set(group.cells)}
    return {particle_seed(group.particle)}


def revoked_ids(selection: KeySelection, plan: Plan) -> frozenset[str]:
    """Return the ids of the keys of which no earlier epoch is to be kept: they were stolen."""
    return ids(tuple(it for it in selection if isinstance(it, StolenCell)), plan)


def _all_of(plan: Plan, cell: int) -> Collection[str]:
    """Return the ids of all secrets in a cell's package, and of those that match them elsewhere."""
    links = (link for link in plan.links if cell in link.cells)
    found = {key for link in links for key in _keys_of(link)}
    found |= {cell_signing(cell), cell_sealing(cell), *_root_vpn(plan, (cell,))}
    found.update(_ids(ParticleVpnKeys((cell,)), plan))
    return found


def _root_vpn(plan: Plan, cells: tuple[int, ...] | None) -> Collection[str]:
    if plan.root is None:
        return ()
    known = {cell.member.id for cell in plan.cells}
    at = known if cells is None else known & set(cells)
    registry = {ROOT_REGISTRY} if cells is None else set()
    return registry | {key for cell in at for key in (root_pair(cell), root_psk(cell))}


def _matches(link: Link, cells: tuple[int, ...]) -> bool:
    return {*link.cells} == {*cells} if len(cells) == 2 else {*cells} <= {*link.cells}


def _keys_of(link: Link) -> tuple[str, ...]:
    return (link_psk(link.name), *(link_pair(link.name, cell) for cell in link.cells))


_OF_REGISTRY = {
    ROOT_REGISTRY: "new key in the root VPN",
    REGISTRY_SIGNING: "new key that signs packages and messages",
}


def _lines(plan: Plan, replaced: frozenset[str]) -> Iterator[str]:
    names = {cell.member.id: cell.member.name for cell in plan.cells}
    yield from (f"registry  {what}" for key, what in _OF_REGISTRY.items() if key in replaced)
    for cell, name in names.items():
        for key, what in (
            (cell_signing(cell), "new keys to sign and to open packages"),
            (root_pair(cell), "new keys in the root VPN"),
            (hub_seed(cell), "new keys with every particle"),
        ):
            if key in replaced:
                yield f"cell {name}  {what}"
    for each in plan.particles:
        if particle_seed(each.id) in replaced:
            yield f"particle {each.name}  new keys at every cell"
        if at := [name for cell, name in names.items() if pair_seed(each.id, cell) in replaced]:
            yield f"particle {each.name}  new keys at {', '.join(at)}"
    for link in plan.links:
        if link_psk(link.name) in replaced:
            yield f"link {names[link.a.cell]} ↔ {names[link.b.cell]}  new keys"
