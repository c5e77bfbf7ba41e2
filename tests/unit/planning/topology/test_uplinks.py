from __future__ import annotations

from collections import Counter

import pytest

from uno.planning.topology.uplinks import uplinks


@pytest.mark.feature("F055")
@pytest.mark.parametrize("public", range(1, 8))
@pytest.mark.parametrize("private", range(14))
def test_private_cells_are_spread_evenly(public: int, private: int) -> None:
    links = uplinks(range(101, 101 + private), range(1, public + 1), each=1, before={})

    loads = Counter(home for home, _ in links)
    assert len(links) == private
    assert max(loads.values(), default=0) - min(loads[home] for home in range(1, public + 1)) <= 1


@pytest.mark.feature("G11")
def test_two_uplinks_go_to_two_cells() -> None:
    links = uplinks([11, 12, 13], [1, 2, 3], each=2, before={})

    assert links == {(1, 11), (2, 11), (1, 12), (3, 12), (2, 13), (3, 13)}


@pytest.mark.feature("G11")
def test_there_are_no_more_uplinks_than_public_cells() -> None:
    assert uplinks([11], [1, 2], each=3, before={}) == {(1, 11), (2, 11)}


@pytest.mark.feature("F055")
def test_a_private_cell_stays_where_it_was() -> None:
    before = {11: {2}, 12: {1}}

    assert uplinks([11, 12, 13], [1, 2], each=1, before=before) == {(2, 11), (1, 12), (1, 13)}


@pytest.mark.feature("F055")
def test_a_new_public_cell_takes_its_share_from_the_newest() -> None:
    before = {11: {1}, 12: {1}, 13: {2}, 14: {2}}

    links = uplinks(before, [1, 2, 3], each=1, before=before)

    assert links == {(1, 11), (1, 12), (2, 13), (3, 14)}


@pytest.mark.feature("G11")
def test_a_second_uplink_comes_beside_the_first() -> None:
    before = {11: {1}, 12: {2}}

    assert uplinks(before, [1, 2], each=2, before=before) >= {(1, 11), (2, 12)}


@pytest.mark.feature("G11")
def test_with_fewer_uplinks_each_the_others_are_removed() -> None:
    before = {11: {1, 2}, 12: {1, 2}}

    assert uplinks(before, [1, 2], each=1, before=before) == {(1, 11), (2, 12)}


@pytest.mark.feature("G11")
def test_levelling_moves_no_uplink_to_where_its_cell_has_one() -> None:
    before = {11: {1, 2}, 12: {1, 2}, 13: {1, 2}}

    links = uplinks(before, [1, 2, 3], each=2, before=before)

    assert links == {(1, 11), (2, 11), (2, 12), (3, 12), (1, 13), (3, 13)}


@pytest.mark.feature("G11")
def test_two_uplinks_go_to_two_addresses() -> None:
    sites = {1: "one", 2: "one", 3: "two"}

    links = uplinks([11, 12, 13], [1, 2, 3], each=2, before={}, sites=sites)

    assert links == {(1, 11), (3, 11), (2, 12), (3, 12), (1, 13), (3, 13)}


@pytest.mark.feature("G11")
def test_an_uplink_moves_to_another_address_where_there_is_one() -> None:
    before = {11: {1, 2}}

    assert uplinks([11], [1, 2, 3], each=2, before=before, sites={1: "a", 2: "a", 3: "b"}) == {
        (1, 11),
        (3, 11),
    }
    assert uplinks([11], [1, 2], each=2, before=before, sites={1: "a", 2: "a"}) == {
        (1, 11),
        (2, 11),
    }


@pytest.mark.feature("G11")
def test_where_addresses_are_shared_a_new_private_cell_moves_no_uplink() -> None:
    sites = {1: "a", 2: "a", 3: "b", 4: "b", 5: "c"}
    before = {1: {2}, 2: {1}, 11: {3, 5}, 12: {4, 5}}

    links = uplinks([11, 12, 13], sites, each=2, before=before, sites=sites)

    assert links >= {(3, 11), (5, 11), (4, 12), (5, 12)}


def test_the_cells_of_one_that_leaves_go_to_the_others() -> None:
    before = {11: {1}, 12: {2}, 13: {3}}

    assert uplinks(before, [1, 2], each=1, before=before) == {(1, 11), (2, 12), (1, 13)}


def test_without_public_cells_there_is_nowhere_to_go() -> None:
    assert uplinks([], [], each=1, before={}) == frozenset()
