"""Which LANs must reach each other by the model of a world."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from uno.lab.reachability_oracle import Holding, ReachabilityModel

ALL = frozenset({1, 2, 3, 4})


def holding(*neighbours: int, members: frozenset[int] = ALL) -> Holding:
    return Holding(neighbours=frozenset(neighbours), members=members)


# 1 - 2 - 3 in a ring with 4, which has no LAN.
RING = ReachabilityModel(
    holdings={1: holding(2, 4), 2: holding(1, 3), 3: holding(2, 4), 4: holding(1, 3)},
    lans=frozenset({1, 2, 3}),
)


def test_lans_of_a_whole_ring_reach_each_other() -> None:
    assert RING.reaching() == RING.pairs()


def test_one_cut_leaves_the_other_way_round() -> None:
    assert RING.cut((2, 1)).reaching() == RING.pairs()


def test_a_cell_with_all_of_its_links_cut_reaches_no_other() -> None:
    found = RING.cut((1, 2)).cut((4, 1)).reaching()

    assert found == {(2, 3), (3, 2)}


def test_what_is_mended_works_again() -> None:
    assert RING.cut((1, 2)).cut((1, 4)).restore((2, 1)).reaching() == RING.pairs()


def test_a_dark_cell_carries_nothing_and_reaches_nothing() -> None:
    dark = RING.lose_power(2)

    assert dark.reaching() == {(1, 3), (3, 1)}
    assert dark.boot(2).reaching() == RING.pairs()


def test_a_link_takes_both_ends() -> None:
    half = RING.hold({2: holding(3)}).cut((1, 4))

    assert (1, 2) not in half.links()
    assert half.reaching() == {(2, 3), (3, 2)}


def test_who_does_not_know_a_lan_does_not_forward_to_it() -> None:
    unaware = RING.hold({2: holding(1, 3, members=frozenset({1, 2, 4}))}).cut((3, 4))

    assert unaware.reaching() == {(1, 2), (2, 1)}


@given(
    links=st.sets(st.tuples(st.integers(1, 7), st.integers(1, 7))),
    cuts=st.sets(st.tuples(st.integers(1, 7), st.integers(1, 7))),
    dark=st.sets(st.integers(1, 7)),
)
def test_where_all_know_all_it_is_a_matter_of_being_connected(
    links: set[tuple[int, int]], cuts: set[tuple[int, int]], dark: set[int]
) -> None:
    cells = frozenset(range(1, 8))
    graph = nx.Graph()
    graph.add_nodes_from(cells - dark)
    graph.add_edges_from(
        (one, other)
        for one, other in links
        if {one, other}.isdisjoint(dark) and not {(one, other), (other, one)} & cuts
    )
    state = ReachabilityModel(
        holdings={
            cell: holding(
                *({b for a, b in links if a == cell} | {a for a, b in links if b == cell}),
                members=cells,
            )
            for cell in cells
        },
        lans=cells,
    )
    for pair in cuts:
        state = state.cut(pair)
    for cell in dark:
        state = state.lose_power(cell)

    found = state.reaching()

    assert found == {
        (one, other)
        for one, other in state.pairs()
        if one in graph and other in graph and nx.has_path(graph, one, other)
    }
