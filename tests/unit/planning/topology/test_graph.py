from __future__ import annotations

from itertools import pairwise

import networkx as nx
import pytest

from uno.planning.topology.graph import adjacency, dfs_tree, pair

# Two triangles that share cell 3, a tail 5-6-7, and an island.
CELLS = (1, 2, 3, 4, 5, 6, 7, 8)
PAIRS = ((1, 2), (2, 3), (1, 3), (3, 4), (4, 5), (3, 5), (5, 6), (6, 7))


def test_a_pair_names_its_lower_cell_first() -> None:
    assert pair(2, 1) == pair(1, 2) == (1, 2)


def test_neighbours_are_in_order() -> None:
    assert adjacency(CELLS, PAIRS)[3] == [1, 2, 4, 5]


def test_a_search_finds_articulation_points_and_bridges() -> None:
    seen = dfs_tree(CELLS, PAIRS)

    assert sorted(seen.articulation_points) == [3, 5, 6]
    assert sorted(seen.bridges) == [(5, 6), (6, 7)]
    assert seen.roots == (1, 8)


def test_what_a_cell_cuts_off_is_a_slice_of_the_search_order() -> None:
    seen = dfs_tree(CELLS, PAIRS)

    parts = [sorted(seen.order[seen.subtree(top)]) for top in seen.articulation_children(3)]

    assert parts == [[4, 5, 6, 7]]


def test_a_long_chain_is_walked_too() -> None:
    cells = range(1, 5001)

    seen = dfs_tree(cells, pairwise(cells))

    assert len(seen.articulation_points) == 4998


@pytest.mark.parametrize("seed", range(30))
def test_a_walk_agrees_with_networkx(seed: int) -> None:
    graph = nx.gnm_random_graph(20, 22, seed=seed)

    seen = dfs_tree(graph.nodes, graph.edges)

    assert set(seen.articulation_points) == set(nx.articulation_points(graph))
    assert {pair(*each) for each in seen.bridges} == {pair(*each) for each in nx.bridges(graph)}
    assert len(seen.roots) == nx.number_connected_components(graph)
