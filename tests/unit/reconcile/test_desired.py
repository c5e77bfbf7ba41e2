"""A package to what uno is to own on its cell's host."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Interface

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, LAN, LAN6, ROAM, UVN, package_of
from uno.host.fake.fake_host import FakeHost
from uno.model.attached_lan import AttachedLan
from uno.model.uvn import BACKBONE_VPN, Settings, Uvn
from uno.ports.host import Desired, Facts, Nic
from uno.reconcile.desired import desired, sysctl_keys
from uno.reconcile.host_diff import reconcile

FIXED = (
    ("net.ipv4.fib_multipath_hash_policy", "1"),
    ("net.ipv6.fib_multipath_hash_policy", "1"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
)


def wanted(cell: int, *lans: AttachedLan, uvn: Uvn = UVN, nics: tuple[Nic, ...] = ()) -> Desired:
    return desired(package_of(cell, uvn), lans=lans, facts=Facts(nics=nics))


def test_a_host_that_was_brought_up_needs_nothing_more() -> None:
    nics = (Nic(name="eth0", addresses=(IPv4Interface("192.168.1.1/24"),)),)
    host = FakeHost(nics=nics)
    for cell in (HUB, HOME, ROAM):
        goal = wanted(cell, nics=nics)
        for action in reconcile(desired=goal, observed=host.observe(sysctl_keys(Facts(nics=nics)))):
            host.perform(action)

        assert reconcile(desired=goal, observed=host.observe(sysctl_keys(Facts(nics=nics)))) == ()
        assert host.observe(()).tunnels == goal.tunnels


@pytest.mark.feature("G32")
def test_nodes_have_addresses_of_both_families() -> None:
    node = wanted(HOME).node

    assert node is not None
    assert node.name == "uno0"
    assert node.blackhole_routes == (IPv4Network("10.255.128.0/22"),)
    assert node.addresses == (
        IPv4Interface("10.255.128.3/32"),
        IPv6Interface("fd2b:5061:b7f9::3/128"),
    )


@pytest.mark.feature("G28")
def test_every_prefix_of_the_uvn_has_an_unreachable_route_but_the_cells_own_lans() -> None:
    hub, roam = wanted(HUB), wanted(ROAM)

    assert list(map(str, hub.unreachable_routes)) == [
        "10.254.0.0/16",
        "10.255.128.0/22",
        "10.255.192.0/20",
        "192.168.2.0/24",
        "fd2b:5061:b7f9::/48",
    ]
    assert set(roam.unreachable_routes) - set(hub.unreachable_routes) == {LAN, LAN6}


@pytest.mark.feature("F080")
def test_forwarding_is_on() -> None:
    assert wanted(HUB).sysctls == FIXED
    assert sysctl_keys(Facts()) == tuple(name for name, _ in FIXED)


@pytest.mark.feature("F081")
def test_other_firewalls_are_to_let_each_kind_of_interface_through() -> None:
    digits = replace(
        UVN, settings=Settings(backbone_vpn=replace(BACKBONE_VPN, interface="wan1-{}"))
    )

    assert wanted(HUB).accept_interfaces == ("uwg-b+", "uwg-p+", "uwg-v+")
    assert wanted(HOME).accept_interfaces == ("uwg-b+", "uwg-v+")
    assert "wan1-+" in wanted(HUB, uvn=digits).accept_interfaces


@pytest.mark.feature("F079")
def test_a_lan_that_is_not_attached_is_neither_announced_nor_open() -> None:
    with_lan, without = wanted(HUB, AttachedLan(network=LAN, nic="eth1")), wanted(HUB)

    assert "eth1" in (with_lan.firewall or "")
    assert "eth1" not in (without.firewall or "")
    assert f"network {LAN}" in bgpd(with_lan)
    assert f"network {LAN}" not in bgpd(without)


def bgpd(goal: Desired) -> str:
    assert goal.routing is not None
    return dict(goal.routing.daemons)["bgpd"]


def test_a_host_without_ipv6_is_asked_for_none() -> None:
    nics = (Nic(name="eth0", addresses=(IPv4Interface("192.168.1.1/24"),)),)
    own = package_of(HUB)

    facts = Facts(nics=nics, has_ipv6=False)

    goal = desired(own, lans=(), facts=facts)

    assert goal.node is not None
    addresses = [*goal.node.addresses, *(a for tunnel in goal.tunnels for a in tunnel.addresses)]
    routes = [
        *goal.unreachable_routes,
        *(route for tunnel in goal.tunnels for route in tunnel.routes),
    ]
    assert {each.version for each in (*addresses, *routes)} == {4}
    assert [key for key, _ in goal.sysctls] == list(sysctl_keys(facts))
    assert not [key for key in sysctl_keys(facts) if "ipv6" in key]


def test_the_way_out_is_shut_on_a_host_that_did_not_forward_and_only_there() -> None:
    own = package_of(HUB)
    nics = (Nic(name="eth0", has_default_route=True), Nic(name="eth1", has_default_route=True))
    inside = (AttachedLan(network=LAN, nic="eth1"),)

    shut = desired(own, lans=inside, facts=Facts(nics=nics, forwarded=False))
    open_ = desired(own, lans=inside, facts=Facts(nics=nics))

    assert f'iifname "eth0" ip daddr {LAN} ct state new counter drop' in str(shut.firewall)
    assert "ct state new" not in str(open_.firewall)
    assert 'iifname "eth1" ip daddr' not in str(shut.firewall)


def test_an_frr_without_a_command_does_not_get_it() -> None:
    own = package_of(HUB)

    old = desired(own, lans=(), facts=Facts(frr=(8, 1))).routing
    new = desired(own, lans=(), facts=Facts(frr=(10, 3))).routing

    assert old is not None
    assert new is not None
    assert "graceful-restart notification" not in dict(old.daemons)["bgpd"]
    assert "no bgp graceful-restart notification" in dict(new.daemons)["bgpd"]
