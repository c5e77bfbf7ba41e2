"""What is given to `ip -batch`, and what becomes of its failures."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from uno.host.command import CommandFailed, Completed
from uno.host.netlink import interface_changes
from uno.model.net import Network
from uno.ports.host import HostRoute, Underlay


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
    expected = {
        f"-j {key.replace('__', '-').replace('_', ' ')}": each for key, each in answers.items()
    }
    stand_in = Ip(expected, status=status, stderr=stderr)
    monkeypatch.setattr(interface_changes, "run", stand_in)
    return stand_in


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

    assert interface_changes.has_routes(bgp, except_on=frozenset({"uwg-b0"}))
    assert not interface_changes.has_routes(bgp, except_on=frozenset({"uwg-b0", "eth0"}))


@pytest.mark.feature("G51")
def test_packets_of_wireguard_get_their_routes_before_the_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = ip(monkeypatch)
    away = HostRoute(destination=IPv4Network("192.168.2.0/24"), interface="eth0")
    stays = HostRoute(destination=IPv4Network("192.168.3.0/24"), interface="eth0")
    comes = HostRoute(
        destination=IPv4Network("192.168.4.0/24"),
        interface="eth0",
        gateway=IPv6Address("fe80::1"),
        onlink=True,
    )
    six = HostRoute(
        destination=IPv6Network("2001:db8:4::/64"),
        interface="eth1",
        gateway=IPv6Address("fe80::2"),
    )

    interface_changes.change_underlay(
        Underlay(routes=(away, stays), families=(4,)), Underlay(routes=(stays, comes, six))
    )

    where = "table 251658423 proto 98"
    rule = "fwmark 0xb7 lookup 251658423 priority 6344 protocol 98"
    assert program.given == [
        f"route del 192.168.2.0/24 dev eth0 {where}",
        f"route replace 192.168.4.0/24 via inet6 fe80::1 dev eth0 onlink {where}",
        f"route replace 2001:db8:4::/64 via fe80::2 dev eth1 {where}",
        f"rule add {rule}",
    ]

    program.given.clear()
    interface_changes.change_underlay(Underlay(routes=(stays,)), None)

    assert program.given == [
        f"rule del {rule}",
        f"route del 192.168.3.0/24 dev eth0 {where}",
        f"rule del {rule}",
    ]


def test_routes_of_wireguards_packets_go_without_a_rule_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command that was killed has removed the rule alone."""
    program = ip(monkeypatch)
    route = HostRoute(
        destination=IPv6Network("2001:db8:3::/64"), interface="wan", gateway=IPv6Address("fe80::1")
    )

    interface_changes.change_underlay(Underlay(routes=(route,), families=()), None)

    (line,) = program.given
    assert line.startswith("route del 2001:db8:3::/64 via fe80::1 dev wan table ")


def test_every_other_route_is_preferred_to_an_unreachable_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = ip(monkeypatch)
    networks: list[Network] = [IPv4Network("192.168.2.0/24"), IPv6Network("fd00::/48")]

    interface_changes.add_unreachable_routes(networks)
    interface_changes.remove_unreachable_routes(networks)
    interface_changes.add_unreachable_routes([])

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
    reported = 'Cannot find device "x"\nCommand failed -:2\n'
    ip(monkeypatch, status=1, stderr=reported)

    with pytest.raises(CommandFailed) as failed:
        interface_changes.batch(["link set dev lo up", "link set dev x up"])

    assert 'failed at `ip link set dev x up`: Cannot find device "x"' in str(failed.value)


def test_a_batch_that_fails_without_a_line_includes_the_output_of_ip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ip(monkeypatch, status=1, stderr="Cannot open netlink socket\n")

    with pytest.raises(CommandFailed, match="failed: Cannot open netlink socket"):
        interface_changes.batch(["link set dev lo up"])


def test_an_interface_that_is_not_there_is_deleted_already(monkeypatch: pytest.MonkeyPatch) -> None:
    ip(monkeypatch, status=1, stderr='Cannot find device "x"\n')
    interface_changes.delete("x")

    ip(monkeypatch, status=2, stderr="RTNETLINK answers: Operation not permitted\n")
    with pytest.raises(CommandFailed, match="Operation not permitted"):
        interface_changes.delete("x")


def test_a_route_is_marked_as_unos() -> None:
    prefix = IPv4Network("10.255.128.1/32")

    assert (
        interface_changes.add_route("x", prefix)
        == "route replace 10.255.128.1/32 dev x table 254 proto 98"
    )
    assert (
        interface_changes.remove_route("x", prefix)
        == "route del 10.255.128.1/32 dev x table 254 proto 98"
    )


def test_a_blackhole_route_is_preferred_to_an_unreachable_one_and_to_no_other() -> None:
    prefix = IPv4Network("10.255.128.0/22")

    reported = interface_changes.add_blackhole_route("uno0", prefix)

    assert reported == "route replace 10.255.128.0/22 dev uno0 metric 4278198271 proto 98"
    assert interface_changes.remove_blackhole_route("uno0", prefix) == reported.replace(
        "replace", "del"
    )
    assert int(interface_changes.BLACKHOLE_METRIC) == int(interface_changes.UNREACHABLE_METRIC) - 1
    assert int(interface_changes.BLACKHOLE_METRIC) >> 24 == 255


def test_rules_are_changed_family_by_family(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ip(monkeypatch)
    old, new = (IPv4Address("10.0.0.1"), 7), (IPv6Address("fd00::1"), 8)

    interface_changes.change_rules(add=[new], remove=[old])

    assert program.asked == ["-4 -force -batch -", "-6 -batch -"]
    assert program.given == [
        "rule del from 10.0.0.1 lookup 7 priority 6344 protocol 98",
        "rule add from fd00::1 lookup 8 priority 6344 protocol 98",
    ]
