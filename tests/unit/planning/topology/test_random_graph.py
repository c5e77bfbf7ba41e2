from __future__ import annotations

import networkx as nx
import pytest

from uno.planning.topology.random_graph import pairs


@pytest.mark.feature("F059")
def test_the_graph_of_a_seed_is_the_same_for_ever() -> None:
    links = pairs(range(1, 9), [9], seed=46)

    # If this changes, so do the backbones of all who use the strategy.
    assert " ".join(f"{a}-{b}" for a, b in sorted(links)) == (
        "1-2 1-3 1-4 1-5 1-6 2-3 2-4 2-8 3-4 3-5 3-6 3-7 4-5 4-6 5-9 6-7 6-8 8-9"
    )


@pytest.mark.feature("F059")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("private", [0, 1, 4, 13])
def test_no_loss_of_one_cell_parts_the_graph(seed: int, private: int) -> None:
    links = pairs(range(1, 9), range(9, 9 + private), seed=seed)

    graph = nx.Graph(links)
    assert len(graph) == 8 + private
    assert nx.is_biconnected(graph)
    assert all(graph.degree[cell] == 2 for cell in range(9, 9 + private))


@pytest.mark.feature("F059")
def test_another_seed_gives_another_graph() -> None:
    graphs = {pairs(range(1, 13), [], seed=seed) for seed in range(10)}

    assert len(graphs) == 10


@pytest.mark.feature("F059")
def test_private_cells_that_came_first_are_linked_with_the_public_ones_that_follow() -> None:
    assert pairs([3], [1, 2], seed=0) == {(1, 3), (2, 3)}


@pytest.mark.feature("F059")
def test_a_cell_that_comes_back_finds_its_links_again() -> None:
    whole = pairs(range(1, 11), [11, 12], seed=7)

    without = pairs({*range(1, 11)} - {4}, [11, 12], seed=7)

    assert {link for link in whole if 4 not in link} <= without
    assert pairs(range(1, 11), [11, 12], seed=7) == whole
