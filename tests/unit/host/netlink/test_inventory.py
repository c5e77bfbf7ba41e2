"""Interfaces, addresses, routes and rules of the kernel, as values."""

from __future__ import annotations

import json
import socket
import struct
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)

import pytest
from msgspec.structs import replace

from uno.host.command import run
from uno.host.netlink import inventory, rtnetlink
from uno.host.netlink.interface_changes import UNDERLAY_TABLE
from uno.host.netlink.inventory import Interface
from uno.host.netlink.rtnetlink import KernelRoute, NetlinkMessage
from uno.model.net import network
from uno.model.tunnel import UNDERLAY_MARK
from uno.ports.host import EarlierTable, HostRoute, LinkMode, Nic, Underlay

TUNNEL, OTHER = 7, 8
TABLE = 0x10012345


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[bytes]]:
    """What is answered to each kind of request."""
    answers: dict[int, list[bytes]] = {}

    def dumped(kind: int, _body: bytes) -> tuple[NetlinkMessage, ...]:
        return tuple(NetlinkMessage(kind - 2, body) for body in answers.get(kind, []))

    monkeypatch.setattr(rtnetlink, "dumped", dumped)
    return answers


def test_interfaces_come_with_alias_driver_and_addresses(kernel: dict[int, list[bytes]]) -> None:
    info = attribute(1, b"veth\0") + attribute(2, b"whatever") + attribute(4, b"bridge\0")
    about = [(20, b"the way out\0"), (4, struct.pack("=I", 1500)), (18, info)]
    kernel[18] = [link(2, "eth0", *about), link(1, "lo", up=False)]
    kernel[22] = [
        address("192.168.1.7/24", 2),
        address("2001:db8::7/64", 2),
        address("10.0.0.1/32", 2, other="10.0.0.2"),
    ]

    lo, eth0 = inventory.interfaces()

    assert (lo.index, lo.name, lo.up, lo.alias, lo.kind, lo.addresses) == (
        1, "lo", False, "", "", (),
    )  # fmt: skip
    assert (eth0.alias, eth0.kind, eth0.mtu, eth0.up) == ("the way out", "veth", 1500, True)
    assert eth0.addresses == (
        IPv4Interface("192.168.1.7/24"),
        IPv6Interface("2001:db8::7/64"),
        IPv4Interface("10.0.0.1/32"),
    )


def test_modes_are_those_of_the_interfaces(kernel: dict[int, list[bytes]]) -> None:
    kernel[18] = [link(2, "eth0"), link(1, "lo", up=False)]

    assert inventory.modes() == {"eth0": LinkMode.NO_CARRIER, "lo": LinkMode.DOWN}
    assert inventory.modes() == {each.name: each.mode for each in inventory.interfaces()}


@pytest.mark.feature("F079")
def test_the_hosts_own_interfaces_come_without_loopback_and_link_local_addresses() -> None:
    ways = (
        route("0.0.0.0/0", 2, 3),
        route("::/0", 4, protocol=9),
        route("192.168.1.0/24", 5),
    )
    addresses = IPv4Interface("192.168.1.7/24"), IPv6Interface("fe80::7/64")

    found = inventory.nics(
        [
            interface(1, "lo"),
            interface(2, "eth0", *addresses),
            interface(4, "wwan0"),
            replace(interface(5, "eth1"), port_of="bridge"),
        ],
        ways,
    )

    assert found == (
        Nic(name="eth0", addresses=addresses[:1], has_default_route=True),
        Nic(name="wwan0", has_default_route=True),
        Nic(name="eth1", is_bridge_port=True),
    )


