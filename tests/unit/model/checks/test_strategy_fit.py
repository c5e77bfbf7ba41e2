from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from uno.diagnostics import Severity
from uno.model.checks import Finding, check
from uno.model.uvn import Cell, DeploymentSettings, Settings, Strategy, Uvn

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


def found(uvn: Uvn) -> list[str]:
    return [finding.what for finding in check(uvn)]


def static(**peers: Any) -> Settings:
    arguments = {name.replace("_", "-"): value for name, value in peers.items()}
    deployment = DeploymentSettings(strategy=Strategy.STATIC, strategy_args=arguments)
    return Settings(deployment=deployment)


@pytest.mark.feature("F008")
def test_cells_need_a_public_one_among_them(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a", "10.0.0.0/24", address=None)))

    assert finding.severity is Severity.ERROR
    assert finding.hint == "give at least one cell an address"


@pytest.mark.feature("F008")
def test_a_uvn_without_cells_needs_no_public_one(net: Make) -> None:
    assert found(net(particles=("john",))) == []


@pytest.mark.feature("F008")
def test_an_excluded_public_cell_does_not_count(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", excluded=True), cell("b", "10.0.0.0/24", address=None))

    assert found(uvn) == ["no cell has a public address, so none can be reached by another"]


@pytest.mark.feature("F006")
@pytest.mark.feature("F030")
def test_private_cells_need_a_registry_with_an_address(net: Make, cell: MakeCell) -> None:
    cells = (
        cell("a"),
        cell("b", "10.0.0.0/24", address=None),
        cell("c", "10.0.1.0/24", address=None),
    )

    (finding,) = check(net(*cells, address=None))

    assert finding.path == ("address",)
    assert finding.also == (("cells", 1), ("cells", 2))
    assert found(net(*cells)) == []
    assert found(net(*cells, address=None, settings=Settings(enable_root_vpn=False))) == []


@pytest.mark.feature("F009")
def test_a_roaming_cell_is_fine_if_others_can_connect_to_it(net: Make, cell: MakeCell) -> None:
    assert found(net(cell("a", "10.0.0.0/24"), cell("relay"))) == []

    (finding,) = check(net(cell("a", "10.0.0.0/24"), cell("relay", address=None)))

    assert finding.severity is Severity.WARNING


@pytest.mark.feature("F007")
def test_particles_find_no_cell_that_is_private(net: Make, cell: MakeCell) -> None:
    uvn = net(
        cell("a", enable_particles_vpn=False),
        cell("b", "10.0.0.0/24", address=None),
        particles=("john",),
    )

    (finding,) = check(uvn)

    assert finding.what == "no cell takes connections from particles"
    assert finding.severity is Severity.WARNING


@pytest.mark.feature("G11")
def test_uplinks_beyond_the_public_cells_are_a_warning(net: Make, cell: MakeCell) -> None:
    settings = Settings(deployment=DeploymentSettings(private_uplinks=2))

    (finding,) = check(net(cell("a"), settings=settings))

    assert (finding.severity, finding.path[-1]) == (Severity.WARNING, "private_uplinks")
    assert found(net(cell("a"), cell("b"), settings=settings)) == []


def test_arguments_without_effect_are_a_warning(net: Make, cell: MakeCell) -> None:
    settings = Settings(deployment=DeploymentSettings(strategy_args={"a": []}))

    (finding,) = check(net(cell("a"), settings=settings))

    assert finding.severity is Severity.WARNING


@pytest.mark.feature("F058")
def test_static_links_need_be_named_by_one_side_alone(net: Make, cell: MakeCell) -> None:
    cells = cell("a"), cell("b"), cell("c", "10.0.0.0/24", address=None)

    assert found(net(*cells, settings=static(a=["b", "c"]))) == []
    assert found(net(*cells, settings=static(b=["a"], c=["a"], a=["b"]))) == []


@pytest.mark.feature("F058")
@pytest.mark.parametrize(
    ("peers", "what"),
    [
        ({"a": ["b"], "x": ["a"]}, "there is no cell 'x' to link"),
        ({"a": ["b", "x"]}, "there is no cell 'x' to link"),
        ({"a": ["a", "b"]}, "cell a is linked with itself"),
        ({"a": ["b"], "b": "a"}, "the peers of 'b' are not a list of cell names"),
        ({"a": ["b", 3]}, "3 is not the name of a cell"),
        ({"a": ["b", ["c"]]}, "['c'] is not the name of a cell"),
    ],
)
def test_static_arguments_name_cells(
    net: Make, cell: MakeCell, peers: dict[str, Any], what: str
) -> None:
    assert found(net(cell("a"), cell("b"), settings=static(**peers))) == [what]


@pytest.mark.feature("F058")
def test_two_private_cells_cannot_be_linked(net: Make, cell: MakeCell) -> None:
    private = cell("b", "10.0.0.0/24", address=None), cell("c", "10.0.1.0/24", address=None)

    (finding,) = check(net(cell("a"), *private, settings=static(a=["b", "c"], b=["c"])))

    assert finding.path == ("settings", "deployment", "strategy_args", "b", 0)


@pytest.mark.feature("F058")
def test_a_cell_that_static_leaves_alone_is_an_error(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a"), cell("b"), cell("c"), settings=static(a=["b"])))

    assert finding.what == "the static links leave cell c without any"
    assert finding.also == (("cells", 2),)


def test_links_with_an_excluded_cell_wait_for_its_return(net: Make, cell: MakeCell) -> None:
    cells = cell("a"), cell("b"), cell("c", excluded=True)

    assert found(net(*cells, settings=static(a=["b", "c"], c=["b"]))) == []


def test_one_cell_needs_no_links(net: Make, cell: MakeCell) -> None:
    assert found(net(cell("a"), settings=static())) == []


def test_islands_are_a_warning(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(*map(cell, "abcd"), settings=static(a=["b"], c=["d"])))

    assert finding.severity is Severity.WARNING
    assert finding.what == "the static links leave a, b apart from c, d"


def test_every_finding_has_a_hint(net: Make, cell: MakeCell) -> None:
    findings: tuple[Finding, ...] = check(net(cell("a", address=None), settings=static(x="y")))

    assert findings
    assert all(finding.hint for finding in findings)
