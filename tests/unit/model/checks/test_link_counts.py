from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.model.checks.link_counts import fewest_links, most_links, static_links
from uno.model.uvn import Cell, DeploymentSettings, Settings, Strategy, Uvn
from uno.planning.topology.link_selection import select_links

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


@pytest.mark.parametrize("strategy", [each for each in Strategy if each is not Strategy.STATIC])
@pytest.mark.parametrize("public", range(1, 8))
@pytest.mark.parametrize("private", range(4))
def test_the_bounds_hold_for_what_is_planned(
    net: Make, cell: MakeCell, strategy: Strategy, public: int, private: int
) -> None:
    cells = [cell(f"c{i}") for i in range(public)]
    cells += [cell(f"p{i}", f"10.0.{i}.0/24", address=None) for i in range(private)]
    deployment = DeploymentSettings(strategy=strategy, private_uplinks=2)
    uvn = net(*cells, settings=Settings(deployment=deployment))

    pairs = select_links(uvn, None).pairs

    assert fewest_links(uvn) <= len(pairs)
    for each in uvn.cells:
        assert sum(each.id in pair for pair in pairs) <= most_links(uvn)[each.name]


@pytest.mark.feature("F058")
def test_a_static_link_that_one_side_names_is_one_link(net: Make, cell: MakeCell) -> None:
    arguments = {"a": ["b", "c"], "b": ["a"], "c": "a", "x": ["a"], "d": [1, "d"]}
    deployment = DeploymentSettings(strategy=Strategy.STATIC, strategy_args=arguments)
    uvn = net(*map(cell, "abcd"), settings=Settings(deployment=deployment))

    assert static_links(uvn) == {frozenset("ab"), frozenset("ac")}
    assert fewest_links(uvn) == 2
    assert [most_links(uvn)[each.name] for each in uvn.cells] == [2, 1, 1, 0]
