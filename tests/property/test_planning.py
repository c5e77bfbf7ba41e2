"""What holds of every plan, and of every step from one plan to the next."""

from __future__ import annotations

from collections import Counter
from itertools import count

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from strategies import OWNER, public_name, settings, uvns
from uno.model import codec
from uno.model.plan import Link, Plan
from uno.model.syntax import same_host
from uno.model.uvn import Cell, Strategy, Uvn, with_added_cell
from uno.planning.backbone_map import WIDTH, text
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.diff.plan_diff import PlanDiff, diff, lines
from uno.planning.invariants import broken_invariants
from uno.planning.planner import plan, required_keys, with_keys

RINGS = (Strategy.CROSSED, Strategy.CIRCULAR)
CHOSEN_BY_UNO = tuple(each for each in Strategy if each is not Strategy.STATIC)


@pytest.mark.feature("F005")
@pytest.mark.feature("F006")
@pytest.mark.feature("F007")
@pytest.mark.feature("F009")
@pytest.mark.feature("F063")
@pytest.mark.feature("G32")
@given(uvn=uvns())
def test_every_plan_is_sound(uvn: Uvn) -> None:
    made = plan(uvn, None)

    assert broken_invariants(made) == ()
    assert [cell.member.id for cell in made.cells] == [cell.id for cell in uvn.active_cells]


@pytest.mark.feature("G02")
@given(uvn=uvns(), later=st.data())
def test_every_later_plan_is_sound(uvn: Uvn, later: st.DataObject) -> None:
    changed = later.draw(uvns())

    after = plan(changed, keyed(plan(uvn, None)))

    assert broken_invariants(after) == ()


@pytest.mark.feature("F061")
@pytest.mark.feature("G02")
@given(uvn=uvns(), other=uvns())
def test_a_plan_is_its_own_successor(uvn: Uvn, other: Uvn) -> None:
    made = keyed(plan(uvn, plan(other, None)))

    again = plan(uvn, made)

    assert codec.encode(again) == codec.encode(made)
    assert diff(made, again) == PlanDiff()
    assert lines(diff(made, again)) == ()


@pytest.mark.feature("G02")
@given(uvn=uvns(), other=uvns())
def test_equal_input_gives_equal_bytes(uvn: Uvn, other: Uvn) -> None:
    parent = plan(other, None)
    copy_of_uvn = codec.decode(codec.encode(uvn), Uvn)
    copy_of_parent = codec.decode(codec.encode(parent), Plan)

    assert codec.encode(plan(copy_of_uvn, copy_of_parent)) == codec.encode(plan(uvn, parent))


@pytest.mark.feature("F023")
@pytest.mark.feature("F054")
@pytest.mark.feature("F061")
@pytest.mark.feature("G02")
@given(uvn=uvns(strategies=CHOSEN_BY_UNO), public=st.booleans())
def test_a_new_cell_moves_nothing_else(*, uvn: Uvn, public: bool) -> None:
    before = keyed(plan(uvn, None))

    after = plan(with_new_cell(uvn, public=public), before)

    assert_kept_links_are_untouched(before, after)
    assert_cells_are_untouched(before, after)
    assert required_keys(before).pairs == tuple(
        key for key in required_keys(before).pairs if key in before.public_keys
    )
    assert all(before.public_keys[key] == value for key, value in after.public_keys.items())


@pytest.mark.feature("F054")
@pytest.mark.feature("F056")
@given(uvn=uvns(strategies=RINGS))
def test_a_new_public_cell_takes_one_ring_link_and_its_share_of_the_private_cells(uvn: Uvn) -> None:
    before = plan(uvn, None)

    after = plan(with_new_cell(uvn, public=True), before)

    gone = [link for link in before.links if link.cells not in pairs(after)]
    assert sum(is_among_public(link, uvn) for link in gone) <= 1
    moved = len(gone) - sum(is_among_public(link, uvn) for link in gone)
    share = uplinks_by_home(after)[uvn.next_cell]
    assert moved <= share


@pytest.mark.feature("F055")
@pytest.mark.feature("G11")
@given(uvn=uvns(strategies=RINGS))
def test_a_new_private_cell_takes_no_link_away(uvn: Uvn) -> None:
    before = plan(uvn, None)

    after = plan(with_new_cell(uvn, public=False), before)

    assert pairs(before) <= pairs(after)


