"""Comparing a host with what uno is to own there, and applying the difference."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, LAN, LAN6, REMOTE, package_of
from uno.agent import service
from uno.diagnostics import UnoError
from uno.host.fake.fake_host import FakeHost
from uno.model.net import address
from uno.model.routing_policy import Drain
from uno.ports.host import (
    Desired,
    ForwardingState,
    HostRoute,
    KernelPath,
    LinkMode,
    Nic,
    StartRouting,
    StopRouting,
)
from uno.reconcile.apply import ActionFailed
from uno.reconcile.converge import cell_target, compare, find_obstacles

NIC = Nic(name="eth1", addresses=(IPv4Interface("192.168.1.1/24"),))


def test_a_second_pass_does_nothing() -> None:
    host = FakeHost(nics=(NIC,))
    first = cell_target(host, package_of(HUB)).compare(host)

    first.apply(host)

    assert host.performed == list(first.actions) != []
    assert cell_target(host, package_of(HUB)).compare(host).actions == ()
    assert host.observe(()).tunnels == first.desired.tunnels


def test_a_comparison_changes_nothing() -> None:
    host = FakeHost(nics=(NIC,))

    cell_target(host, package_of(HUB)).compare(host)
    compare(host, Desired())

    assert host.performed == []


def test_lans_are_attached_or_missing() -> None:
    target = cell_target(FakeHost(nics=(NIC,)), package_of(HUB))

    assert [(lan.network, lan.nic) for lan in target.lans] == [(LAN, "eth1")]
    assert target.missing == (LAN6,)
    assert target.facts.nics == (NIC,)


def test_all_lans_can_be_required() -> None:
    with pytest.raises(UnoError, match=f"no interface on {REMOTE}"):
        cell_target(FakeHost(nics=(NIC,)), package_of(HOME), all_lans=True)


def test_a_drain_is_in_the_routing() -> None:
    host = FakeHost()
    own = package_of(HUB)
    name = own.plan.links[0].interface

    found = cell_target(host, own, drained={name: Drain.AVOIDED}).desired

    assert found.routing is not None
    assert "set local-preference 0" in dict(found.routing.daemons)["bgpd"]
    assert found != cell_target(host, own).desired


def test_a_kind_of_action_can_be_left_out() -> None:
    host = FakeHost()
    difference = cell_target(host, package_of(HUB)).compare(host)

    kept = difference.without(StartRouting)

    assert set(difference.actions) - set(kept.actions) == {difference.actions[-1]}
    assert isinstance(difference.actions[-1], StartRouting)
    assert kept.without(StopRouting) == kept


def test_what_fails_is_undone() -> None:
    host = FakeHost()
    before = str(host)
    host.fail_at(4)

    with pytest.raises(ActionFailed):
        cell_target(host, package_of(HUB)).compare(host).apply(host)

    assert str(host) == before


def test_nothing_is_what_uno_owns_by_default() -> None:
    host = FakeHost()
    empty = str(host)
    cell_target(host, package_of(HUB)).compare(host).apply(host)

    compare(host, Desired()).apply(host)

    assert str(host) == empty


@pytest.mark.feature("G52")
def test_obstacles_are_those_of_the_host_as_it_is() -> None:
    package = package_of(HOME)
    host = FakeHost(nics=(Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),)),))
    service.up(host, package, progress=lambda _: None)
    facts = host.facts()
    assert find_obstacles(host, package, facts=facts, silent=()) == ()

    host.modes = {"eth1": LinkMode.NO_CARRIER}

    (found,) = find_obstacles(host, package, facts=facts, silent=())
    assert found.what == "LAN 192.168.2.0/24: eth1 has no carrier"


@pytest.mark.feature("G52")
def test_where_the_host_sends_packets_for_other_lans_is_named_unless_by_a_link() -> None:
    package = package_of(HOME)
    host = FakeHost(nics=(Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),)),))
    service.up(host, package, progress=lambda _: None)
    facts, to = host.facts(), address("192.168.1.1")

    def named() -> list[str]:
        return [each.what for each in find_obstacles(host, package, facts=facts, silent=())]

    host.paths = {to: KernelPath(interface=package.plan.links[0].interface)}
    assert named() == []
    host.paths = {to: KernelPath(interface=None, kind="unreachable")}
    assert named() == []
    host.paths = {to: KernelPath(interface="tun0", table=77)}
    (by_other,) = named()
    assert by_other == (
        "packets to LAN 192.168.1.0/24 of hub leave by tun0, and by no link: "
        "a route of table 77 comes first"
    )
    host.paths = {to: KernelPath(interface=None, kind="prohibit")}
    assert named() == ["a rule of this host prohibits packets to LAN 192.168.1.0/24 of hub"]
    hidden = replace(facts, routes=(HostRoute(destination=LAN, interface="tun0"),))
    assert find_obstacles(host, package, facts=hidden, silent=()) == ()


@pytest.mark.feature("G52")
def test_the_endpoints_of_silent_links_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    package = package_of(HOME)
    wan = Nic(name="eth0", addresses=(IPv4Interface("192.168.0.9/16"),), has_default_route=True)
    host = FakeHost(nics=(Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),)), wan))
    host.resolved = "192.168.1.1"
    service.up(host, package, progress=lambda _: None)
    strict = ForwardingState(ruleset="", sysctls={"net.ipv4.conf.eth0.rp_filter": "1"})
    monkeypatch.setattr(host, "forwarding_state", lambda _keys: strict)
    (link,) = package.plan.links[:1]
    facts = host.facts()

    (found,) = find_obstacles(host, package, facts=facts, silent={link.interface})

    assert "the endpoint 192.168.1.1, which is in a LAN" in found.what
    assert find_obstacles(host, package, facts=facts, silent=()) == ()
