"""What `ip -j` prints, as values; what is given to `ip -batch`."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Any

import pytest

from uno.host import links
from uno.host.command import CommandFailed, Completed
from uno.model.net import Network
from uno.ports.host import Nic

LO = {
    "ifindex": 1,
    "ifname": "lo",
    "flags": ["LOOPBACK", "UP", "LOWER_UP"],
    "mtu": 65536,
    "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}],
}
ETH0 = {
    "ifindex": 2,
    "link_index": 11,
    "ifname": "eth0",
    "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
    "mtu": 1500,
    "operstate": "UP",
    "ifalias": "the way out",
    "linkinfo": {"info_kind": "veth"},
    "addr_info": [
        {
            "family": "inet",
            "local": "192.168.1.7",
            "prefixlen": 24,
            "broadcast": "192.168.1.255",
            "scope": "global",
            "label": "eth0",
        },
        {"family": "inet6", "local": "2001:db8::7", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "fe80::7", "prefixlen": 64, "scope": "link"},
    ],
}
WWAN = {"ifname": "wwan0", "flags": ["NOARP"], "mtu": 1500, "addr_info": [{}]}
TUN = {
    "ifname": "uwg-b0",
    "flags": ["POINTOPOINT", "UP"],
    "mtu": 1320,
    "linkinfo": {"info_kind": "tun", "info_data": {"type": "tun"}},
    "addr_info": [{"family": "inet", "local": "10.255.192.2", "prefixlen": 31}],
}


class Ip:
    """Stands for the `ip` program: answers by its arguments, and notes what it was given."""

    def __init__(self, answers: dict[str, Any], *, status: int = 0, stderr: str = "") -> None:
        self.answers = answers
        self.status, self.stderr = status, stderr
        self.asked: list[str] = []
        self.given: list[str] = []

    def __call__(self, argv: list[str], *, stdin: str = "", check: bool = True) -> Completed:
        assert check or self.status or self.given is not None
        asked = " ".join(argv[1:])
        self.asked.append(asked)
        self.given += stdin.splitlines()
        stdout = json.dumps(self.answers[asked]) if asked in self.answers else ""
        return Completed(argv=tuple(argv), status=self.status, stdout=stdout, stderr=self.stderr)


def ip(monkeypatch: pytest.MonkeyPatch, *, status: int = 0, stderr: str = "", **answers: Any) -> Ip:
    told = {f"-j {key.replace('__', '-').replace('_', ' ')}": each for key, each in answers.items()}
    stand_in = Ip(told, status=status, stderr=stderr)
    monkeypatch.setattr(links, "run", stand_in)
    return stand_in


def test_interfaces_are_read_with_alias_driver_and_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ip(monkeypatch, __d_address_show=[{}, LO, ETH0, WWAN, TUN])

    lo, eth0, wwan, tun = links.interfaces()

    assert (lo.name, lo.up, lo.alias, lo.kind) == ("lo", True, "", "")
    assert (eth0.alias, eth0.kind, eth0.mtu) == ("the way out", "veth", 1500)
    assert eth0.addresses == (
        IPv4Interface("192.168.1.7/24"),
        IPv6Interface("2001:db8::7/64"),
        IPv6Interface("fe80::7/64"),
    )
    assert (wwan.up, wwan.addresses) == (False, ())
    assert (tun.kind, tun.mtu) == ("tun", 1320)


@pytest.mark.feature("F079")
def test_the_hosts_own_interfaces_come_without_loopback_and_link_local_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ip(
        monkeypatch,
        __d_address_show=[LO, ETH0, WWAN],
        __4_route_show_default=[
            {"dst": "default", "protocol": "dhcp", "nexthops": [{"dev": "eth0"}, {"dev": "ppp0"}]}
        ],
        __6_route_show_default=[{"dst": "default", "dev": "wwan0", "protocol": "ra"}],
    )

    found = links.nics(links.interfaces())

    addresses = IPv4Interface("192.168.1.7/24"), IPv6Interface("2001:db8::7/64")
    assert found == (
        Nic(name="eth0", addresses=addresses, leads_out=True),
        Nic(name="wwan0", up=False, autoconfigured=True, leads_out=True),
    )


@pytest.mark.feature("G28")
def test_barriers_of_both_families_are_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ip(
        monkeypatch,
        __4_route_show_table_all_proto_98=[
            {"type": "unreachable", "dst": "192.168.2.0/24", "protocol": "98"},
            {"type": "unreachable", "dst": "192.168.3.4"},
            {"type": "unreachable", "dst": "default"},
        ],
        __6_route_show_table_all_proto_98=[
            {"type": "unreachable", "dst": "fd00::/48", "dev": "lo"},
            {"type": "unreachable", "dst": "fd00::1", "dev": "lo"},
            {"type": "unreachable", "dst": "default", "dev": "lo"},
        ],
    )

    found = links.own_routes()

    assert found.into == {}
    assert found.barriers == {
        IPv4Network("192.168.2.0/24"),
        IPv4Network("192.168.3.4/32"),
        IPv4Network("0.0.0.0/0"),
        IPv6Network("fd00::/48"),
        IPv6Network("fd00::1/128"),
        IPv6Network("::/0"),
    }


def test_routes_into_interfaces_are_read_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ip(
        monkeypatch,
        __4_route_show_table_all_proto_98=[
            {"dst": "10.0.0.9", "dev": "x"},
            {"dst": "10.0.0.1", "dev": "x"},
            {"dst": "10.1.0.0/16", "dev": "y"},
        ],
        __6_route_show_table_all_proto_98=[{"dst": "fd00::1", "dev": "x"}],
    )

    found = links.own_routes()

    assert found.barriers == set()
    assert {name: list(map(str, routes)) for name, routes in found.into.items()} == {
        "x": ["10.0.0.1/32", "10.0.0.9/32", "fd00::1/128"],
        "y": ["10.1.0.0/16"],
    }


def test_routes_of_another_routing_daemon_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ip(
        monkeypatch,
        __4_route_show=[
            {"dst": "default", "dev": "eth0", "protocol": "dhcp"},
            {"dst": "192.168.2.0/24", "dev": "uwg-b0", "protocol": "bgp"},
        ],
        __6_route_show=[{"dst": "2001:db8:9::/48", "dev": "eth0", "protocol": "bgp"}],
    )
    bgp = frozenset({"bgp"})

    assert links.has_routes(bgp, except_on=frozenset({"uwg-b0"}))
    assert not links.has_routes(bgp, except_on=frozenset({"uwg-b0", "eth0"}))


def test_a_barrier_loses_against_every_other_route_and_never_hides_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = ip(monkeypatch)
    networks: list[Network] = [IPv4Network("192.168.2.0/24"), IPv6Network("fd00::/48")]

    links.add_barriers(networks)
    links.remove_barriers(networks)
    links.add_barriers([])

    assert program.given == [
        "route replace unreachable 192.168.2.0/24 metric 4278198272 proto 98",
        "route replace unreachable fd00::/48 metric 4278198272 proto 98",
        "route del unreachable 192.168.2.0/24 metric 4278198272 proto 98",
        "route del unreachable fd00::/48 metric 4278198272 proto 98",
    ]
    assert program.asked == ["-batch -", "-force -batch -"]
    # The highest byte of the metric is zebra's distance.
    assert 4278198272 >> 24 == 255


def test_a_batch_that_fails_names_the_line_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'Cannot find device "x"\nCommand failed -:2\n'
    ip(monkeypatch, status=1, stderr=said)

    with pytest.raises(CommandFailed) as failed:
        links.batch(["link set dev lo up", "link set dev x up"])

    assert 'failed at `ip link set dev x up`: Cannot find device "x"' in str(failed.value)


def test_a_batch_that_fails_without_a_line_says_what_ip_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ip(monkeypatch, status=1, stderr="Cannot open netlink socket\n")

    with pytest.raises(CommandFailed, match="failed: Cannot open netlink socket"):
        links.batch(["link set dev lo up"])


def test_an_interface_that_is_not_there_is_deleted_already(monkeypatch: pytest.MonkeyPatch) -> None:
    ip(monkeypatch, status=1, stderr='Cannot find device "x"\n')
    links.delete("x")

    ip(monkeypatch, status=2, stderr="RTNETLINK answers: Operation not permitted\n")
    with pytest.raises(CommandFailed, match="Operation not permitted"):
        links.delete("x")


def test_a_route_is_marked_as_unos() -> None:
    prefix = IPv4Network("10.255.128.1/32")

    assert links.add_route("x", prefix) == "route replace 10.255.128.1/32 dev x table 254 proto 98"
    assert links.remove_route("x", prefix) == "route del 10.255.128.1/32 dev x table 254 proto 98"