@pytest.mark.feature("G51")
def test_routes_of_the_hosts_own_come_with_interface_gateway_and_metric(
    kernel: dict[int, list[bytes]],
) -> None:
    several = struct.pack("=HBBi", 16, 0, 0, 3) + attribute(5, ip_address("10.1.1.1").packed)
    several += struct.pack("=HBBi", 8, 0, 0, 2)
    other_family = struct.pack("=H", socket.AF_INET6) + ip_address("fe80::1").packed
    kernel[26] = [
        raw_route("0.0.0.0/0", (4, 2), (6, 100), gateway="192.0.2.1"),
        raw_route("10.7.0.0/16", (4, 3)),
        raw_route("10.8.0.0/16", more=attribute(9, several)),
        raw_route("10.9.0.0/16", (4, 3), more=attribute(18, other_family)),
        raw_route("192.168.9.0/24", (4, 2), protocol=rtnetlink.BGP),
        raw_route("192.168.8.0/24", (4, 2), protocol=98),
        raw_route("::/0", (4, 3), gateway="fe80::1", protocol=rtnetlink.BGP),
        raw_route("10.66.0.0/16", (4, 3), table=77),
        raw_route("10.67.0.0/16", (4, 3), kind=rtnetlink.UNREACHABLE),
        raw_route("10.68.0.0/16", (4, 9)),
        raw_route("fe80::/64", (4, 3)),
        raw_route("127.1.0.0/16", (4, 1)),
    ]

    found = inventory.host_routes(
        [interface(1, "lo"), interface(2, "eth0"), interface(3, "br0")], inventory.main_routes()
    )

    assert found == (
        HostRoute(
            destination=IPv4Network("0.0.0.0/0"),
            interface="eth0",
            gateway=IPv4Address("192.0.2.1"),
            metric=100,
        ),
        HostRoute(destination=IPv4Network("10.7.0.0/16"), interface="br0"),
        HostRoute(
            destination=IPv4Network("10.8.0.0/16"),
            interface="br0",
            gateway=IPv4Address("10.1.1.1"),
        ),
        HostRoute(
            destination=IPv4Network("10.9.0.0/16"),
            interface="br0",
            gateway=IPv6Address("fe80::1"),
        ),
        HostRoute(destination=IPv6Network("::/0"), interface="br0", gateway=IPv6Address("fe80::1")),
    )


@pytest.mark.feature("G28")
def test_unreachable_routes_are_apart_from_routes_into_interfaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported = {
        socket.AF_INET: (
            route("192.168.2.0/24", kind=rtnetlink.UNREACHABLE),
            route("10.0.0.9/32", TUNNEL),
            route("10.0.0.1/32", TUNNEL),
            route("10.1.0.0/16", OTHER, table=TABLE),
        ),
        socket.AF_INET6: (
            route("fd00::/48", 1, kind=rtnetlink.UNREACHABLE),
            route("fd00::1/128", TUNNEL),
        ),
    }
    monkeypatch.setattr(
        rtnetlink, "routes_of", lambda protocol, family: reported[family] if protocol == 98 else ()
    )

    found = inventory.own_routes()

    assert found.unreachable_routes == {IPv4Network("192.168.2.0/24"), IPv6Network("fd00::/48")}
    assert {index: list(map(str, routes)) for index, routes in found.into.items()} == {
        TUNNEL: ["10.0.0.1/32", "10.0.0.9/32", "fd00::1/128"]
    }
    assert found.aside == {(OTHER, TABLE): (IPv4Network("10.1.0.0/16"),)}


def test_rules_are_those_of_uno(kernel: dict[int, list[bytes]]) -> None:
    kernel[34] = [
        rule("10.255.128.1", TABLE),
        rule("fd00::1", TABLE),
        rule("10.0.0.1", 52, protocol=2),
        rule(None, 253),
    ]

    assert inventory.rules() == {
        (IPv4Address("10.255.128.1"), TABLE),
        (IPv6Address("fd00::1"), TABLE),
    }


@pytest.mark.feature("G51")
def test_rules_of_others_come_with_what_they_look_up_and_whether_for_every_packet(
    kernel: dict[int, list[bytes]],
) -> None:
    mark, name = attribute(10, struct.pack("=I", 0x80000)), attribute(3, b"eth0\0")
    every = attribute(14, struct.pack("=I", 0xFFFFFFFF))
    kernel[34] = [
        rule("10.255.128.1", TABLE),
        others_rule(5210, 254, mark + every),
        others_rule(5250, 0, action=7),
        others_rule(5270, 52, every),
        others_rule(5280, 53, name),
        others_rule(32764, 254, attribute(14, struct.pack("=I", 0))),
        others_rule(32765, 51820, mark + every, flags=0x2),
    ]

    found = inventory.policy_rules()

    assert [(it.priority, it.table, it.is_selective, it.suppressed) for it in found] == [
        (5210, 254, True, -1),
        (5250, None, False, -1),
        (5270, 52, False, -1),
        (5280, 53, True, -1),
        (32764, 254, False, 0),
        (32765, 51820, False, -1),
    ]


