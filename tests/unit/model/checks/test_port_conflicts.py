from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model.checks import check
from uno.model.uvn import BACKBONE_VPN, PARTICLES_VPN, ROOT_VPN, Cell, Settings, Uvn

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


def found(uvn: Uvn) -> list[str]:
    return [finding.what for finding in check(uvn)]


def test_a_wrong_port_of_all_cells_is_reported_once(net: Make, cell: MakeCell) -> None:
    settings = Settings(particles_vpn=replace(PARTICLES_VPN, port=63448))

    (finding,) = check(net(cell("a"), cell("b"), settings=settings))

    assert finding.path == ("settings", "particles_vpn", "port")
    assert finding.also == (("settings", "root_vpn", "peer_port"),)


def test_the_port_of_one_cell_is_blamed_on_the_cell(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a", particles_vpn_port=63448), cell("b")))

    assert finding.path == ("cells", 0, "settings", "particles_vpn_port")


def test_backbone_ports_do_not_begin_at_another_port(net: Make, cell: MakeCell) -> None:
    assert found(net(cell("a", backbone_vpn_port=63449), cell("b"))) == [
        "the backbone of a and the particle VPN of a would both listen on UDP port 63449"
    ]


def test_backbone_ports_do_not_run_through_another_port(net: Make, cell: MakeCell) -> None:
    cells = [cell(f"c{i}") for i in range(4)]

    (what,) = found(net(cell("a", backbone_vpn_port=63445), *cells))
    assert what == (
        "the backbone of a may need the UDP ports 63445 to 63448, "
        "and the root VPN of a listens on 63448"
    )
    assert found(net(cell("a", backbone_vpn_port=63444), *cells)) == []
    assert found(net(cell("a", backbone_vpn_port=63450), *cells)) == []


def test_backbone_ports_end_where_ports_end(net: Make, cell: MakeCell) -> None:
    assert found(net(cell("a", backbone_vpn_port=65535), cell("b"))) == []
    assert found(net(cell("a", backbone_vpn_port=65535), cell("b"), cell("c"))) == [
        "the backbone of a may need the UDP ports 65535 to 65536, and 65535 is the last there is"
    ]


@pytest.mark.feature("F044")
def test_the_https_port_is_another_matter(net: Make, cell: MakeCell) -> None:
    assert found(net(cell("a", httpd_port=63448))) == []


@pytest.mark.feature("F005")
def test_two_cells_behind_one_address_have_different_ports(net: Make, cell: MakeCell) -> None:
    findings = check(net(cell("a"), cell("b", address="A.example.org")))

    assert {finding.path for finding in findings} == {("cells", 1, "address")}
    assert {finding.also for finding in findings} == {(("cells", 0, "address"),)}


@pytest.mark.feature("F005")
def test_two_cells_behind_one_address_with_ports_of_their_own_are_fine(
    net: Make, cell: MakeCell
) -> None:
    other = cell("b", address="a.example.org", root_vpn_port=5000, particles_vpn_port=5001)

    assert found(net(cell("a"), other)) == []


def test_private_and_excluded_cells_listen_nowhere(net: Make, cell: MakeCell) -> None:
    uvn = net(
        cell("a"),
        cell("b", address="a.example.org", excluded=True),
        cell("c", "10.0.0.0/24", address=None, particles_vpn_port=63448),
    )

    assert found(uvn) == []


def test_what_is_off_listens_nowhere(net: Make, cell: MakeCell) -> None:
    settings = Settings(enable_root_vpn=False)
    cells = cell("a", enable_particles_vpn=False), cell("b", address="a.example.org")

    assert found(net(*cells, settings=settings)) == []


@pytest.mark.feature("F030")
def test_the_registry_may_be_on_the_host_of_a_cell(net: Make, cell: MakeCell) -> None:
    assert found(net(cell("a"), address="a.example.org")) == []
    assert found(net(cell("a", root_vpn_port=63447), address="a.example.org")) == [
        "the root VPN of a and the registry would both listen on UDP port 63447"
    ]


@pytest.mark.feature("F038")
@pytest.mark.parametrize(
    ("root", "backbone", "apart"),
    [("wg{}", "wg{}", False), ("wg{}", "wg1{}", False), ("wga{}", "wgb{}", True)],
)
def test_interfaces_have_names_of_their_own(
    net: Make, cell: MakeCell, root: str, backbone: str, *, apart: bool
) -> None:
    settings = Settings(
        root_vpn=replace(ROOT_VPN, interface=root),
        backbone_vpn=replace(BACKBONE_VPN, interface=backbone),
    )

    assert (found(net(cell("a"), settings=settings)) == []) is apart


def test_the_interface_of_uno_itself_is_taken(net: Make, cell: MakeCell) -> None:
    settings = Settings(root_vpn=replace(ROOT_VPN, interface="uno{}"))

    assert found(net(cell("a"), settings=settings)) == [
        "the interfaces 'uno{}' could have the names of those of uno itself"
    ]
