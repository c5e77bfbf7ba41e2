"""The attached LANs of a host, and the message for those that are missing."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest

from uno.diagnostics import UnoError
from uno.model.attached_lan import AttachedLan
from uno.ports.host import Nic
from uno.reconcile.lans import attached, require_all

LAN = IPv4Network("192.168.2.0/24")
LAN6 = IPv6Network("2001:db8:2::/64")


def nic(name: str, *addresses: str, up: bool = True) -> Nic:
    read = [IPv6Interface(each) if ":" in each else IPv4Interface(each) for each in addresses]
    return Nic(name=name, addresses=tuple(read), up=up)


@pytest.mark.feature("F078")
@pytest.mark.parametrize(
    ("address", "exact"),
    [
        ("192.168.2.7/24", True),
        ("192.168.2.130/25", False),
        ("192.168.7.7/16", False),
        ("192.168.2.7/32", False),
    ],
    ids=["the LAN", "within", "around", "a host address"],
)
def test_an_interface_on_within_or_around_a_lan_attaches_it(address: str, *, exact: bool) -> None:
    found = attached([LAN], [nic("eth1", address)])

    assert found == (AttachedLan(network=LAN, nic="eth1", exact=exact),)


@pytest.mark.feature("F079")
def test_interfaces_elsewhere_are_left_out() -> None:
    nics = [nic("eth0", "192.0.2.7/24", "2001:db8:9::7/64"), nic("docker0", "172.17.0.1/16")]

    assert attached([LAN, LAN6], [*nics, nic("eth1", "192.168.2.1/24")]) == (
        AttachedLan(network=LAN, nic="eth1"),
    )


@pytest.mark.feature("F079")
def test_an_interface_on_the_very_lan_is_preferred() -> None:
    nics = [nic("a", "192.168.2.1/25"), nic("b", "192.168.2.2/24"), nic("c", "192.168.0.3/16")]

    assert attached([LAN], nics) == (AttachedLan(network=LAN, nic="b"),)


@pytest.mark.feature("F079")
def test_a_lan_on_several_interfaces_is_attached_through_each() -> None:
    wide = IPv4Network("192.168.0.0/16")
    halves = [nic("eth2", "192.168.2.1/24", "192.168.2.9/24"), nic("eth1", "192.168.1.1/24")]
    twins = [nic("wlan0", "192.168.2.8/24"), nic("eth0", "192.168.2.7/24")]

    assert [lan.nic for lan in attached([wide], halves)] == ["eth1", "eth2"]
    assert attached([LAN], twins) == (
        AttachedLan(network=LAN, nic="eth0"),
        AttachedLan(network=LAN, nic="wlan0"),
    )


@pytest.mark.feature("F079")
def test_an_interface_that_is_down_attaches_nothing() -> None:
    assert attached([LAN], [nic("eth1", "192.168.2.1/24", up=False)]) == ()


@pytest.mark.feature("G32")
def test_a_lan_of_either_family_is_found_on_one_interface() -> None:
    both = nic("eth1", "192.168.2.1/24", "2001:db8:2::1/64")

    assert attached([LAN, LAN6], [both]) == (
        AttachedLan(network=LAN, nic="eth1"),
        AttachedLan(network=LAN6, nic="eth1"),
    )
    assert attached([LAN6], [nic("eth1", "192.168.2.1/24")]) == ()


@pytest.mark.feature("F078")
def test_lans_that_are_not_attached_are_named_with_what_is_there() -> None:
    nics = [
        nic("eth0", "192.0.2.7/24", "2001:db8:9::7/64"),
        nic("eth1", "192.168.2.1/24", up=False),
        nic("wlan0"),
    ]

    with pytest.raises(UnoError) as refused:
        require_all([LAN, IPv4Network("192.0.2.0/24"), LAN6], nics)

    assert refused.value.what == (
        "this host has no interface on 192.168.2.0/24 or 2001:db8:2::/64; it has "
        "eth0 (192.0.2.7/24, 2001:db8:9::7/64), eth1 (192.168.2.1/24, down), wlan0 (no address)"
    )
    assert "bring its interface up" in refused.value.hint


@pytest.mark.feature("F078")
def test_the_message_for_a_host_without_interfaces_has_none() -> None:
    with pytest.raises(UnoError, match="it has none"):
        require_all([LAN], [])


def test_lans_that_are_all_attached_are_returned() -> None:
    nics = [nic("eth1", "192.168.2.1/24")]

    assert require_all([LAN], nics) == attached([LAN], nics)
    assert require_all([], nics) == ()


@pytest.mark.feature("F009")
def test_a_roaming_cell_needs_no_interface() -> None:
    assert require_all([], []) == ()
