from __future__ import annotations

import networkx as nx
import pytest

from uno.planning.topology.graph import pair
from uno.planning.topology.ring import evolve, pairs


@pytest.mark.feature("F054")
@pytest.mark.parametrize(
    ("count", "links"),
    [
        (0, ""),
        (1, ""),
        (2, "1-2"),
        (3, "1-2 1-3 2-3"),
        (4, "1-2 1-3 1-4 2-3 2-4 3-4"),
        (5, "1-2 1-3 1-5 2-3 2-4 3-4 4-5"),
        (6, "1-2 1-4 1-6 2-3 2-5 3-4 3-6 4-5 5-6"),
    ],
)
def test_crossed_links_previous_next_and_across(count: int, links: str) -> None:
    ring = evolve((), set(range(1, count + 1)), across=True)

    assert shown(pairs(ring, across=True)) == links


@pytest.mark.feature("F056")
@pytest.mark.parametrize(
    ("count", "links"), [(1, ""), (2, "1-2"), (3, "1-2 1-3 2-3"), (5, "1-2 1-5 2-3 3-4 4-5")]
)
def test_circular_links_previous_and_next(count: int, links: str) -> None:
    ring = evolve((), set(range(1, count + 1)), across=False)

    assert shown(pairs(ring, across=False)) == links


@pytest.mark.feature("F003")
@pytest.mark.feature("F054")
@pytest.mark.parametrize("count", range(4, 41))
def test_crossed_gives_three_links_each_but_one_where_the_number_is_odd(count: int) -> None:
    graph = nx.Graph(pairs(tuple(range(1, count + 1)), across=True))

    degrees = dict(graph.degree)
    assert [cell for cell in degrees if degrees[cell] != 3] == ([count] if count % 2 else [])
    assert degrees[count] == (2 if count % 2 else 3)
    assert nx.is_biconnected(graph)


@pytest.mark.feature("F054")
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("count", range(1, 41))
def test_a_new_cell_takes_one_link_of_the_ring(*, count: int, across: bool) -> None:
    before = tuple(range(1, count + 1))

    after = evolve(before, {*before, 99}, across=across)

    gone = pairs(before, across=across) - pairs(after, across=across)
    come = pairs(after, across=across) - pairs(before, across=across)
    assert len(gone) <= 1
    assert len(come) <= 3
    assert all(99 in link for link in come)


@pytest.mark.feature("F054")
@pytest.mark.parametrize("count", range(2, 24))
def test_a_cell_that_leaves_takes_two_more_links_at_most(count: int) -> None:
    before = tuple(range(1, count + 1))

    for cell in before:
        after = evolve(before, {*before} - {cell}, across=True)

        gone = pairs(before, across=True) - pairs(after, across=True)
        others = [link for link in gone if cell not in link]
        # A ring of even size, and the last cell of any, leave without a trace.
        assert len(others) <= (0 if count % 2 == 0 or cell == count else 2)


@pytest.mark.feature("F056")
@pytest.mark.parametrize("count", range(2, 24))
def test_a_cell_that_leaves_a_circular_ring_takes_no_other_link(count: int) -> None:
    before = tuple(range(1, count + 1))

    for cell in before:
        after = evolve(before, {*before} - {cell}, across=False)

        gone = pairs(before, across=False) - pairs(after, across=False)
        assert all(cell in link for link in gone)


@pytest.mark.feature("F054")
def test_a_cell_that_comes_while_another_leaves_takes_its_place() -> None:
    assert evolve((1, 5, 2, 4, 3), {1, 9, 2, 4, 3}, across=True) == (1, 9, 2, 4, 3)


def test_a_ring_that_stays_is_the_same() -> None:
    assert evolve((3, 1, 2), {1, 2, 3}, across=True) == (3, 1, 2)


@pytest.mark.feature("F054")
def test_however_a_ring_came_about_partners_are_across_from_each_other() -> None:
    ring: tuple[int, ...] = ()
    first = [{1}, {1, 2, 3}, {2, 3, 4, 5, 6}, {2, 4, 5, 6, 7, 8, 9, 10}]

    for cells in [*first, {4, 6, 7, 8, 10}, {4, 6, 7, 8, 10, 11}]:
        ring = evolve(ring, cells, across=True)
        assert set(ring) == cells
        around = nx.cycle_graph(len(ring)) if len(ring) > 2 else nx.path_graph(len(ring))
        for link in pairs(ring, across=True) - pairs(ring, across=False):
            one, other = (ring.index(cell) for cell in link)
            assert nx.shortest_path_length(around, one, other) == len(ring) // 2


def shown(links: frozenset[tuple[int, int]]) -> str:
    assert all(link == pair(*link) for link in links)
    return " ".join(f"{a}-{b}" for a, b in sorted(links))
