"""Links change their keys in batches, each as large as leaves all cells connected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from types import SimpleNamespace
from typing import cast

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from uno.controller.rekey_batches import batches, rekeyed, rekeyed_for
from uno.model.key_ids import link_pair
from uno.model.plan import Link, LinkEnd, Plan
from uno.model.uvn import Uvn
from uno.planning import planner

Pair = tuple[int, int]


def end(cell: int) -> LinkEnd:
    return LinkEnd(cell=cell, slot=0, address4=IPv4Address(cell), address6=IPv6Address(cell))


def backbone(pairs: Iterable[Pair]) -> Plan:
    """Return the part of a plan that the batches depend on."""
    links = tuple(
        Link(number=number, a=end(a), b=end(b)) for number, (a, b) in enumerate(sorted(pairs))
    )
    return cast("Plan", SimpleNamespace(links=links, public_keys={}))


def graph(pairs: Iterable[Pair]) -> nx.Graph[int]:
    made: nx.Graph[int] = nx.Graph()
    made.add_edges_from(pairs)
    return made


def name(pair: Pair) -> str:
    return f"{pair[0]}-{pair[1]}"


def components(made: nx.Graph[int]) -> set[frozenset[int]]:
    return set(map(frozenset, nx.connected_components(made)))


PAIRS = st.sets(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda it: it[0] < it[1]), min_size=1
)


@pytest.mark.feature("G08")
@given(pairs=PAIRS, data=st.data())
def test_what_is_left_of_the_backbone_connects_all_that_it_connects_now(
    pairs: set[Pair], data: st.DataObject
) -> None:
    some = st.sets(st.sampled_from(sorted(pairs)))
    changing, down = data.draw(some), data.draw(some)
    working = graph(pairs - down)
    working.add_nodes_from(graph(pairs))
    bridges = {name((min(it), max(it))) for it in nx.bridges(working)}

    found = batches(backbone(pairs), {name(it) for it in changing}, down={name(it) for it in down})

    assert sorted(it for batch in found for it in batch) == sorted(map(name, changing))
    for batch in found:
        left = working.copy()
        left.remove_edges_from(it for it in pairs if name(it) in batch)
        is_whole = set(map(frozenset, nx.connected_components(left))) == set(
            map(frozenset, nx.connected_components(working))
        )
        # Only what nothing can stand in for goes down, and that last and together.
        assert is_whole or (
            batch == found[-1] and bridges >= set(batch) - {name(it) for it in down}
        )


def test_a_ring_changes_link_by_link_and_a_full_mesh_in_two_batches() -> None:
    ring = [(1, 2), (2, 3), (3, 4), (1, 4)]
    mesh = [(a, b) for a in range(1, 7) for b in range(a + 1, 7)]

    assert [len(each) for each in batches(backbone(ring), set(map(name, ring)))] == [1, 1, 1, 1]
    assert [len(each) for each in batches(backbone(mesh), set(map(name, mesh)))] == [10, 5]


@pytest.fixture
def plan(definition: Callable[..., Uvn]) -> Plan:
    plan = planner.plan(definition(4), None)
    pairs = planner.required_keys(plan).pairs
    return planner.with_keys(plan, {key: f"old {key}" for key in pairs})


def with_new_keys(plan: Plan, *names: str) -> Plan:
    keys = {
        link_pair(link.name, cell): "new"
        for link in plan.links
        if link.name in names
        for cell in link.cells
    }
    return replace(plan, public_keys={**plan.public_keys, **keys})


def test_a_link_is_rekeyed_if_it_stays_where_it_is_and_has_other_keys(plan: Plan) -> None:
    first, second, *rest = plan.links
    new = with_new_keys(plan, first.name, second.name)
    moved = replace(second, a=replace(second.a, port=1))

    assert rekeyed(plan, new) == (first.name, second.name)
    assert rekeyed(plan, replace(new, links=(first, moved, *rest))) == (first.name,)
    assert rekeyed(plan, plan) == ()


def test_a_cell_rekeys_its_own_links_and_one_with_an_unknown_plan_none(plan: Plan) -> None:
    names = tuple(link.name for link in plan.links)
    of_first = tuple(link.name for link in plan.links if 1 in link.cells)
    new = with_new_keys(plan, *names)

    assert rekeyed_for(new, {1: plan, 2: None}) == of_first
    assert rekeyed_for(new, {1: new}) == ()
