"""The invariants of a plan: what holds for every plan, from whatever definition and parent.

They are computed from the plan alone, independently of the planner, so that its mistakes show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from uno.model.net import network_order, overlap
from uno.model.plan import Link, LinkEnd, Plan
from uno.model.syntax import same_host
from uno.model.uvn import Strategy
from uno.planning.allocation.link_allocation import listeners
from uno.planning.import_policy import import_origins
from uno.planning.topology.graph import dfs_tree

_T = TypeVar("_T", bound=Hashable)


def broken_invariants(plan: Plan) -> tuple[str, ...]:
    """Return a sentence for each thing that is wrong with `plan`; none if it is sound."""
    names = {cell.member.id: cell.member.name for cell in plan.cells}
    dangling = [link for link in plan.links for cell in link.cells if cell not in names]
    if dangling:
        # No other check can be made with such links.
        return tuple(f"link {link.name} ends at a cell that does not exist" for link in dangling)
    return tuple(broken for check in _CHECKS for broken in check(plan))


def _ids(plan: Plan) -> Iterator[str]:
    yield from _repeated("cell id", (cell.member.id for cell in plan.cells))
    yield from _repeated("cell name", (cell.member.name for cell in plan.cells))
    yield from _repeated("particle id", (each.id for each in plan.particles))
    yield from _repeated("link", (link.name for link in plan.links))
    yield from _repeated("link number", (link.number for link in plan.links))


def _ends(plan: Plan) -> Iterator[str]:
    for link in plan.links:
        if link.a.cell >= link.b.cell:
            yield f"link {link.name} does not name its lower cell first"
        for this, other in ((link.a, link.b), (link.b, link.a)):
            if this.cell in this.import_origins:
                yield f"cell {this.cell} accepts its own prefixes on link {link.name}"
            if other.cell not in this.import_origins:
                yield f"cell {this.cell} does not accept its neighbour's on link {link.name}"


def _policy(plan: Plan) -> Iterator[str]:
    # On this condition `planning.survivability.failures` holds for BGP and not only for the graph.
    everyone = [cell.member.id for cell in plan.cells]
    needed = import_origins(everyone, (link.cells for link in plan.links))
    for link in plan.links:
        for this, other in ((link.a, link.b), (link.b, link.a)):
            origins = needed[this.cell, other.cell]
            if this.import_origins != origins and any(
                each in origins and each not in this.import_origins for each in everyone
            ):
                yield f"cell {this.cell} rejects prefixes that may come through link {link.name}"


def _nodes(plan: Plan) -> Iterator[str]:
    members = [cell.member for cell in plan.cells]
    addresses = [address for each in members for address in (each.node4, each.node6)]
    if plan.root:
        addresses += [plan.root.registry4, plan.root.registry6]
    yield from _repeated("node address", addresses)
    for each in members:
        if each.node4 not in plan.pools.root or each.node6 not in plan.pools.ula:
            yield f"cell {each.name} has an address outside the pools"
    yield from _repeated(
        "particle address", (a for each in plan.particles for a in (each.address4, each.address6))
    )
    for particle in plan.particles:
        inside = particle.address4 in plan.pools.particles
        if not inside or particle.address6 not in plan.pools.particles6:
            yield f"particle {particle.name} has an address outside the pools"


def _link_addresses(plan: Plan) -> Iterator[str]:
    for link in plan.links:
        net4 = IPv4Network((int(link.a.address4), 31), strict=False)
        net6 = IPv6Network((int(link.a.address6), 127), strict=False)
        if (link.a.address4, link.b.address4) != (net4[0], net4[1]):
            yield f"link {link.name} does not have the two addresses of one /31"
        if (link.a.address6, link.b.address6) != (net6[0], net6[1]):
            yield f"link {link.name} does not have the two addresses of one /127"
        if not (net4.subnet_of(plan.pools.backbone) and net6.subnet_of(plan.pools.ula)):
            yield f"link {link.name} has addresses outside the pools"
    ends = [end for link in plan.links for end in (link.a, link.b)]
    yield from _repeated("link address", (end.address4 for end in ends))
    yield from _repeated("link address", (end.address6 for end in ends))


def _slots(plan: Plan) -> Iterator[str]:
    for cell, ends in _ends_by_cell(plan.links).items():
        for slot in _twice(end.slot for end in ends):
            yield f"cell {cell} has two links in slot {slot}"


def _ports(plan: Plan) -> Iterator[str]:
    endpoints = {cell.member.id: cell.member.endpoint for cell in plan.cells}
    used = [(each.host, each.port) for each in listeners(plan.cells, plan.root)]
    for cell, ends in _ends_by_cell(plan.links).items():
        endpoint = endpoints[cell]
        for end in ends:
            if (endpoint is None) != (end.port is None):
                yield f"cell {cell} has a port and no public address, or the reverse"
            if endpoint and end.port:
                used.append((same_host(endpoint), end.port))
    for where, port in _twice(used):
        yield f"two listeners share UDP port {port} of {where}"
    for where, port in used:
        if not 0 < port <= 65535:
            yield f"{where} has no UDP port {port}"


def _lans(plan: Plan) -> Iterator[str]:
    announced = [(lan, cell.member.name) for cell in plan.cells for lan in cell.member.lans]
    announced.sort(key=lambda item: network_order(item[0]))
    # In this order a network overlaps one further on only if it overlaps all between.
    for at, (lan, name) in enumerate(announced):
        for other, owner in announced[at + 1 :]:
            if not overlap(lan, other):
                break
            if owner != name:
                yield f"{lan} of {name} overlaps {other} of {owner}"


def _reach(plan: Plan) -> Iterator[str]:
    public = {cell.member.id for cell in plan.cells if cell.member.endpoint}
    for link in plan.links:
        if not public.intersection(link.cells):
            yield f"link {link.name} is between two private cells"


def _connected(plan: Plan) -> Iterator[str]:
    if plan.strategy is Strategy.STATIC:
        # The owner chose the links; `planning.survivability.failures` reports the cost.
        return
    cells = [cell.member for cell in plan.cells]
    backbone = dfs_tree((cell.id for cell in cells), (link.cells for link in plan.links))
    if len(backbone.roots) > 1:
        yield f"the backbone is in {len(backbone.roots)} pieces"
    ringed = plan.strategy in (Strategy.CROSSED, Strategy.CIRCULAR)
    single = backbone.articulation_points
    if ringed and len(cells) > 2 and all(cell.endpoint for cell in cells) and single:
        yield f"the loss of cell {single[0]} parts the others"


def _ring(plan: Plan) -> Iterator[str]:
    public = sorted(cell.member.id for cell in plan.cells if cell.member.endpoint)
    if sorted(plan.ring) != public:
        yield "the ring does not hold each public cell once"


_CHECKS: tuple[Callable[[Plan], Iterable[str]], ...] = (
    _ids,
    _ends,
    _policy,
    _nodes,
    _link_addresses,
    _slots,
    _ports,
    _lans,
    _reach,
    _connected,
    _ring,
)


def _ends_by_cell(links: Iterable[Link]) -> Mapping[int, list[LinkEnd]]:
    ends: dict[int, list[LinkEnd]] = {}
    for link in links:
        ends.setdefault(link.a.cell, []).append(link.a)
        ends.setdefault(link.b.cell, []).append(link.b)
    return ends


def _repeated(kind: str, values: Iterable[Hashable]) -> Iterator[str]:
    return (f"{kind} {value} is there twice" for value in _twice(values))


def _twice(values: Iterable[_T]) -> list[_T]:
    return [value for value, count in Counter(values).items() if count > 1]