@pytest.mark.feature("G51")
def test_tables_before_the_main_one_come_with_their_routes_and_what_they_throw(
    kernel: dict[int, list[bytes]],
) -> None:
    kernel[34] = [others_rule(32766, 254), others_rule(5270, 52)]
    kernel[26] = [
        raw_route("192.168.3.0/24", (4, 2), table=52),
        raw_route("192.168.4.0/24", (4, 2), table=53),
        raw_route("192.168.5.0/24", table=52, kind=rtnetlink.THROW),
    ]

    assert inventory.earlier_tables([interface(2, "tailscale0")]) == (
        EarlierTable(
            number=52,
            routes=(HostRoute(destination=network("192.168.3.0/24"), interface="tailscale0"),),
            thrown=frozenset({network("192.168.5.0/24")}),
        ),
    )


@pytest.mark.feature("G51")
def test_routes_that_reject_are_those_that_are_preferred_to_unos() -> None:
    routes = [
        route("192.168.3.0/24", kind=6),
        route("192.168.4.0/24", kind=8, priority=1024),
        route("192.168.5.0/24", kind=rtnetlink.UNREACHABLE, priority=4278198272),
        route("192.168.6.0/24", 2),
    ]

    assert inventory.rejected(routes) == {
        network("192.168.3.0/24"): "blackhole",
        network("192.168.4.0/24"): "prohibit",
    }


def others_rule(
    priority: int, table: int, about: bytes = b"", *, action: int = 1, flags: int = 0
) -> bytes:
    head = struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 0, 0, 0, action, flags)
    found = attribute(6, struct.pack("=I", priority)) + attribute(15, struct.pack("=I", table))
    return head + found + about


def test_this_hosts_interfaces_are_those_that_ip_shows() -> None:
    shown = json.loads(run(["ip", "-j", "-d", "address", "show"]).stdout)

    found = inventory.interfaces()

    assert [
        (each.name, each.mtu, each.kind, each.alias, list(map(str, each.addresses)))
        for each in found
    ] == [
        (
            each["ifname"],
            each["mtu"],
            each.get("linkinfo", {}).get("info_kind", ""),
            each.get("ifalias", ""),
            [f"{a['local']}/{a['prefixlen']}" for a in each["addr_info"]],
        )
        for each in shown
        if each
    ]


@pytest.mark.feature("G51")
def test_routes_of_wireguards_packets_come_with_the_families_of_their_rules(
    kernel: dict[int, list[bytes]],
) -> None:
    own = route(
        "2001:db8:3::/64",
        2,
        table=UNDERLAY_TABLE,
        gateway=ip_address("fe80::1").packed,
        priority=1024,
    )
    routes = inventory.OwnRoutes(unreachable_routes=frozenset(), into={}, aside={}, underlay=(own,))
    mark = attribute(10, struct.pack("=I", UNDERLAY_MARK))
    kernel[34] = [
        rule(None, UNDERLAY_TABLE, family=socket.AF_INET6) + mark,
        rule(None, UNDERLAY_TABLE, protocol=3) + mark,
        rule(None, 77) + mark,
        rule(None, UNDERLAY_TABLE),
    ]

    assert inventory.underlay([interface(2, "eth0")], routes) == Underlay(
        routes=(
            HostRoute(
                destination=IPv6Network("2001:db8:3::/64"),
                interface="eth0",
                gateway=IPv6Address("fe80::1"),
            ),
        ),
        families=(6,),
    )


@pytest.mark.feature("G51")
def test_without_rules_and_routes_wireguards_packets_have_none(
    kernel: dict[int, list[bytes]],
) -> None:
    nothing = inventory.OwnRoutes(unreachable_routes=frozenset(), into={}, aside={})
    assert kernel == {}

    assert inventory.underlay([], nothing) is None


def test_this_hosts_default_routes_are_those_that_ip_shows() -> None:
    shown = [
        each
        for family in ("-4", "-6")
        for each in json.loads(run(["ip", "-j", family, "route", "show", "default"]).stdout or "[]")
    ]

    assert sum(not each.destination.prefixlen for each in inventory.main_routes()) == len(shown)