@pytest.mark.feature("F055")
@pytest.mark.feature("G11")
@given(uvn=uvns(strategies=RINGS), other=uvns())
def test_private_cells_are_evenly_divided_among_cells_and_addresses(uvn: Uvn, other: Uvn) -> None:
    after = plan(uvn, plan(other, None))

    loads = uplinks_by_home(after).values()
    wanted = min(uvn.settings.deployment.private_uplinks, len(loads))
    degrees = Counter(cell for link in after.links for cell in link.cells)
    hosts = {cell.id: same_host(cell.address) for cell in uvn.active_cells if cell.address}
    addresses = len(set(hosts.values()))
    assert addresses < len(loads) or max(loads) - min(loads) <= 1
    for cell in uvn.active_cells:
        if not cell.is_public:
            assert degrees[cell.id] == wanted
            homes = {other for pair in pairs(after) if cell.id in pair for other in pair}
            homes.remove(cell.id)
            assert len({hosts[home] for home in homes}) == min(wanted, addresses)


@pytest.mark.feature("F061")
@pytest.mark.feature("G02")
@given(uvn=uvns(), choice=st.data())
def test_a_cell_that_leaves_moves_nothing_else(uvn: Uvn, choice: st.DataObject) -> None:
    before = keyed(plan(uvn, None))
    smaller, left = without_a_cell(uvn, choice)

    after = plan(smaller, before)

    assert broken_invariants(after) == ()
    assert_kept_links_are_untouched(before, after)
    assert_cells_are_untouched(before, after)
    assert not any(left in link.cells for link in after.links)


@pytest.mark.feature("F054")
@pytest.mark.feature("F056")
@given(uvn=uvns(strategies=RINGS, max_cells=20), choice=st.data())
def test_a_cell_that_leaves_costs_the_others_two_links_at_most(
    uvn: Uvn, choice: st.DataObject
) -> None:
    before = plan(uvn, None)
    smaller, left = without_a_cell(uvn, choice)

    after = plan(smaller, before)

    gone = [link for link in before.links if link.cells not in pairs(after)]
    others = [link for link in gone if left not in link.cells and is_among_public(link, uvn)]
    assert len(others) <= (2 if uvn.settings.deployment.strategy is Strategy.CROSSED else 0)


@pytest.mark.feature("F061")
@given(uvn=uvns(), choice=st.data())
def test_another_strategy_keeps_the_links_that_both_have(uvn: Uvn, choice: st.DataObject) -> None:
    before = keyed(plan(uvn, None))
    drawn = choice.draw(settings(uvn.cells)).deployment

    after = plan(replace(uvn, settings=replace(uvn.settings, deployment=drawn)), before)

    assert broken_invariants(after) == ()
    assert_kept_links_are_untouched(before, after)


@pytest.mark.feature("F059")
@given(uvn=uvns(strategies=(Strategy.RANDOM,)), other=uvns(), public=st.booleans())
def test_a_random_graph_depends_on_the_seed_and_the_cells_alone(
    *, uvn: Uvn, other: Uvn, public: bool
) -> None:
    alone = plan(uvn, None)
    larger = with_new_cell(uvn, public=public)

    assert pairs(plan(uvn, plan(other, None))) == pairs(alone)
    assert pairs(alone) <= pairs(plan(larger, None))


@pytest.mark.feature("F059")
@given(uvn=uvns(strategies=(Strategy.RANDOM,)))
def test_a_random_graph_keeps_to_the_limits(uvn: Uvn) -> None:
    made = plan(uvn, None)

    graph = graph_of(made)
    public = {cell.id for cell in uvn.active_cells if cell.is_public}
    assert nx.is_connected(graph)
    assert all(degree <= 2 for cell, degree in graph.degree if cell not in public)
    assert len(public) < 2 or len(graph) < 3 or nx.is_biconnected(graph)


@pytest.mark.feature("G22")
@given(uvn=uvns())
def test_an_end_accepts_what_its_neighbour_reaches_without_it(uvn: Uvn) -> None:
    made = plan(uvn, None)

    graph = graph_of(made)
    for link in made.links:
        for end, far in ((link.a, link.b), (link.b, link.a)):
            without = nx.restricted_view(graph, [end.cell], [])
            reached = nx.node_connected_component(without, far.cell)
            assert {cell for cell in graph if cell in end.import_origins} == reached
            shorter = min(len(reached), len(graph) - len(reached))
            assert len(end.import_origins.cells) == shorter
            assert end.import_origins.complement == (2 * len(reached) > len(graph))


