from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.model.checks import check
from uno.model.uvn import BACKBONE_VPN, Cell, Settings, Uvn

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


def found(uvn: Uvn) -> list[str]:
    return [finding.what for finding in check(uvn)]


@pytest.mark.feature("F025")
@pytest.mark.feature("G32")
def test_a_cell_may_have_several_lans_of_both_families(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", "192.168.1.0/24", "192.168.2.0/24", "2001:db8:1::/64"), cell("b"))

    assert found(uvn) == []


@pytest.mark.feature("F026")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.168.1.0/24", "192.168.0.0/16"),
        ("192.168.0.0/16", "192.168.1.0/24"),
        ("2001:db8::/32", "2001:db8:1::/64"),
    ],
)
def test_lans_of_two_cells_do_not_overlap(net: Make, cell: MakeCell, one: str, other: str) -> None:
    (finding,) = check(net(cell("a", one), cell("b", other)))

    assert finding.what == f"LAN {other} of b overlaps LAN {one} of a"
    assert finding.path == ("cells", 1, "allowed_lans", 0)
    assert finding.also == (("cells", 0, "allowed_lans", 0),)


@pytest.mark.feature("F026")
def test_lans_of_one_cell_do_not_overlap(net: Make, cell: MakeCell) -> None:
    (finding,) = check(net(cell("a", "10.1.0.0/16", "10.1.2.0/24")))

    assert finding.what == "LAN 10.1.2.0/24 of a overlaps LAN 10.1.0.0/16 of a"
    assert finding.hint == "remove one of them"


@pytest.mark.feature("F026")
def test_the_same_lan_at_two_cells_is_one_finding(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", "10.1.0.0/24"), cell("b", "10.1.0.0/24"))

    assert found(uvn) == ["LAN 10.1.0.0/24 of b is also LAN 10.1.0.0/24 of a"]


@pytest.mark.feature("F026")
@pytest.mark.parametrize(
    ("lan", "pool"),
    [
        ("10.254.3.0/24", "particles_vpn subnet 10.254.0.0/16"),
        ("10.255.192.0/18", "backbone_vpn subnet 10.255.192.0/20"),
        ("10.255.131.0/24", "root_vpn subnet 10.255.128.0/22"),
    ],
)
def test_no_lan_lies_in_a_pool(net: Make, cell: MakeCell, lan: str, pool: str) -> None:
    assert found(net(cell("a", lan))) == [f"LAN {lan} of a overlaps the {pool}"]


@pytest.mark.feature("F026")
def test_no_pool_lies_in_another(net: Make, cell: MakeCell) -> None:
    backbone = replace(BACKBONE_VPN, subnet=IPv4Network("10.254.16.0/20"))

    assert found(net(cell("a"), settings=Settings(backbone_vpn=backbone))) == [
        "the particles_vpn subnet 10.254.0.0/16 overlaps the backbone_vpn subnet 10.254.16.0/20"
    ]


def test_the_lans_of_an_excluded_cell_are_free(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", "10.1.0.0/24", excluded=True), cell("b", "10.1.0.0/24"))

    assert found(uvn) == []


def test_networks_side_by_side_do_not_overlap(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", "10.1.0.0/25", "10.1.2.0/24"), cell("b", "10.1.0.128/25", "10.1.1.0/24"))

    assert found(uvn) == []


def test_one_lan_around_many_overlaps_each(net: Make, cell: MakeCell) -> None:
    uvn = net(cell("a", "10.1.1.0/24"), cell("b", "10.1.3.0/24"), cell("c", "10.1.0.0/16"))

    assert found(uvn) == [
        "LAN 10.1.0.0/16 of c overlaps LAN 10.1.1.0/24 of a",
        "LAN 10.1.0.0/16 of c overlaps LAN 10.1.3.0/24 of b",
    ]


@pytest.mark.parametrize(
    "lan",
    ["0.0.0.0/0", "::/0", "127.0.0.0/8", "224.0.0.0/8", "ff00::/8", "169.254.0.0/16", "fe80::/64"],
)
def test_a_network_that_is_never_routed_is_no_lan(net: Make, cell: MakeCell, lan: str) -> None:
    (finding,) = check(net(cell("a", lan)))

    assert finding.path == ("cells", 0, "allowed_lans", 0)
