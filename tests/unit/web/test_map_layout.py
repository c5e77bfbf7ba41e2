"""Places on the map: each cell has its own, and users learn where their sites are."""

from __future__ import annotations

from itertools import combinations
from math import dist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictures import healthy_pictures
from uno.model.uvn import Strategy
from uno.web.map_layout import SIZE, Place, layout
from uno.web.picture import Picture


@settings(max_examples=25)
@given(picture=healthy_pictures(max_cells=12), seed=st.randoms())
def test_every_cell_has_a_place_of_its_own_on_the_map_whatever_the_order(
    picture: Picture, seed: st.DataObject
) -> None:
    assert picture.directory is not None
    cells, links = list(picture.cells), list(picture.links)
    public = [each.id for each in picture.roster.members if each.endpoint]
    ring, strategy = picture.directory.ring, picture.directory.strategy

    found = layout(cells, links, public=public, ring=ring, strategy=strategy)

    assert found.keys() == set(cells)
    assert all(0 <= x <= SIZE and 0 <= y <= SIZE for x, y in found.values())
    assert len(set(found.values())) == len(cells)
    for each in (cells, links, public):
        seed.shuffle(each)  # type: ignore[attr-defined]
    assert layout(cells, links, public=public, ring=ring, strategy=strategy) == found


@pytest.mark.parametrize("count", [8, 12, 40, 200])
def test_the_links_of_the_crossed_strategy_cross_only_at_the_twist(count: int) -> None:
    ring = tuple(range(1, count + 1))
    links = [(ring[n - 1], ring[n]) for n in range(count)]
    links += [(ring[n], ring[n + count // 2]) for n in range(count // 2)]

    found = layout(ring, links, public=ring, ring=ring, strategy=Strategy.CROSSED)

    crossings = sum(cross(found, one, other) for one, other in combinations(links, 2))
    assert crossings == 1


def test_without_a_ring_neighbours_are_side_by_side_on_one_circle() -> None:
    links = [(1, 5), (5, 2), (2, 6), (6, 3), (3, 4)]

    found = layout(range(1, 7), links, public=range(1, 7))

    assert not any(cross(found, one, other) for one, other in combinations(links, 2))
    assert {round(dist(place, (SIZE / 2, SIZE / 2))) for place in found.values()} == {270}


def test_a_private_cell_is_beside_its_uplink_and_moves_no_public_cell() -> None:
    ring = (1, 2, 3, 4)
    links = [(1, 2), (2, 3), (3, 4), (1, 4)]
    before = layout(ring, links, public=ring, ring=ring, strategy=Strategy.CIRCULAR)

    after = layout(
        (*ring, 5, 6),
        [*links, (3, 5)],
        public=ring,
        ring=ring,
        strategy=Strategy.CIRCULAR,
    )

    assert {cell: after[cell] for cell in ring} == before
    assert min(ring, key=lambda cell: dist(after[cell], after[5])) == 3
    assert dist(after[6], (SIZE / 2, SIZE / 2)) > 400, "a cell without a link is at the edge"


def cross(found: dict[int, Place], one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two links cross; not where they meet at a cell."""
    if set(one) & set(other):
        return False
    a, b, c, d = (found[cell] for cell in (*one, *other))
    return side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b)


def side(a: Place, b: Place, c: Place) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
