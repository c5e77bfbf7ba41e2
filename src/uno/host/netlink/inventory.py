"""Interfaces, addresses, routes and rules, read by rtnetlink.

Sources: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/fib_rules.h. An agent observes often,
also on a small router; a netlink request takes a hundredth of the time of starting `ip`.
"""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from uno.host.netlink import rtnetlink
from uno.host.netlink.interface_changes import PROTOCOL, UNDERLAY_TABLE
from uno.model.net import Address, Network, network_order
from uno.model.tunnel import UNDERLAY_MARK, InterfaceAddress
from uno.ports.host import EarlierTable, HostRoute, LinkMode, Nic, Underlay
from uno.reconcile.policy_rules import PolicyRule, tables_before_main

Key = TypeVar("Key")

# linux/rtnetlink.h
_GETLINK, _GETADDR, _GETRULE = 18, 22, 34
_LINK = struct.Struct("=BBHiII")
_ADDRESS = struct.Struct("=4Bi")
_RULE = struct.Struct("=8BI")
_HARDWARE_ADDRESS, _IFNAME, _MTU, _LINKINFO, _IFALIAS, _EXT_MASK = 1, 3, 4, 18, 20, 29
_INFO_KIND, _INFO_SLAVE_KIND = 1, 4
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_FRA_SRC, _FRA_FWMARK, _FRA_TABLE, _FRA_PROTOCOL = 2, 10, 15, 21
_FRA_PRIORITY, _FRA_SUPPRESS_LENGTH = 6, 14
# What limits a rule to some packets: FRA_IIFNAME, FRA_TUN_ID, FRA_OIFNAME, FRA_L3MDEV,
# FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_DSCP, FRA_FLOWLABEL.
_SELECTORS = frozenset({3, 12, 17, 19, 20, 22, 23, 24, 25, 26})
# FR_ACT_TO_TBL, FIB_RULE_INVERT.
_TO_TABLE, _INVERT = 1, 0x2
_NO_LENGTH = 0xFFFFFFFF
_FIRST_DISTANCE = 1 << 24
# linux/if.h: IFF_UP, IFF_BROADCAST, IFF_RUNNING, IFF_NOARP.
_UP, _BROADCAST, _RUNNING, _NOARP = 0x1, 0x2, 0x40, 0x80
# Drivers of interfaces that resolve addresses unless it is turned off; a network card has none
# here. Others never do, such as dummy and ipvlan.
_RESOLVING = frozenset({"", "veth", "bridge", "vlan", "bond", "team", "macvlan"})
# RTEXT_FILTER_SKIP_STATS: counters are most of an interface's message.
_SKIP_STATISTICS = struct.pack("=HHI", 8, _EXT_MASK, 1 << 3)


class Interface(Struct, frozen=True, kw_only=True):
    """An interface as the kernel has it. `alias` is its ifalias, `kind` its driver.

    `has_arp`: it resolves addresses of neighbours. `port_of` is the driver of the interface that it
    is a port of, or empty. `hardware_address` is in hexadecimal with colons, empty where there is
    none.
    """

    index: int
    name: str
    kind: str
    alias: str
    mtu: int
    mode: LinkMode
    addresses: tuple[InterfaceAddress, ...]
    has_arp: bool = True
    port_of: str = ""
    hardware_address: str = ""

    @property
    def up(self) -> bool:
        """Whether it is administratively up."""
        return self.mode is not LinkMode.DOWN


class OwnRoutes(Struct, frozen=True, kw_only=True):
    """uno's routes: unreachable prefixes, and for each interface the prefixes routed into it.

    `into` has those of the main table by interface index, `aside` those of other tables by
    interface index and table. `underlay` are those for WireGuard's own packets.
    """

    unreachable_routes: frozenset[Network]
    into: Mapping[int, tuple[Network, ...]]
    aside: Mapping[tuple[int, int], tuple[Network, ...]]
    underlay: tuple[rtnetlink.KernelRoute, ...] = ()


