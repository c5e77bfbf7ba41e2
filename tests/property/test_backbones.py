"""The properties of each strategy, for every mix of public and private cells.

They are computed with sets of bits, independently of the code that chooses the links.
Cells are public and private in mixed order, as sites come to a network.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations, pairwise

import pytest

from uno.diagnostics import Rejected
from uno.model.uvn import Cell, DeploymentSettings, Settings, Strategy, Uvn
from uno.planning.topology import random_graph
from uno.planning.topology.link_selection import select_links

MOST = 40
SEEDS = 1000
MIXES = (
    *((1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (8, 0), (13, 0), (20, 0)),
    *(
        (1, 1),
        (1, 9),
        (10, 10),
        (2, 1),
        (2, 8),
        (3, 3),
        (3, 17),
        (4, 1),
        (5, 5),
        (8, 13),
        (12, 4),
        (16, 8),
    ),
    *((0, 0), (0, 1), (0, 7)),
)


@pytest.mark.feature("F059")
@pytest.mark.parametrize("mix", [mix for mix in MIXES if mix[0]], ids=str)
def test_a_thousand_random_graphs_are_connected_and_within_the_limits(mix: tuple[int, int]) -> None:
    for seed in range(SEEDS):
        public, private = cells_of(*mix, order=seed)

        links = random_graph.pairs(public, private, seed=seed)

        neighbours = bits(public + private, links)
        degrees = Counter(cell for link in links for cell in link)
        assert is_connected(neighbours), seed
        assert all(degrees[cell] < sum(mix) for cell in public if sum(mix) > 1), seed
        assert all(degrees[cell] == min(2, len(public)) for cell in private), seed
        assert not any(a in private and b in private for a, b in links), seed
        if len(public) > 1:
            assert all(is_connected(neighbours, without=cell) for cell in neighbours), seed


@pytest.mark.feature("F008")
@pytest.mark.feature("F059")
@pytest.mark.parametrize("mix", [mix for mix in MIXES if not mix[0]], ids=str)
def test_a_random_graph_without_public_cells_is_empty_or_refused(mix: tuple[int, int]) -> None:
    for seed in range(SEEDS):
        uvn = uvn_of(*mix, strategy=Strategy.RANDOM, seed=seed)

        if mix == (0, 0):
            assert select_links(uvn, None).pairs == frozenset()
            continue
        with pytest.raises(Rejected, match="no cell has a public address, so none can be reached"):
            select_links(uvn, None)


@pytest.mark.feature("F054")
@pytest.mark.feature("F055")
@pytest.mark.feature("F056")
@pytest.mark.parametrize("public_count", range(1, MOST + 1))
@pytest.mark.parametrize("strategy", [Strategy.CROSSED, Strategy.CIRCULAR], ids=str)
def test_rings_follow_the_specification_of_the_seed(strategy: Strategy, public_count: int) -> None:
    for private_count in range(MOST + 1):
        public, private = cells_of(public_count, private_count, order=public_count)

        links = select_links(uvn_of(public_count, private_count, strategy=strategy), None).pairs

        among = {link for link in links if set(link) <= {*public}}
        homes = Counter(home for home in ends(links - among) if home in public)
        assert among == wanted(public, across=strategy is Strategy.CROSSED)
        assert Counter(end for end in ends(links - among) if end in private) == Counter(private)
        assert max(homes[cell] for cell in public) - min(homes[cell] for cell in public) <= 1
        assert is_connected(bits(public + private, links))


@pytest.mark.feature("F057")
@pytest.mark.parametrize("public_count", range(1, MOST + 1))
def test_a_full_mesh_links_every_cell_with_every_public_one(public_count: int) -> None:
    for private_count in range(MOST + 1):
        public, private = cells_of(public_count, private_count, order=public_count)

        links = select_links(
            uvn_of(public_count, private_count, strategy=Strategy.FULL_MESH), None
        ).pairs

        everyone = combinations(sorted(public + private), 2)
        assert links == {link for link in everyone if {*public} & {*link}}


@pytest.mark.feature("F008")
@pytest.mark.parametrize("strategy", [each for each in Strategy if each is not Strategy.STATIC])
def test_private_cells_alone_are_refused_by_every_strategy(strategy: Strategy) -> None:
    for count in range(1, MOST + 1):
        with pytest.raises(Rejected, match="give at least one cell an `address`"):
            select_links(uvn_of(0, count, strategy=strategy), None)


# Helpers


def wanted(public: Iterable[int], *, across: bool) -> set[tuple[int, int]]:
    """Return the links with the cells before, after and across; an odd last one has none across."""
    ring = sorted(public)
    half = len(ring) // 2
    links = {*pairwise(ring), (ring[0], ring[-1])} if len(ring) > 1 else set()
    if across:
        links |= {(ring[at], ring[at + half]) for at in range(half)}
    return links


def cells_of(public: int, private: int, *, order: int) -> tuple[list[int], list[int]]:
    """Return the ids of public and of private cells, mixed by `order`."""
    ids = range(1, public + private + 1)
    chosen = set(random.Random(order).sample(ids, public))  # noqa: S311 - lots to draw
    return sorted(chosen), [cell for cell in ids if cell not in chosen]


def uvn_of(public: int, private: int, *, strategy: Strategy, seed: int = 0) -> Uvn:
    listening = set(cells_of(public, private, order=public)[0])
    return Uvn(
        name="net",
        identity="0" * 32,
        owner="owner@example.org",
        cells=tuple(
            Cell(
                id=cell,
                name=f"c{cell}",
                owner="owner@example.org",
                address=f"c{cell}.example.org" if cell in listening else None,
            )
            for cell in range(1, public + private + 1)
        ),
        settings=Settings(deployment=DeploymentSettings(strategy=strategy, seed=seed)),
    )


def ends(links: Iterable[tuple[int, int]]) -> list[int]:
    return [cell for link in links for cell in link]


def bits(cells: Iterable[int], links: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the neighbours of each cell as a number with their bits set."""
    neighbours = dict.fromkeys(cells, 0)
    for a, b in links:
        neighbours[a] |= 1 << b
        neighbours[b] |= 1 << a
    return neighbours


def is_connected(neighbours: Mapping[int, int], *, without: int = 0) -> bool:
    """Whether all cells but `without` reach each other without it."""
    everyone = sum(1 << cell for cell in neighbours if cell != without)
    reached = fresh = everyone & -everyone
    while fresh:
        cell = fresh.bit_length() - 1
        fresh &= ~(1 << cell)
        news = neighbours[cell] & everyone & ~reached
        reached |= news
        fresh |= news
    return reached == everyone
