"""Rules for nft."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from uno.diagnostics import UnoError
from uno.lab import node_nftables

ONE, OTHER = IPv4Address("203.0.113.1"), IPv4Address("203.0.113.2")


def test_a_cut_names_both_addresses() -> None:
    expected = "add element inet lab cut { 203.0.113.1 . 203.0.113.2 }\n"

    assert node_nftables.cut("add", ONE, OTHER) == expected


def test_a_cut_of_one_flow_names_the_port_too() -> None:
    expected = "delete element inet lab cut_port { 203.0.113.1 . 63550 . 203.0.113.2 }\n"

    assert node_nftables.cut("delete", ONE, OTHER, port=63550) == expected


def test_a_cut_between_ipv6_endpoints_is_refused() -> None:
    with pytest.raises(UnoError, match="IPv4"):
        node_nftables.cut("add", ONE, IPv6Address("2001:db8::1"))


def test_no_loss_is_no_rule() -> None:
    assert node_nftables.loss(0) == "flush chain inet lab loss\n"


def test_loss_is_counted_in_tenths_of_a_percent() -> None:
    assert "numgen random mod 1000 < 25 counter drop" in node_nftables.loss(2.5)


@pytest.mark.parametrize("percent", [-1, 100.1])
def test_more_than_all_and_less_than_none_is_refused(percent: float) -> None:
    with pytest.raises(UnoError, match="not a share"):
        node_nftables.loss(percent)
