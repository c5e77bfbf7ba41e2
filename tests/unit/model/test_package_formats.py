"""Which format a registry writes, and whom it names."""

from __future__ import annotations

import pytest

from uno.model.package_formats import Agreement, agreed, lines, readable


@pytest.mark.feature("G59")
@pytest.mark.parametrize(
    ("newest_of", "newest", "expected"),
    [
        pytest.param({}, 3, Agreement(format=3), id="no agent"),
        pytest.param({1: 3, 2: 3}, 3, Agreement(format=3), id="all new"),
        pytest.param({1: 3, 2: 2}, 3, Agreement(format=2, held_back_by=(2,)), id="one old"),
        pytest.param({1: 4, 2: 3}, 3, Agreement(format=3), id="cells before the registry"),
        pytest.param(
            {1: 3, 2: 1}, 3, Agreement(format=2, held_back_by=(2,), cut_off=(2,)), id="too old"
        ),
        pytest.param({1: 5, 2: 3}, 3, Agreement(format=3, cut_off=(1,)), id="registry too old"),
        pytest.param({1: 1}, 1, Agreement(format=1), id="the first"),
    ],
)
def test_a_registry_writes_the_oldest_format_that_its_agents_need(
    newest_of: dict[int, int], newest: int, expected: Agreement
) -> None:
    assert agreed(newest_of, newest=newest) == expected


def test_the_first_format_has_none_before_it() -> None:
    assert list(readable(1)) == [1]
    assert list(readable(2)) == [1, 2]
    assert list(readable(7)) == [6, 7]


@pytest.mark.feature("G59")
def test_who_holds_it_back_is_named() -> None:
    names = {1: "lan-a", 2: "lan-b", 3: "lan-c"}

    assert list(lines(agreed({1: 2, 2: 1, 3: 1}, newest=2), names, newest=2)) == [
        "packages are written in format 1, not in 2: update uno on lan-b, lan-c"
    ]
    assert list(lines(agreed({1: 4}, newest=2), names, newest=2)) == [
        "lan-a cannot read packages of format 2: its uno and the registry's are too far apart"
    ]
    assert list(lines(agreed({1: 2}, newest=2), names, newest=2)) == []
