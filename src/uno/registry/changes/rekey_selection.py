"""Which secrets of a plan are drawn anew when somebody asks for new keys, and how that is told.

A key that may be known to others is replaced here, and nothing else about the network changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model.key_ids import (
    ROOT_REGISTRY,
    link_pair,
    link_psk,
    particles_hub_pair,
    root_pair,
    root_psk,
)
from uno.registry.publish.keygen import hub_seed, pair_seed, particle_seed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from uno.model.plan import Link, Plan
    from uno.registry.publish.keygen import Choice


def root_vpn(cells: Collection[int] | None = None) -> Choice:
    """Choose the keys of `cells` in the root VPN; without `cells` all, the registry's too."""

    def chosen(plan: Plan) -> set[str]:
        if plan.root is None:
            return set()
        known = {cell.member.id for cell in plan.cells}
        ids = known if cells is None else known & set(cells)
        found = {key for cell in ids for key in (root_pair(cell), root_psk(cell))}
        return found | {ROOT_REGISTRY} if cells is None else found

    return chosen


def particles_vpn(cells: Collection[int] | None = None) -> Choice:
    """Choose the keys between particles and `cells`, or all cells, those of both sides."""

    def chosen(plan: Plan) -> set[str]:
        serving = {cell.member.id for cell in plan.cells if cell.member.serves_particles}
        ids = serving if cells is None else serving & set(cells)
        return {key for cell in ids for key in (particles_hub_pair(cell), hub_seed(cell))}

    return chosen


def particle(particle: int, cells: Collection[int] = ()) -> Choice:
    """Choose the keys of a particle at `cells`, or, if none are named, at all of them."""

    def chosen(plan: Plan) -> set[str]:
        if particle not in {each.id for each in plan.particles}:
            return set()
        serving = {cell.member.id for cell in plan.cells if cell.member.serves_particles}
        if cells:
            return {pair_seed(particle, cell) for cell in serving & set(cells)}
        return {particle_seed(particle)}

    return chosen


def backbone() -> Choice:
    """Choose the keys of all links."""
    return lambda plan: _keys_of(plan.links)


def links_of(cell: int) -> Choice:
    """Choose the keys of all links of a cell."""
    return lambda plan: _keys_of(link for link in plan.links if cell in link.cells)


def link_between(one: int, other: int) -> Choice:
    """Choose the keys of the link between two cells."""
    return lambda plan: _keys_of(link for link in plan.links if {*link.cells} == {one, other})


def together(*choices: Choice) -> Choice:
    """Choose what any of `choices` does."""
    return lambda plan: {key for choice in choices for key in choice(plan)}


def told(plan: Plan, replaced: Iterable[str]) -> tuple[str, ...]:
    """Return what has new keys of the `replaced` secrets, a line for each thing."""
    ids = frozenset(replaced)
    return tuple(_told(plan, ids)) if ids else ()


def _told(plan: Plan, ids: frozenset[str]) -> Iterator[str]:
    names = {cell.member.id: cell.member.name for cell in plan.cells}
    if ROOT_REGISTRY in ids:
        yield "registry  new key in the root VPN"
    for cell, name in names.items():
        if root_pair(cell) in ids:
            yield f"cell {name}  new keys in the root VPN"
        if hub_seed(cell) in ids:
            yield f"cell {name}  new keys with every particle"
    for each in plan.particles:
        if particle_seed(each.id) in ids:
            yield f"particle {each.name}  new keys at every cell"
        if at := [name for cell, name in names.items() if pair_seed(each.id, cell) in ids]:
            yield f"particle {each.name}  new keys at {', '.join(at)}"
    for link in plan.links:
        if link_psk(link.name) in ids:
            yield f"link {names[link.a.cell]} ↔ {names[link.b.cell]}  new keys"


def _keys_of(links: Iterable[Link]) -> set[str]:
    return {
        key
        for link in links
        for key in (link_psk(link.name), *(link_pair(link.name, cell) for cell in link.cells))
    }
