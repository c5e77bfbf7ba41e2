"""How much each node may send to the bus."""

from __future__ import annotations

from ipaddress import IPv4Address

from uno.render.nft_bus_rate import of_links, of_nodes

PORTS = (18911, 18910)
BUS = "udp dport { 18910, 18911 }"


def test_each_link_has_a_limit_of_its_own_that_grows_with_the_cells() -> None:
    assert list(of_links(["uwg-b0", "uwg-b1"], ports=PORTS, cells=5)) == [
        f'iifname "uwg-b0" {BUS} limit rate over 18 kbytes/second burst 306 kbytes counter drop',
        f'iifname "uwg-b1" {BUS} limit rate over 18 kbytes/second burst 306 kbytes counter drop',
    ]
    (many,) = of_links(["uwg-b0"], ports=PORTS, cells=200)
    assert "rate over 408 kbytes/second burst 2256 kbytes" in many
    assert list(of_links(["uwg-b0"], ports=(), cells=5)) == []


def test_each_cell_in_the_root_vpn_has_one() -> None:
    nodes = [IPv4Address("10.255.128.2"), IPv4Address("10.255.128.3")]

    assert list(of_nodes("uwg-v0", nodes, ports=PORTS)) == [
        f'iifname "uwg-v0" ip saddr {node} {BUS}'
        " limit rate over 12 kbytes/second burst 276 kbytes counter drop"
        for node in nodes
    ]
