from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.diagnostics import Severity
from uno.model.checks import check
from uno.model.checks.finding import Finding
from uno.model.net import ula
from uno.model.uvn import Cell, Settings, Uvn

Make = Callable[..., Uvn]
MakeCell = Callable[..., Cell]


def only(uvn: Uvn) -> Finding:
    (finding,) = check(uvn)
    return finding


@pytest.mark.feature("F030")
@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("10.255.128.9", "the root_vpn subnet 10.255.128.0/22"),
        ("10.254.0.1", "the particles_vpn subnet 10.254.0.0/16"),
        ("10.255.192.2", "the backbone_vpn subnet 10.255.192.0/20"),
        (str(ula("0" * 32)[7]), f"the UVN's IPv6 prefix {ula('0' * 32)}"),
    ],
)
def test_no_public_address_is_one_that_uno_gives(
    net: Make, cell: MakeCell, address: str, taken: str
) -> None:
    finding = only(net(cell("a"), cell("b", address=address)))

    assert finding.what == f"address {address} of b is in {taken}"
    assert finding.path == ("cells", 1, "address")
    assert finding.hint == "write the address that the host has without uno"
    assert finding.severity is Severity.ERROR


@pytest.mark.feature("F030")
@pytest.mark.parametrize("holder", ["a", "b"])
@pytest.mark.parametrize(
    ("address", "lan"), [("203.0.113.7", "203.0.113.0/24"), ("2001:db8:3::2", "2001:db8:3::/64")]
)
def test_no_public_address_is_in_a_lan_of_the_uvn(
    net: Make, cell: MakeCell, address: str, lan: str, holder: str
) -> None:
    lans = {holder: (lan,)}
    finding = only(
        net(cell("a", *lans.get("a", ())), cell("b", *lans.get("b", ()), address=address))
    )

    assert finding.what == (
        f"address {address} of b is in LAN {lan} of {holder}, "
        "which other sites reach through the UVN alone"
    )
    assert finding.also == (("cells", 0 if holder == "a" else 1, "allowed_lans", 0),)
    assert finding.severity is Severity.ERROR


@pytest.mark.feature("F005")
def test_the_registry_is_in_no_lan_of_the_uvn(net: Make, cell: MakeCell) -> None:
    finding = only(net(cell("a", "192.168.1.0/24"), address="192.168.1.10"))

    assert finding.path == ("address",)
    assert finding.what.startswith("address 192.168.1.10 of the registry is in LAN 192.168.1.0/24")


@pytest.mark.feature("F030")
@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.31.0.1", "192.168.9.9", "100.64.0.1", "fd00::9"]
)
def test_a_private_address_may_be_right_and_gets_a_warning(
    net: Make, cell: MakeCell, address: str
) -> None:
    finding = only(net(cell("a", address=address)))

    assert finding.what.startswith(f"address {address} of a is ")
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    "address",
    ["203.0.113.7", "198.51.100.1", "8.8.8.8", "172.32.0.1", "2001:db8::1", "gw", "a.lan"],
)
def test_other_addresses_and_names_are_accepted(net: Make, cell: MakeCell, address: str) -> None:
    assert check(net(cell("a", "192.168.1.0/24", address=address))) == ()


def test_lans_and_addresses_of_excluded_cells_do_not_count(net: Make, cell: MakeCell) -> None:
    excluded = cell("b", "203.0.113.0/24", address="10.254.0.1", excluded=True)

    assert check(net(cell("a", address="203.0.113.7"), excluded)) == ()


def test_what_is_refused_as_such_is_reported_once(net: Make, cell: MakeCell) -> None:
    finding = only(net(cell("a", address="127.0.0.1"), settings=Settings()))

    assert finding.what == "127.0.0.1 is a loopback address: no other site can connect to it"


@pytest.mark.feature("F030")
def test_an_ipv6_address_gets_a_warning_where_nothing_shows_that_others_have_ipv6(
    net: Make, cell: MakeCell
) -> None:
    finding = only(
        net(
            cell("a", "192.168.1.0/24", address="203.0.113.7"),
            cell("b", address="2001:db8:9::1"),
            cell("c", "2001:db8:3::/64"),
            cell("d", "fd12::/64"),
        )
    )

    assert finding.path == ("cells", 1, "address")
    assert finding.what == (
        "address 2001:db8:9::1 of b is IPv6, and nothing shows that a, d can connect to it"
    )
    assert finding.severity is Severity.WARNING
