"""The expressions for impossible paths, against every step, with ids far apart and many links."""

from __future__ import annotations

import random
import re
from itertools import chain, permutations, product

import pytest

from uno.model.plan import asn_of
from uno.model.routing_policy import Adjacency
from uno.render.as_paths import from_neighbor, impossible, of_members, through

Graph = dict[int, set[int]]


@pytest.mark.feature("G22")
@pytest.mark.parametrize("ids", [range(1, 40), range(95, 1105, 37), range(9990, 10030)], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_two_cells_that_follow_each_other_have_a_link(ids: range, share: float) -> None:
    graph = drawn(ids, share)
    expressions = compiled(graph)

    for one, other in permutations(ids, 2):
        path = f"{asn_of(ids[0])} {asn_of(one)} {asn_of(other)} {asn_of(ids[-1])}"
        steps = {(ids[0], one), (one, other), (other, ids[-1])}
        forged = any(b not in graph[a] for a, b in steps)
        assert any(each.search(path) for each in expressions) == forged


@pytest.mark.feature("G22")
def test_a_path_with_more_cells_than_there_are_is_impossible() -> None:
    graph = drawn(range(1, 5), 1.0)

    assert not any(each.search(path_of(1, 2, 3, 4)) for each in compiled(graph))
    assert any(each.search(path_of(1, 2, 3, 4, 1)) for each in compiled(graph))


def test_a_line_stays_within_what_frr_reads_and_is_renumbered_by_nothing() -> None:
    """A hub of 300 cells among 1,000, and a leaf of it that comes and goes."""
    hub = {cell: {1} for cell in random.Random(1).sample(range(2, 1000), 300)}  # noqa: S311
    graph = {1: set(hub), **hub}
    fewer = {cell: its - {max(hub)} for cell, its in graph.items() if cell != max(hub)}

    lines, left = lines_of(graph), lines_of(fewer)

    assert max(map(len, lines.values())) < 4000
    changed = {number for number in lines if lines[number] != left.get(number)}
    assert len(changed) <= 3
    assert left.keys() <= lines.keys()


def test_sparse_networks_of_200_cells_have_21_lines() -> None:
    lines = lines_of({cell: {(cell % 200) + 1, (cell - 2) % 200 + 1} for cell in range(1, 201)})

    assert len(lines) == 22
    assert sum(map(len, lines.values())) < 10_000


@pytest.mark.parametrize(
    "path",
    ["4200000002", "4200000002 4200000003", "4200000002 4200000004 4200000003"],
)
def test_the_first_as_is_the_neighbours(path: str) -> None:
    origin = int(path.rsplit(maxsplit=1)[-1])

    assert re.search(from_neighbor(4200000002), path)
    assert re.search(through(4200000002, origin), path)
    assert not re.search(from_neighbor(4200000003), path)
    assert not re.search(through(4200000003, origin), path) or origin == 4200000003 == int(path)


@pytest.mark.parametrize("imported", [{2, 3}, {3}, {2, 3, 4}, {2}])
def test_a_list_that_permits_origins_lets_through_what_one_that_denies_the_others_does(
    imported: set[int],
) -> None:
    permitted = [through(asn_of(2), asn_of(cell)) for cell in imported]
    denied = [through(asn_of(2), asn_of(cell)) for cell in {2, 3, 4} - imported]
    begins = from_neighbor(asn_of(2))

    for walk in chain.from_iterable(product((2, 3, 4), repeat=length) for length in (1, 2, 3)):
        path = " ".join(str(asn_of(cell)) for cell in walk)
        wanted = walk[0] == 2 and walk[-1] in imported
        assert any(re.search(each, path) for each in permitted) == wanted, path
        one_denies = any(re.search(each, path) for each in denied)
        assert (not one_denies and bool(re.search(begins, path))) == wanted, path


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("4200000003", True),
        ("4200000002 4200000003", True),
        ("64512 4200000003", False),
        ("{4200000002,4200000003}", False),
        ("4200000002 {4200000003}", False),
        ("(4200000002) 4200000003", False),
        ("4200000002 4200000003 4200000004", False),
        ("42000000023 4200000003", False),
        ("", False),
    ],
)
def test_paths_are_of_members_alone(path: str, *, matches: bool) -> None:
    assert bool(re.search(of_members(4200000003, highest=4), path)) == matches


def drawn(ids: range, share: float) -> Graph:
    chance = random.Random(f"{ids} {share}")  # noqa: S311
    graph: Graph = {cell: set() for cell in ids}
    for one, other in permutations(ids, 2):
        if one < other and chance.random() < share:
            graph[one].add(other)
            graph[other].add(one)
    return graph


def lines_of(graph: Graph) -> dict[int, str]:
    adjacencies = tuple(
        Adjacency(cell=cell, asn=asn_of(cell), followers=tuple(map(asn_of, sorted(its))))
        for cell, its in sorted(graph.items())
    )
    lines = list(impossible(adjacencies, max(graph)))
    assert len(dict(lines)) == len(lines)
    return dict(lines)


def compiled(graph: Graph) -> list[re.Pattern[str]]:
    return [re.compile(line) for line in lines_of(graph).values()]


def path_of(*cells: int) -> str:
    return " ".join(str(asn_of(cell)) for cell in cells)
