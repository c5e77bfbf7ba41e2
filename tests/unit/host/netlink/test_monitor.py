"""Changes of a network namespace that each test has for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network, IPv6Network
from itertools import count

import pytest

from uno.host.command import run
from uno.host.netlink.monitor import NetlinkWatch
from uno.lab import netns
from uno.model.net import Network
from uno.ports.events import NetworkChange

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's")

HOST, LEARNED = frozenset({NetworkChange.HOST}), frozenset({NetworkChange.ROUTING})

SETTLE = 0.05
# Longer than a notification takes, and than changes are collected for.
QUIET = 0.25

_numbers = count()


class Namespace:
    """A namespace with a cable from `lan0` to `lan1`, and a watch in it."""

    def __init__(self) -> None:
        self.name = f"uno-watch-{os.getpid()}-{next(_numbers)}"
        run(["ip", "netns", "add", self.name])
        with netns.entered(self.name):
            self.watch = NetlinkWatch(settle=SETTLE)
        self.ip("link add lan0 type veth peer name lan1")
        for name in ("lo", "lan0", "lan1"):
            # A link-local address would be reported again after duplicate address detection.
            self.ip(f"link set {name} addrgenmode none up")
        self.ip("addr add 192.168.1.1/24 dev lan0")
        self.ip("addr add fd00:1::1/64 dev lan0 nodad")

    def ip(self, words: str) -> None:
        run(["ip", "-n", self.name, *words.split()])

    def destinations_via(self, *names: str) -> dict[Network, tuple[str, ...]]:
        with netns.entered(self.name):
            return self.watch.destinations_via(names)

    def seen(self, *commands: str) -> list[frozenset[NetworkChange]]:
        """Return the changes reported after each command, the empty set for none."""
        return asyncio.run(self._seen(commands))

    def remove(self) -> None:
        self.watch.close()
        run(["ip", "netns", "delete", self.name])

    async def _seen(self, commands: tuple[str, ...]) -> list[frozenset[NetworkChange]]:
        changes = self.watch.changes()
        while await _next(changes):
            pass
        found = []
        for each in commands:
            # A generator that was cancelled is at its end.
            changes = self.watch.changes()
            await asyncio.to_thread(self.ip, each)
            found.append(await _next(changes))
        return found


async def _next(changes: AsyncIterator[frozenset[NetworkChange]]) -> frozenset[NetworkChange]:
    try:
        async with asyncio.timeout(QUIET):
            return await anext(changes)
    except TimeoutError:
        return frozenset()


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    try:
        yield made
    finally:
        made.remove()


def test_changes_before_the_first_read_are_reported(namespace: Namespace) -> None:
    async def first() -> frozenset[NetworkChange]:
        return await _next(namespace.watch.changes())

    assert asyncio.run(first()) == HOST


@pytest.mark.feature("F084")
@pytest.mark.parametrize(
    "command",
    [
        "link add lan2 type veth peer name lan3",
        "link set lan1 down",
        "link set lan0 mtu 1400",
        "link set lan1 name wan0 down",
        "link delete lan0",
        "addr add 192.168.7.1/24 dev lan0",
        "addr del 192.168.1.1/24 dev lan0",
        "addr add fd00:7::1/64 dev lan0 nodad",
        "addr del fd00:1::1/64 dev lan0",
        "route add default via 192.168.1.254",
        "-6 route add default via fd00:1::fe",
        "route add 10.0.0.0/8 via 192.168.1.254",
    ],
)
def test_interfaces_addresses_and_routes_that_come_and_go_are_reported(
    namespace: Namespace, command: str
) -> None:
    assert namespace.seen(command) == [HOST]


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("before", "command"),
    [
        ("rule add from 192.168.1.1 lookup 77 protocol 98", "rule del from 192.168.1.1"),
        ("-6 rule add from fd00::1 lookup 77 protocol 98", "-6 rule del from fd00::1"),
        ("route add 10.3.0.0/16 dev lan0 table 77 proto 98", "route flush table 77"),
        ("link set lan0 alias uno-what-so-ever", "link set lan0 arp off"),
    ],
)
def test_what_is_unos_and_removed_is_reported(
    namespace: Namespace, before: str, command: str
) -> None:
    namespace.ip(before)

    assert namespace.seen(command) == [HOST]


@pytest.mark.feature("G51")
def test_another_alias_of_an_interface_of_unos_is_reported(namespace: Namespace) -> None:
    run(["ip", "-n", namespace.name, "link", "set", "lan0", "alias", "uno 0123 1"])

    assert namespace.seen("link set lan0 alias cable") == [HOST]


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    "parameter",
    [
        "net.ipv4.ip_forward",
        "net.ipv4.conf.lan0.rp_filter",
        "net.ipv6.conf.all.forwarding",
        "net.ipv6.conf.lan0.forwarding",
    ],
)
def test_parameters_of_interfaces_that_change_are_reported_once(
    namespace: Namespace, parameter: str
) -> None:
    enter = ["nsenter", f"--net={netns.NAMES / namespace.name}", "--"]
    # A new namespace may have that of the host.
    before = run([*enter, "sysctl", "-n", parameter]).stdout.strip()

    def set_parameter(_: str) -> None:
        run([*enter, "sysctl", "-qw", f"{parameter}={0 if before == '1' else 1}"])

    namespace.ip = set_parameter  # type: ignore[method-assign]

    assert namespace.seen("", "") == [HOST, frozenset()]


@pytest.mark.feature("F084")
def test_routes_of_a_routing_daemon_are_a_kind_of_their_own(namespace: Namespace) -> None:
    seen = namespace.seen(
        "route add 10.1.0.0/16 via 192.168.1.254 proto bgp",
        "route replace 10.1.0.0/16 proto bgp nexthop via 192.168.1.2 nexthop via 192.168.1.3",
        "route delete 10.1.0.0/16 proto bgp",
        "-6 route add fd00:9::/64 dev lan0 proto bgp",
    )

    assert seen == [LEARNED] * 4


def test_a_default_route_is_the_hosts_also_if_a_daemon_learned_it(namespace: Namespace) -> None:
    assert namespace.seen("route add default via 192.168.1.254 proto ospf") == [HOST]


def test_unos_own_routes_and_other_tables_are_no_news(namespace: Namespace) -> None:
    seen = namespace.seen(
        "route add unreachable 10.2.0.0/16 metric 4278198272 proto 98",
        "route add 10.3.0.0/16 via 192.168.1.254 table 77",
        "rule add from 192.168.1.1 lookup 77 protocol 98",
    )

    assert seen == [frozenset()] * 3


@pytest.mark.feature("G52")
def test_rules_of_others_are_reported(namespace: Namespace) -> None:
    seen = namespace.seen(
        "rule add iif lan0 prohibit",
        "rule del iif lan0 prohibit",
        "-6 rule add iif lan0 prohibit",
    )

    assert seen == [HOST] * 3


def test_a_removed_route_of_unos_is_reported(namespace: Namespace) -> None:
    namespace.ip("route add unreachable 10.2.0.0/16 metric 4278198272 proto 98")

    assert namespace.seen("route del unreachable 10.2.0.0/16 metric 4278198272") == [HOST]


def test_what_the_kernel_repeats_is_no_news(namespace: Namespace) -> None:
    seen = namespace.seen(
        "link set lan1 down",
        "link set lan0 alias cable",
        "addr change 192.168.1.1/24 dev lan0 valid_lft 500 preferred_lft 400",
        "addr change fd00:1::1/64 dev lan0 valid_lft 500 preferred_lft 400 nodad",
    )

    assert seen == [HOST, *[frozenset()] * 3]


def test_many_changes_at_once_are_one(namespace: Namespace) -> None:
    async def twice() -> list[frozenset[NetworkChange]]:
        while await _next(namespace.watch.changes()):
            pass
        lines = "".join(f"route add 10.{n}.0.0/16 via 192.168.1.9 proto bgp\n" for n in range(200))
        await asyncio.to_thread(run, ["ip", "-n", namespace.name, "-batch", "-"], stdin=lines)
        return [await _next(namespace.watch.changes()) for _ in range(2)]

    assert asyncio.run(twice()) == [LEARNED, frozenset()]


def test_routes_into_an_interface_are_those_with_a_hop_through_it(namespace: Namespace) -> None:
    namespace.ip("addr add 192.168.2.1/24 dev lan1")
    namespace.ip("route add 10.1.0.0/16 via 192.168.1.9 proto bgp")
    namespace.ip("route add 10.2.0.0/16 proto bgp nexthop via 192.168.1.9 nexthop via 192.168.2.9")
    namespace.ip("route add unreachable 10.3.0.0/16 metric 4278198272 proto 98")
    namespace.ip("route add 10.4.0.0/16 via 192.168.1.9 table 77")
    namespace.ip("-6 route add fd00:9::/64 via fd00:1::9 proto bgp")

    found = namespace.destinations_via("lan0")

    assert {each for each in found if each.overlaps(_TEN)} == {
        IPv4Network("10.1.0.0/16"),
        IPv4Network("10.2.0.0/16"),
    }
    assert IPv6Network("fd00:9::/64") in found
    assert IPv4Network("10.1.0.0/16") not in namespace.destinations_via("lan1", "nothing")
    assert namespace.destinations_via("nothing") == {}
    both = namespace.destinations_via("lan1", "lan0")
    assert set(both[IPv4Network("10.2.0.0/16")]) == {"lan0", "lan1"}
    assert both[IPv4Network("10.1.0.0/16")] == ("lan0",)


_TEN = IPv4Network("10.0.0.0/8")
