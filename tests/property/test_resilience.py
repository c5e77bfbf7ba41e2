"""What failures cost, against its definition: a search for each failure, under BGP's policy."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from strategies import uvns
from uno.model.plan import Plan
from uno.model.uvn import Cell, CellSettings, Strategy, Uvn
from uno.planning.planner import plan
from uno.planning.survivability.failures import CutPairs, cut_pairs, failure_cost, failure_impacts
from uno.planning.survivability.report import verify
from uno.planning.survivability.suggestions import Suggestion
from uno.planning.topology.graph import Pair

Traffic = set[tuple[int, int]]


@pytest.mark.feature("G03")
@settings(max_examples=60, deadline=None)
@given(uvn=uvns())
def test_losses_are_those_of_a_search_for_every_failure(uvn: Uvn) -> None:
    made = plan(uvn, None)
    found = {loss.failed: (loss.lan_pairs, loss.particle_paths) for loss in failure_impacts(made)}

    whole = possible(made)
    expected = {(): cost(made, whole - reachable(made))}
    for link in made.links:
        lost = whole - reachable(made, links=[link.cells])
        expected[link.cells] = cost(made, lost)
    for cell in made.cells:
        gone = cell.member.id
        left = {pair for pair in whole if gone not in pair}
        expected[gone,] = cost(made, left - reachable(made, cells=[gone]))
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

    changed = carried_out(uvn, found.suggestion)

    after = verify(changed, plan(changed, made), depth=depth)
    assert len(after.failure_impacts) + len(after.cut_pairs) == found.suggestion.left
    assert found.suggestion.left < len(found.failure_impacts) + len(found.cut_pairs)


def carried_out(uvn: Uvn, suggestion: Suggestion) -> Uvn:
    deployment = uvn.settings.deployment
    args = {name: list(peers) for name, peers in deployment.strategy_args.items()}
    for one, other in suggestion.links:
        args.setdefault(one, []).append(other)
    new = [
        Cell(
            id=uvn.next_cell + at,
            name=f"new{at}",
            owner=uvn.owner,
            address=f"new{at}.example.org",
            settings=CellSettings(enable_particles_vpn=False),
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


def possible(made: Plan) -> Traffic:
    """The ordered pairs (from, to) of cells with traffic between them."""
    return {
        (one.member.id, other.member.id)
        for one in made.cells
        for other in made.cells
        if one is not other
        and other.member.lans
        and (one.member.lans or one.member.serves_particles)
    }


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
    lans = sum(len(members[one].lans) * len(members[other].lans) for one, other in lost)
    paths = sum(len(members[other].lans) for one, other in lost if members[one].serves_particles)
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
