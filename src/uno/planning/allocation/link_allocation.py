"""Allocates to each link a number in the pool and, per end, a slot, a port and an import policy.

A link of the parent keeps its number and slots. A new link gets the lowest that are free both now
and in the parent, so that it can be up before old links are removed. Addresses follow from the
number and ports from the slot: a new pool re-addresses all links, a new base port changes the ports
of its cell, and nothing else changes a link that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TypeAlias

from uno.diagnostics import Problem, Rejected
from uno.model.plan import Link, LinkEnd, Plan, PlannedCell, Pools, RootVpn
from uno.model.syntax import same_host
from uno.model.uvn import Uvn
from uno.planning.allocation import addresses
from uno.planning.allocation.port_allocation import Listener, Site, Slots
from uno.planning.import_policy import import_origins
from uno.planning.topology.graph import Pair

_End: TypeAlias = tuple[int, int]  # (cell, neighbour)


def links(uvn: Uvn, draft: Plan, pairs: Iterable[Pair], parent: Plan | None) -> tuple[Link, ...]:
    """Return the links between `pairs`, in their order, for a `draft` that lacks only these.

    Raises `Rejected` if the pool or a cell's ports do not suffice.
    """
    pairs = sorted(pairs)
    before = {link.cells: link for link in parent.links} if parent else {}
    leaving = _leaving(pairs, before, {cell.member.id for cell in draft.cells})
    numbers = _numbers(pairs, before, {link.number for link in leaving}, draft.pools)
    slots = Slots(_sites(uvn), listeners(draft.cells, draft.root))
    for link in leaving:
        slots.spare(link.a.cell, link.a.slot)
        slots.spare(link.b.cell, link.b.slot)
    chosen = _kept(pairs, before, slots, _endpoints(parent))
    for key in _ends(pairs):
        if key not in chosen:
            chosen[key] = slots.take(key[0])
    origins = import_origins((cell.member.id for cell in draft.cells), pairs)

    def end(cell: int, neighbour: int, *, number: int) -> LinkEnd:
        even4, even6 = addresses.link(draft.pools, number)
        side = int(cell > neighbour)
        slot = chosen[cell, neighbour]
        return LinkEnd(
            cell=cell,
            slot=slot,
            address4=even4 + side,
            address6=even6 + side,
            port=slots.port(cell, slot),
            import_origins=origins[cell, neighbour],
        )

    return tuple(
        Link(number=number, a=end(a, b, number=number), b=end(b, a, number=number))
        for (a, b), number in zip(pairs, numbers, strict=True)
    )


def listeners(cells: Iterable[PlannedCell], root: RootVpn | None) -> tuple[Listener, ...]:
    """Return the listeners at fixed ports of public hosts: the registry, and the cells' hubs."""
    found = []
    if root and root.endpoint and root.port:
        found.append(_listener("the registry", root.endpoint, root.port, "root_vpn.port"))
    for cell in cells:
        name, endpoint = cell.member.name, cell.member.endpoint
        if endpoint and cell.root_port:
            found.append(_listener(f"{name} (root VPN)", endpoint, cell.root_port, "root_vpn_port"))
        if endpoint and cell.particles_port:
            port = cell.particles_port
            found.append(_listener(f"{name} (particles)", endpoint, port, "particles_vpn_port"))
    return tuple(found)


def _listener(what: str, endpoint: str, port: int, setting: str) -> Listener:
    return Listener(what=what, host=same_host(endpoint), port=port, setting=setting)


def _sites(uvn: Uvn) -> dict[int, Site]:
    default = uvn.settings.backbone_vpn.port
    return {
        cell.id: Site(
            name=cell.name,
            host=same_host(cell.address) if cell.address else None,
            base=cell.settings.backbone_vpn_port or default,
        )
        for cell in uvn.active_cells
    }


def _leaving(
    pairs: Iterable[Pair], before: Mapping[Pair, Link], cells: set[int]
) -> tuple[Link, ...]:
    """Return the parent's links that are removed though both of their cells stay."""
    staying = set(pairs)
    gone = (link for pair, link in before.items() if pair not in staying)
    return tuple(link for link in gone if cells.issuperset(link.cells))


def _numbers(
    pairs: list[Pair], before: Mapping[Pair, Link], leaving: set[int], pools: Pools
) -> list[int]:
    last = addresses.last_link(pools)
    if len(pairs) > last:
        raise Rejected(_pool_exhausted(len(pairs), last, pools))
    kept = {pair: before[pair].number for pair in pairs if pair in before}
    kept = {pair: number for pair, number in kept.items() if number <= last}
    used = {*kept.values(), *leaving}
    free = (number for number in range(1, last + 1) if number not in used)
    scarce = (number for number in sorted(leaving - set(kept.values())) if number <= last)
    new = chain(free, scarce)
    return [kept[pair] if pair in kept else next(new) for pair in pairs]


def _kept(
    pairs: list[Pair], before: Mapping[Pair, Link], slots: Slots, endpoints: Mapping[int, str]
) -> dict[_End, int]:
    ends = {
        (end.cell, other.cell): end
        for link in (before[pair] for pair in pairs if pair in before)
        for end, other in ((link.a, link.b), (link.b, link.a))
    }

    def moved(key: _End) -> tuple[bool, _End]:
        end = ends[key]
        same_port = slots.port(end.cell, end.slot) == end.port
        return not same_port or slots.host(end.cell) != endpoints.get(end.cell), key

    # Where a change makes two ports collide, the links of the changed cell get other ports.
    return {
        key: ends[key].slot
        for key in sorted(ends, key=moved)
        if slots.claim(ends[key].cell, ends[key].slot)
    }


def _endpoints(parent: Plan | None) -> dict[int, str]:
    members = [cell.member for cell in parent.cells] if parent else []
    return {member.id: same_host(member.endpoint) for member in members if member.endpoint}


def _ends(pairs: list[Pair]) -> list[_End]:
    return [end for a, b in pairs for end in ((a, b), (b, a))]


def _pool_exhausted(needed: int, last: int, pools: Pools) -> Problem:
    return Problem(
        what=f"{pools.backbone} has room for {last} backbone links, and {needed} are needed",
        hint="set a larger `backbone_vpn.subnet`, or a strategy with fewer links",
    )
