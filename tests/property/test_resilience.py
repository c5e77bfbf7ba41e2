"""What failures cost, against its definition: a search for each failure, under BGP's policy."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from strategies import uvns
from uno.model.net import Network
from uno.model.plan import Member, Plan
from uno.model.uvn import Cell, CellSettings, Strategy, Uvn
from uno.planning.planner import plan
from uno.planning.survivability.failures import (
    CutPairs,
    FailureKind,
    cut_pairs,
    failure_cost,
    failure_impacts,
)
from uno.planning.survivability.report import verify
from uno.planning.survivability.suggestions import Suggestion
from uno.planning.topology.graph import Pair

Traffic = set[tuple[int, int]]


@pytest.mark.feature("G03")
@settings(max_examples=60, deadline=None)
@given(uvn=uvns())
def test_losses_are_those_of_a_search_for_every_failure(uvn: Uvn) -> None:
    made = plan(uvn, None)
    found = {
        (loss.kind, loss.failed): (loss.lan_pairs, loss.particle_paths)
        for loss in failure_impacts(made)
    }

    whole = possible(made)
    expected = {(FailureKind.NOTHING, ()): cost(made, whole - reachable(made))}
    for link in made.links:
        lost = whole - reachable(made, links=[link.cells])
        expected[FailureKind.LINK, link.cells] = cost(made, lost)
    by_host: dict[str | None, list[int]] = {}
    for cell in made.cells:
        gone = cell.member.id
        left = {pair for pair in whole if gone not in pair}
        expected[FailureKind.CELL, (gone,)] = cost(made, left - reachable(made, cells=[gone]))
        by_host.setdefault(cell.member.endpoint and cell.member.endpoint.lower(), []).append(gone)
    for host, site in by_host.items():
        if host is not None and len(site) > 1:
            left = {pair for pair in whole if not set(site) & set(pair)}
            expected[FailureKind.SITE, tuple(site)] = cost(made, left - reachable(made, cells=site))
    assert found == {failed: lost for failed, lost in expected.items() if lost != (0, 0)}
    members, pairs = [cell.member for cell in made.cells], [link.cells for link in made.links]
    computed = failure_cost(members, pairs)
    assert (computed.findings, computed.cost) == (len(found), sum(map(sum, found.values())))


@pytest.mark.feature("G03")
@settings(max_examples=40, deadline=None)
@given(uvn=uvns(strategies=(Strategy.STATIC, Strategy.RANDOM, Strategy.CIRCULAR), max_cells=8))
def test_cycles_are_the_pairs_of_links_that_cost_more_together(uvn: Uvn) -> None:
    made = plan(uvn, None)
    found: dict[frozenset[Pair], Traffic] = {}
    for cycle in cut_pairs(made):
        found |= pairs_of(made, cycle)
        assert cycle.pairs == len(pairs_of(made, cycle))

    whole = reachable(made)
    alone = {link.cells: whole - reachable(made, links=[link.cells]) for link in made.links}
    expected = {}
    for one, other in combinations(sorted(alone), 2):
        both = whole - reachable(made, links=[one, other]) - alone[one] - alone[other]
        if both:
            expected[frozenset((one, other))] = both
    assert {pair: traffic & whole for pair, traffic in found.items()} == expected


@pytest.mark.feature("G03")
@given(uvn=uvns())
def test_a_cell_cut_off_is_in_one_group(uvn: Uvn) -> None:
    made = plan(uvn, None)

    for loss in failure_impacts(made):
        cells = [cell for group in loss.cut_off for cell in group]
        assert len(cells) == len(set(cells))
        if len(loss.failed) == 1:
            assert not set(loss.failed) & set(cells)


@pytest.mark.feature("G03")
@settings(max_examples=60, deadline=None)
@given(uvn=uvns(), depth=st.sampled_from([1, 2]))
def test_a_suggestion_leaves_as_many_findings_as_it_counts(uvn: Uvn, depth: int) -> None:
    made = plan(uvn, None)
    found = verify(uvn, made, depth=depth)
    if found.suggestion is None:
        return

    whole = carried_out(uvn, found.suggestion, with_lans=True)
    bare = carried_out(uvn, found.suggestion, with_lans=False)

    assert findings(whole, made, depth) == found.suggestion.left
    assert findings(bare, made, depth) <= found.suggestion.left
    assert found.suggestion.left < len(found.failure_impacts) + len(found.cut_pairs)


def findings(uvn: Uvn, before: Plan, depth: int) -> int:
    after = verify(uvn, plan(uvn, before), depth=depth)
    return len(after.failure_impacts) + len(after.cut_pairs)


def carried_out(uvn: Uvn, suggestion: Suggestion, *, with_lans: bool) -> Uvn:
    """Carry a suggestion out; new cells have LANs, and particles where others have, or neither."""
    deployment = uvn.settings.deployment
    args = {name: list(peers) for name, peers in deployment.strategy_args.items()}
    for one, other in suggestion.links:
        args.setdefault(one, []).append(other)
    versions = {lan.version for cell in uvn.active_cells for lan in cell.allowed_lans}
    new = [
        Cell(
            id=uvn.next_cell + at,
            name=f"new{at}",
            owner=uvn.owner,
            address=f"new{at}.example.org",
            allowed_lans=tuple(
                lan for lan in new_lans(at) if with_lans and lan.version in versions
            ),
            settings=CellSettings(enable_particles_vpn=with_lans),
        )
        for at in range(suggestion.public_cells)
    ]
    uplinks = suggestion.private_uplinks or deployment.private_uplinks
    deployment = replace(deployment, strategy_args=args, private_uplinks=uplinks)
    return replace(
        uvn,
        cells=(*uvn.cells, *new),
        settings=replace(uvn.settings, deployment=deployment),
        next_cell=uvn.next_cell + len(new),
    )


def new_lans(at: int) -> tuple[Network, ...]:
    return IPv4Network(f"172.16.{at}.0/24"), IPv6Network(f"2001:db8:1:{at:x}::/64")


def possible(made: Plan) -> Traffic:
    """The ordered pairs (from, to) of cells with traffic between them."""
    return {
        (one.member.id, other.member.id)
        for one in made.cells
        for other in made.cells
        if one is not other
        and (
            lan_pairs_of(one.member, other.member)
            or (one.member.serves_particles and other.member.lans)
        )
    }


def lan_pairs_of(one: Member, other: Member) -> int:
    """The pairs of a LAN of one cell and a LAN of another that have one IP version."""
    return sum(mine.version == its.version for mine in one.lans for its in other.lans)


def reachable(made: Plan, *, links: Iterable[Pair] = (), cells: Iterable[int] = ()) -> Traffic:
    """Of `possible`, what has a way there and back without these links and cells.

    A prefix goes from cell to cell where the receiver imports it.
    """
    down, gone = set(links), set(cells)
    known: dict[int, set[int]] = {}
    for cell in made.cells:
        origin = cell.member.id
        imports = nx.DiGraph()
        imports.add_node(origin)
        for link in made.links:
            if link.cells in down or gone & set(link.cells):
                continue
            for sender, receiver in ((link.a, link.b), (link.b, link.a)):
                if origin in receiver.import_origins:
                    imports.add_edge(sender.cell, receiver.cell)
        known[origin] = set(nx.descendants(imports, origin))
    return {
        (one, other)
        for one, other in possible(made)
        if one in known[other] and other in known[one] and not gone & {one, other}
    }


def cost(made: Plan, lost: Traffic) -> tuple[int, int]:
    members = {cell.member.id: cell.member for cell in made.cells}
    lans = sum(lan_pairs_of(members[one], members[other]) for one, other in lost)
    paths = sum(len(members[other].lans) for one, other in lost if members[one].serves_particles)
    # Traffic of particles goes one way in `lost`, that of LANs both ways.
    return lans // 2, paths


def pairs_of(made: Plan, cycle: CutPairs) -> dict[frozenset[Pair], Traffic]:
    found = {}
    for i, j in combinations(range(len(cycle.links)), 2):
        inner = {cell for piece in cycle.pieces[i:j] for cell in piece}
        outer = {cell for piece in cycle.pieces for cell in piece} - inner
        lost = {(a, b) for a, b in possible(made) if {a in inner, b in inner} == {True, False}}
        lost = {(a, b) for a, b in lost if {a, b} <= inner | outer}
        if lost:
            found[frozenset((cycle.links[i], cycle.links[j]))] = lost
    return found
