from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.model.checks import check
from uno.model.uvn import (
    BACKBONE_VPN,
    PARTICLES_VPN,
    ROOT_VPN,
    Cell,
    DeploymentSettings,
    Settings,
    Strategy,
    Uvn,
)

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


def too_few(uvn: Uvn) -> list[str]:
    return [finding.what for finding in check(uvn) if "too few" in finding.what]


@pytest.mark.parametrize(("cells", "fits"), [(5, True), (6, False)])
def test_the_root_pool_holds_the_registry_and_each_cell(
    net: Make, cell: MakeCell, cells: int, *, fits: bool
) -> None:
    root = replace(ROOT_VPN, subnet=IPv4Network("10.1.0.0/29"))

    uvn = net(*(cell(f"c{i}") for i in range(cells)), settings=Settings(root_vpn=root))

    assert (too_few(uvn) == []) is fits


@pytest.mark.parametrize(("particles", "fits"), [(5, True), (6, False)])
def test_the_particle_pool_holds_the_hub_and_each_particle(
    net: Make, cell: MakeCell, particles: int, *, fits: bool
) -> None:
    vpn = replace(PARTICLES_VPN, subnet=IPv4Network("10.1.0.0/29"))
    names = tuple(f"p{i}" for i in range(particles))

    uvn = net(cell("a"), particles=names, settings=Settings(particles_vpn=vpn))

    assert (too_few(uvn) == []) is fits


@pytest.mark.parametrize(("cells", "fits"), [(3, True), (4, False)])
def test_the_backbone_pool_holds_each_link(
    net: Make, cell: MakeCell, cells: int, *, fits: bool
) -> None:
    settings = Settings(
        backbone_vpn=replace(BACKBONE_VPN, subnet=IPv4Network("10.1.0.0/29")),
        deployment=DeploymentSettings(strategy=Strategy.CIRCULAR),
    )

    uvn = net(*(cell(f"c{i}") for i in range(cells)), settings=settings)

    assert (too_few(uvn) == []) is fits


def test_the_hint_is_a_prefix_that_suffices(net: Make, cell: MakeCell) -> None:
    small = Settings(root_vpn=replace(ROOT_VPN, subnet=IPv4Network("10.1.0.0/31")))
    (finding,) = check(net(*(cell(f"c{i}") for i in range(6)), settings=small))

    assert finding.hint == "use a /28 or larger"
    enough = Settings(root_vpn=replace(ROOT_VPN, subnet=IPv4Network("10.1.0.0/28")))
    assert check(net(*(cell(f"c{i}") for i in range(6)), settings=enough)) == ()