def attribute(kind: int, content: bytes) -> bytes:
    padding = bytes(-len(content) % 4)
    return struct.pack("=HH", 4 + len(content), kind) + content + padding


def link(index: int, name: str, *about: tuple[int, bytes], up: bool = True) -> bytes:
    head = struct.pack("=BBHiII", 0, 0, 1, index, int(up), 0)
    reported = [(3, name.encode() + b"\0"), *about]
    return head + b"".join(attribute(*each) for each in reported)


def address(text: str, index: int, *, other: str | None = None) -> bytes:
    own, _, length = text.partition("/")
    packed = ip_address(own).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    head = struct.pack("=4Bi", family, int(length), 0, 0, index)
    if other:
        return head + attribute(1, ip_address(other).packed) + attribute(2, packed)
    return head + attribute(1, packed)


def rule(
    source: str | None, table: int, *, protocol: int = 98, family: int = socket.AF_INET
) -> bytes:
    packed = ip_address(source).packed if source else b""
    reported = attribute(2, packed) if packed else b""
    reported += attribute(15, struct.pack("=I", table)) + attribute(21, bytes([protocol]))
    return struct.pack("=8BI", family, 0, 8 * len(packed), 0, 0, 0, 0, 1, 0) + reported


def route(
    destination: str,
    *interfaces: int,
    kind: int = rtnetlink.UNICAST,
    table: int = rtnetlink.MAIN_TABLE,
    protocol: int = 98,
    gateway: bytes = b"",
    priority: int = 0,
) -> KernelRoute:
    return KernelRoute(
        destination=network(destination),
        table=table,
        protocol=protocol,
        kind=kind,
        flags=0,
        priority=priority,
        interfaces=interfaces,
        via=b"",
        gateway=gateway,
    )


@pytest.mark.parametrize(("kind", "expected"), [("bridge", "02:00:00:00:00:0a"), ("veth", None)])
def test_a_bridge_comes_with_its_hardware_address(kind: str, expected: str | None) -> None:
    found = replace(interface(2, "br0"), kind=kind, hardware_address="02:00:00:00:00:0a")

    assert [nic.bridge_address for nic in inventory.nics([found], ())] == [expected]


@pytest.mark.parametrize(
    ("flags", "mode"),
    [(0, LinkMode.DOWN), (0x40, LinkMode.DOWN), (0x1, LinkMode.NO_CARRIER), (0x41, LinkMode.UP)],
)
def test_an_interface_is_up_only_with_a_carrier(flags: int, mode: LinkMode) -> None:
    found = inventory._interface(struct.pack("=BBHiII", 0, 0, 1, 7, flags, 0), {})

    assert (found.mode, found.up) == (mode, mode is not LinkMode.DOWN)


@pytest.mark.parametrize(
    ("flags", "kind", "mode"),
    [
        (0xC3, "", LinkMode.NO_ARP),
        (0xC3, "veth", LinkMode.NO_ARP),
        (0xC3, "dummy", LinkMode.UP),
        (0xD1, "", LinkMode.UP),
        (0x83, "", LinkMode.NO_CARRIER),
    ],
    ids=["network card", "veth", "dummy", "point-to-point", "no carrier"],
)
def test_an_interface_with_neighbours_that_resolves_no_addresses_has_a_mode_of_its_own(
    flags: int, kind: str, mode: LinkMode
) -> None:
    assert inventory._mode(flags, kind) is mode


def raw_route(
    destination: str,
    *numbers: tuple[int, int],
    gateway: str | None = None,
    more: bytes = b"",
    kind: int = rtnetlink.UNICAST,
    table: int = rtnetlink.MAIN_TABLE,
    protocol: int = 3,
) -> bytes:
    """Return the body of a route's message, with attributes that are numbers and others."""
    to = network(destination)
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    body = struct.pack("=8BI", family, to.prefixlen, 0, 0, table, protocol, 0, kind, 0)
    body += attribute(1, to.network_address.packed)
    body += attribute(5, ip_address(gateway).packed) if gateway else b""
    return body + b"".join(attribute(k, struct.pack("=I", n)) for k, n in numbers) + more


def interface(index: int, name: str, *addresses: IPv4Interface | IPv6Interface) -> Interface:
    return Interface(
        index=index, name=name, kind="", alias="", mtu=1500, mode=LinkMode.UP, addresses=addresses
    )
