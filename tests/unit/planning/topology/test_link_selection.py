from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.uvn import Strategy, Uvn
from uno.planning.planner import plan
from uno.planning.topology.link_selection import select_links

MOST_PRIVATE = 13


@pytest.mark.feature("F003")
@pytest.mark.feature("F054")
@pytest.mark.feature("F055")
@pytest.mark.feature("F056")
@pytest.mark.feature("F057")
@pytest.mark.parametrize("strategy", [Strategy.CROSSED, Strategy.CIRCULAR, Strategy.FULL_MESH])
@pytest.mark.parametrize("public", range(1, 41))
def test_the_backbone_is_connected_and_no_private_cells_are_linked(
    strategy: Strategy, public: int, define: Callable[..., Uvn]
) -> None:
    for private in range(MOST_PRIVATE + 1):
        uvn = define(public=public, private=private, deployment={"strategy": strategy})

        chosen = select_links(uvn, None)

        graph = nx.Graph()
        graph.add_nodes_from(cell.id for cell in uvn.cells)
        graph.add_edges_from(chosen.pairs)
        assert nx.is_connected(graph)
        assert all(a <= public for a, _ in chosen.pairs)
        assert chosen.ring == tuple(range(1, public + 1))
        assert public < 3 or nx.is_biconnected(graph.subgraph(chosen.ring))
        assert len(chosen.pairs) == links_expected(strategy, public, private)


def links_expected(strategy: Strategy, public: int, private: int) -> int:
    if strategy is Strategy.FULL_MESH:
        return public * (public - 1) // 2 + public * private
    ring = public if public > 2 else public - 1
    across = public // 2 if strategy is Strategy.CROSSED and public > 3 else 0
    return ring + across + private


@pytest.mark.feature("F008")
def test_private_cells_alone_are_refused(define: Callable[..., Uvn]) -> None:
    with pytest.raises(Rejected, match=r"no cell has a public address.*\(c1, c2\).*`address`"):
        select_links(define(private=2), None)


def test_without_cells_there_are_no_links(define: Callable[..., Uvn]) -> None:
    assert select_links(define(), None).pairs == frozenset()


def test_excluded_cells_take_no_part(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4)
    uvn = replace(uvn, cells=(*uvn.cells[:3], replace(uvn.cells[3], excluded=True)))

    assert select_links(uvn, None).ring == (1, 2, 3)


def test_other_strategies_keep_the_ring_as_crossed_would(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=9), None)

    def ring_without_c4(strategy: Strategy) -> tuple[int, ...]:
        uvn = define(public=9, deployment={"strategy": strategy})
        cells = tuple(cell for cell in uvn.cells if cell.name != "c4")
        return select_links(replace(uvn, cells=cells), before).ring

    assert ring_without_c4(Strategy.CROSSED) == (1, 2, 3, 9, 5, 6, 7, 8)
    assert ring_without_c4(Strategy.FULL_MESH) == (1, 2, 3, 9, 5, 6, 7, 8)
    assert ring_without_c4(Strategy.CIRCULAR) == (1, 2, 3, 5, 6, 7, 8, 9)


@pytest.mark.parametrize("strategy", [Strategy.FULL_MESH, Strategy.RANDOM, Strategy.STATIC])
def test_the_ring_outlasts_strategies_that_do_not_use_it(
    strategy: Strategy, define: Callable[..., Uvn]
) -> None:
    grown = plan(define(public=8), plan(define(public=7), plan(define(public=5), None)))
    links: dict[str, Any] = {"c1": [f"c{number}" for number in range(2, 9)]}
    arguments = links if strategy is Strategy.STATIC else {}
    other = define(public=8, deployment={"strategy": strategy, "strategy_args": arguments})

    meanwhile = plan(other, grown)

    assert (
        select_links(define(public=8), meanwhile).pairs
        == select_links(define(public=8), grown).pairs
    )