def interfaces() -> tuple[Interface, ...]:
    """Return all interfaces of this network namespace."""
    addresses: dict[int, list[InterfaceAddress]] = defaultdict(list)
    for each in rtnetlink.dumped(_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
        index, own = _address(each.body)
        addresses[index].append(own)
    found = (_interface(each.body, addresses) for each in _links())
    return tuple(sorted(found, key=lambda one: one.index))


def modes() -> dict[str, LinkMode]:
    """Return the mode of each interface of this network namespace, by its name."""
    return {each.name: each.mode for each in (_interface(it.body, {}) for it in _links())}


def _links() -> Iterable[rtnetlink.NetlinkMessage]:
    return rtnetlink.dumped(_GETLINK, _LINK.pack(0, 0, 0, 0, 0, 0) + _SKIP_STATISTICS)


def main_routes() -> tuple[rtnetlink.KernelRoute, ...]:
    """Return the routes of the main table that neither uno nor a BGP daemon made.

    Default routes are included, whatever made them.
    """
    return rtnetlink.main_routes(without=frozenset({rtnetlink.BGP, int(PROTOCOL)}))


def host_routes(
    others: Iterable[Interface], routes: Iterable[rtnetlink.KernelRoute]
) -> tuple[HostRoute, ...]:
    """Return those of `routes` that lead into `others`, sorted, without link-local ones."""
    names = {each.index: each.name for each in others if each.name != "lo"}
    found = {
        HostRoute(
            destination=each.destination,
            interface=names[each.interfaces[0]],
            gateway=ip_address(each.gateway) if each.gateway else None,
            metric=each.priority,
            onlink=each.onlink,
        )
        for each in routes
        if each.kind == rtnetlink.UNICAST
        and not (each.destination.is_link_local or each.destination.is_multicast)
        and each.interfaces
        and each.interfaces[0] in names
    }
    return tuple(sorted(found, key=_route_order))


def rejected(routes: Iterable[rtnetlink.KernelRoute]) -> dict[Network, str]:
    """Return the destinations of those of `routes` that reject packets, with their type.

    Those that any other route is preferred to are left out: zebra takes the distance from the
    highest byte of the metric (FRR manual, Administrative Distance).
    """
    return {
        each.destination: rtnetlink.REJECTING[each.kind]
        for each in routes
        if each.kind in rtnetlink.REJECTING and each.priority < _FIRST_DISTANCE
    }


def _route_order(each: HostRoute) -> tuple[object, ...]:
    return (network_order(each.destination), each.metric, each.interface, str(each.gateway))


def earlier_tables(others: Iterable[Interface]) -> tuple[EarlierTable, ...]:
    """Return the tables that the host looks up before the main one, those of IPv4 first."""
    rules = policy_rules()
    others, found = tuple(others), []
    chosen = {version: tables_before_main(rules, version=version) for version in (4, 6)}
    every = rtnetlink.routes_in({*chosen[4], *chosen[6]}) if any(chosen.values()) else ()
    for version, numbers in chosen.items():
        for number in numbers:
            there = [it for it in every if it.table == number and it.destination.version == version]
            found.append(
                EarlierTable(
                    number=number,
                    routes=host_routes(others, there),
                    thrown=frozenset(
                        each.destination for each in there if each.kind == rtnetlink.THROW
                    ),
                )
            )
    return tuple(found)


def policy_rules() -> tuple[PolicyRule, ...]:
    """Return the rules of others than uno."""
    found = []
    for each in rtnetlink.dumped(_GETRULE, _RULE.pack(*[0] * 9)):
        family, dst_length, src_length, tos, table, _, _, action, flags = _RULE.unpack_from(
            each.body
        )
        about = rtnetlink.attributes(each.body, _RULE.size)
        if about.get(_FRA_PROTOCOL) == bytes([int(PROTOCOL)]):
            continue
        # `not fwmark` is for all packets but those of one program.
        is_inverted = bool(flags & _INVERT)
        by_mark = bool(rtnetlink.number(about, _FRA_FWMARK, 0))
        by_other = bool(dst_length or src_length or tos or about.keys() & _SELECTORS)
        found.append(
            PolicyRule(
                version=4 if family == socket.AF_INET else 6,
                priority=rtnetlink.number(about, _FRA_PRIORITY, 0),
                table=rtnetlink.number(about, _FRA_TABLE, table) if action == _TO_TABLE else None,
                is_selective=by_other or by_mark != is_inverted,
                suppressed=_signed(rtnetlink.number(about, _FRA_SUPPRESS_LENGTH, _NO_LENGTH)),
            )
        )
    return tuple(found)


def _signed(number: int) -> int:
    return -1 if number == _NO_LENGTH else number


def nics(others: Iterable[Interface], routes: Iterable[rtnetlink.KernelRoute]) -> tuple[Nic, ...]:
    """Return interfaces as `Nic`, without loopback and link-local addresses.

    `routes` has the default routes of the main table, and may have others.
    """
    leading = {i for each in routes if not each.destination.prefixlen for i in each.interfaces}
    return tuple(
        Nic(
            name=each.name,
            addresses=tuple(a for a in each.addresses if not a.ip.is_link_local),
            up=each.up,
            has_default_route=each.index in leading,
            is_bridge_port=each.port_of == "bridge",
            bridge_address=each.hardware_address if each.kind == "bridge" else None,
        )
        for each in others
        if each.name != "lo"
    )


def own_routes() -> OwnRoutes:
    """Return the routes that are uno's own."""
    unreachable: set[Network] = set()
    into: dict[int, list[Network]] = defaultdict(list)
    aside: dict[tuple[int, int], list[Network]] = defaultdict(list)
    underlay: list[rtnetlink.KernelRoute] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for route in rtnetlink.routes_of(int(PROTOCOL), family):
            if route.kind == rtnetlink.UNREACHABLE:
                unreachable.add(route.destination)
                continue
            if route.table == UNDERLAY_TABLE:
                underlay.append(route)
                continue
            for index in route.interfaces:
                if route.table == rtnetlink.MAIN_TABLE:
                    into[index].append(route.destination)
                else:
                    aside[index, route.table].append(route.destination)
    return OwnRoutes(
        unreachable_routes=frozenset(unreachable),
        into=_ordered(into),
        aside=_ordered(aside),
        underlay=tuple(underlay),
    )


def underlay(found: Iterable[Interface], routes: OwnRoutes) -> Underlay | None:
    """Return the routes of WireGuard's own packets, None without routes and rules."""
    marked = tuple(
        sorted(
            4 if each.body[0] == socket.AF_INET else 6
            for each in rtnetlink.dumped(_GETRULE, _RULE.pack(*[0] * 9))
            if _selects_underlay(rtnetlink.attributes(each.body, _RULE.size))
        )
    )
    there = tuple(replace(each, metric=0) for each in host_routes(found, routes.underlay))
    return Underlay(routes=there, families=marked) if there or marked else None


def _selects_underlay(rule: Mapping[int, bytes]) -> bool:
    return (
        rule.get(_FRA_PROTOCOL) == bytes([int(PROTOCOL)])
        and rtnetlink.number(dict(rule), _FRA_FWMARK, 0) == UNDERLAY_MARK
        and rtnetlink.number(dict(rule), _FRA_TABLE, 0) == UNDERLAY_TABLE
    )


def rules() -> frozenset[tuple[Address, int]]:
    """Return uno's rules, as source address and routing table."""
    attributes = (
        rtnetlink.attributes(each.body, _RULE.size)
        for each in rtnetlink.dumped(_GETRULE, _RULE.pack(*[0] * 9))
    )
    return frozenset(
        (ip_address(rule[_FRA_SRC]), rtnetlink.number(rule, _FRA_TABLE, 0))
        for rule in attributes
        if rule.get(_FRA_PROTOCOL) == bytes([int(PROTOCOL)]) and _FRA_SRC in rule
    )


def _interface(body: bytes, addresses: Mapping[int, list[InterfaceAddress]]) -> Interface:
    _, _, _, index, flags, _ = _LINK.unpack_from(body)
    attributes = rtnetlink.attributes(body, _LINK.size)
    about = rtnetlink.attributes(attributes.get(_LINKINFO, b""), 0)
    return Interface(
        index=index,
        name=_text(attributes.get(_IFNAME)),
        kind=_text(about.get(_INFO_KIND)),
        alias=_text(attributes.get(_IFALIAS)),
        mtu=rtnetlink.number(attributes, _MTU, 0),
        mode=_mode(flags, _text(about.get(_INFO_KIND))),
        hardware_address=attributes.get(_HARDWARE_ADDRESS, b"").hex(":"),
        addresses=tuple(addresses.get(index, ())),
        has_arp=not flags & _NOARP,
        port_of=_text(about.get(_INFO_SLAVE_KIND)),
    )


def _mode(flags: int, kind: str) -> LinkMode:
    if not flags & _UP:
        return LinkMode.DOWN
    if not flags & _RUNNING:
        return LinkMode.NO_CARRIER
    has_neighbours = flags & _BROADCAST and kind in _RESOLVING
    return LinkMode.NO_ARP if has_neighbours and flags & _NOARP else LinkMode.UP


def _address(body: bytes) -> tuple[int, InterfaceAddress]:
    family, length, _, _, index = _ADDRESS.unpack_from(body)
    attributes = rtnetlink.attributes(body, _ADDRESS.size)
    # On a point-to-point link IFA_ADDRESS is the other end's address.
    octets = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
    kind = IPv4Interface if family == socket.AF_INET else IPv6Interface
    return index, kind((octets, length))


def _text(octets: bytes | None) -> str:
    return (octets or b"").rstrip(b"\0").decode(errors="replace")


def _ordered(found: Mapping[Key, list[Network]]) -> dict[Key, tuple[Network, ...]]:
    return {key: tuple(sorted(each, key=network_order)) for key, each in found.items()}