@given(uvn=uvns())
def test_every_cell_gets_its_own_part(uvn: Uvn) -> None:
    made = keyed(plan(uvn, None))

    parts = cell_plans(made)

    assert [member.id for member in roster(made).members] == list(parts)
    for link in made.links:
        (seen_by_a,) = (peer for peer in parts[link.a.cell].links if peer.cell == link.b.cell)
        (seen_by_b,) = (peer for peer in parts[link.b.cell].links if peer.cell == link.a.cell)
        assert (seen_by_a.local4, seen_by_a.local6) == (seen_by_b.remote4, seen_by_b.remote6)
        assert seen_by_a.psk == seen_by_b.psk
        assert seen_by_a.public_key == made.public_keys[seen_by_b.key]
        assert seen_by_a.endpoint or seen_by_b.endpoint


@given(old=uvns(), new=uvns())
def test_a_difference_names_every_cell_whose_part_changes(old: Uvn, new: Uvn) -> None:
    before, after = plan(old, None), plan(new, None)

    found = diff(before, after)

    changed = {
        cell for cell, part in cell_plans(after).items() if cell_plans(before).get(cell) != part
    }
    assert set(found.cell_plans) == changed
    assert (found == PlanDiff()) == (codec.encode(before) == codec.encode(after))


@pytest.mark.feature("F064")
@given(uvn=uvns())
def test_the_map_fits_a_terminal(uvn: Uvn) -> None:
    made = plan(uvn, None)

    printed = text(made)

    assert max(map(len, printed.splitlines())) <= WIDTH
    for link in made.links:
        assert printed.count(f" {link.a.address4} ") == 2


def keyed(made: Plan) -> Plan:
    """Give each pair a key that no other has."""
    numbers = count()
    return with_keys(made, {key: f"key {next(numbers)}" for key in required_keys(made).pairs})


def with_new_cell(uvn: Uvn, *, public: bool) -> Uvn:
    address = public_name(uvn.next_cell) if public else None
    return with_added_cell(uvn, Cell(id=0, name="new", owner=OWNER, address=address))


def without_a_cell(uvn: Uvn, choice: st.DataObject) -> tuple[Uvn, int]:
    left = choice.draw(st.sampled_from(uvn.active_cells)).id
    smaller = replace(uvn, cells=tuple(cell for cell in uvn.cells if cell.id != left))
    assume(any(cell.is_public for cell in smaller.active_cells))
    return smaller, left


def assert_kept_links_are_untouched(before: Plan, after: Plan) -> None:
    old = {link.cells: stable_part(link) for link in before.links}
    new = {link.cells: stable_part(link) for link in after.links}
    assert {key: new[key] for key in old if key in new} == {
        key: old[key] for key in old if key in new
    }
    keys = {key for link in pairs(before) & pairs(after) for key in keys_of(link)}
    assert {key: after.public_keys[key] for key in keys} == {
        key: before.public_keys[key] for key in keys
    }


def assert_cells_are_untouched(before: Plan, after: Plan) -> None:
    old = {cell.member.id: cell for cell in before.cells}
    new = {cell.member.id: cell for cell in after.cells}
    assert all(new[cell] == old[cell] for cell in old if cell in new)
    assert before.particles == after.particles


def stable_part(link: Link) -> Link:
    """Return all of a link but for what may come through it."""
    nothing = type(link.a.import_origins)()
    return replace(
        link, a=replace(link.a, import_origins=nothing), b=replace(link.b, import_origins=nothing)
    )


def keys_of(link: tuple[int, int]) -> tuple[str, str]:
    a, b = link
    return f"link/{a}-{b}/{a}", f"link/{a}-{b}/{b}"


def pairs(made: Plan) -> set[tuple[int, int]]:
    return {link.cells for link in made.links}


def is_among_public(link: Link, uvn: Uvn) -> bool:
    public = {cell.id for cell in uvn.active_cells if cell.is_public}
    return public.issuperset(link.cells)


def uplinks_by_home(made: Plan) -> dict[int, int]:
    loads = {cell.member.id: 0 for cell in made.cells if cell.member.endpoint}
    for a, b in pairs(made):
        if a not in loads:
            loads[b] += 1
        elif b not in loads:
            loads[a] += 1
    return loads


def graph_of(made: Plan) -> nx.Graph[int]:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(cell.member.id for cell in made.cells)
    graph.add_edges_from(pairs(made))
    return graph
