from __future__ import annotations

import pytest

from uno.model.plan import CellSet
from uno.planning.import_policy import import_origins


@pytest.mark.feature("G22")
def test_a_leaf_is_listed_and_its_neighbour_is_the_complement() -> None:
    accepted = import_origins([1, 2, 3, 4, 5], [(1, 2), (2, 3), (1, 3), (3, 4), (3, 5)])

    assert accepted[3, 4] == CellSet(cells=(4,))
    assert accepted[4, 3] == CellSet(cells=(4,), complement=True)


@pytest.mark.feature("G22")
def test_neighbours_that_reach_each_other_may_announce_the_same() -> None:
    accepted = import_origins([1, 2, 3, 4, 5], [(1, 2), (2, 3), (1, 3), (3, 4), (3, 5)])

    assert accepted[3, 1] == accepted[3, 2] == CellSet(cells=(1, 2))
    assert accepted[1, 2] == accepted[1, 3] == CellSet(cells=(1,), complement=True)


def test_a_tie_is_listed() -> None:
    assert import_origins([1, 2], [(1, 2)]) == {
        (1, 2): CellSet(cells=(2,)),
        (2, 1): CellSet(cells=(1,)),
    }


def test_prefixes_of_another_component_are_imported_from_no_neighbour() -> None:
    accepted = import_origins([1, 2, 3, 4, 5], [(1, 2), (2, 3), (4, 5)])

    assert accepted[2, 1] == CellSet(cells=(1,))
    assert accepted[1, 2] == CellSet(cells=(2, 3))
    assert accepted[4, 5] == CellSet(cells=(5,))


def test_a_leaf_does_not_hide_the_neighbour_that_is_found_after_it() -> None:
    accepted = import_origins([1, 2, 3, 4], [(1, 2), (2, 3), (2, 4), (1, 4)])

    assert accepted[2, 3] == CellSet(cells=(3,))
    assert accepted[2, 1] == accepted[2, 4] == CellSet(cells=(1, 4))
