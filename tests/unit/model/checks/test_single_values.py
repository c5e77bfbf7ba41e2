from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model.checks import check
from uno.model.uvn import ROOT_VPN, Cell, DeploymentSettings, Particle, Settings, User, Uvn

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


def paths(uvn: Uvn) -> set[str]:
    return {".".join(map(str, finding.path)) for finding in check(uvn)}


def test_a_sound_definition_has_no_findings(net: Make, cell: MakeCell) -> None:
    assert check(net(cell("lan-a", "192.168.1.0/24"), particles=("john",))) == ()


@pytest.mark.feature("G23")
def test_every_name_is_checked(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("ok"), cell("A B", address="x.example.org"), particles=("Jo",), name="My Net")

    assert paths(uvn) == {"name", "cells.1.name", "particles.0.name"}


@pytest.mark.feature("G23")
def test_every_text_and_address_is_checked(net: Make, cell: MakeCell) -> None:
    uvn = net(
        cell("a", address="http://x", location="\x1b"),
        address="a:b",
        owner="john",
        users=(User(email="john", name="\n"),),
    )
    uvn = replace(uvn, cells=tuple(replace(each, owner="john") for each in uvn.cells))

    assert paths(uvn) == {
        *("address", "users.0.email", "users.0.name"),
        *("cells.0.address", "cells.0.settings.location"),
    }


@pytest.mark.feature("F044")
@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_ports_are_in_range(net: Make, cell: MakeCell, port: int) -> None:
    uvn = net(
        cell("a", httpd_port=port),
        settings=Settings(root_vpn=replace(ROOT_VPN, port=port)),
    )

    assert paths(uvn) == {"cells.0.settings.httpd_port", "settings.root_vpn.port"}


@pytest.mark.feature("F045")
def test_a_location_is_a_line_of_text(net: Make, cell: MakeCell) -> None:
    assert paths(net(cell("a", location="Köln, 2. OG"))) == set()
    assert paths(net(cell("a", location="x" * 300))) == {"cells.0.settings.location"}


@pytest.mark.parametrize(
    ("change", "accepted"),
    [
        *(({"peer_mtu": mtu}, mtu in {1280, 9000}) for mtu in (575, 576, 1279, 1280, 9000, 9001)),
        *(({"keepalive": each}, 0 <= each < 65536) for each in (-1, 0, 65535, 65536)),
        *(({"interface": name}, name == "wg{}") for name in ("wg{}", "wg", "wg{}{}", "WG{}")),
    ],
)
@pytest.mark.feature("F038")
def test_vpn_settings_are_in_range(
    net: Make, cell: MakeCell, change: dict[str, object], *, accepted: bool
) -> None:
    uvn = net(cell("a"), settings=Settings(root_vpn=replace(ROOT_VPN, **change)))

    assert paths(uvn) == (set() if accepted else {f"settings.root_vpn.{next(iter(change))}"})


@pytest.mark.parametrize(
    ("domain", "accepted"), [(0, True), (232, True), (233, False), (-1, False)]
)
def test_the_dds_domain_leaves_room_for_its_ports(
    net: Make, cell: MakeCell, domain: int, *, accepted: bool
) -> None:
    assert (paths(net(cell("a"), settings=Settings(dds_domain=domain))) == set()) is accepted


def test_a_private_cell_has_an_uplink(net: Make, cell: MakeCell) -> None:
    settings = Settings(deployment=DeploymentSettings(private_uplinks=0))

    assert paths(net(cell("a"), settings=settings)) == {"settings.deployment.private_uplinks"}


def test_particles_of_others_are_checked_too(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a"), those=(Particle(id=1, name="x", owner="nobody@example.org"),))

    assert paths(uvn) == {"particles.0.owner"}
