"""Where networks of the host's own overlap prefixes of the UVN, and what follows."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, LAN, REMOTE, package_of
from uno.model.net import network
from uno.ports.host import Desired, EarlierTable, Facts, HostRoute, Nic
from uno.reconcile.collisions import (
    Collision,
    collisions,
    hidden_prefixes,
    kept_networks,
    local_networks,
    summary,
)
from uno.reconcile.desired import desired

BRIDGE = "br-app"


def facts(*routes: str, nics: tuple[Nic, ...] = ()) -> Facts:
    return Facts(
        nics=nics,
        routes=tuple(HostRoute(destination=network(each), interface=BRIDGE) for each in routes),
    )


def found(*routes: str, cell: int = HUB) -> list[str]:
    return [str(each) for each in collisions(package_of(cell), facts(*routes))]


@pytest.mark.feature("G51")
def test_a_network_that_is_a_lan_is_in_one_or_contains_one_is_named_with_the_lans_cell() -> None:
    assert found("192.168.2.0/24") == [
        "br-app has 192.168.2.0/24, which is also LAN 192.168.2.0/24 of home"
    ]
    assert found("192.168.2.128/25") == [
        "br-app has 192.168.2.128/25, which is in LAN 192.168.2.0/24 of home"
    ]
    assert found("192.168.0.0/16", cell=HOME) == [
        "br-app has 192.168.0.0/16, which contains LAN 192.168.1.0/24 of hub"
    ]
    assert found("2001:db8:1::/64", cell=HOME) == [
        "br-app has 2001:db8:1::/64, which is also LAN 2001:db8:1::/64 of hub"
    ]


@pytest.mark.feature("G51")
def test_a_network_that_takes_a_part_of_a_pool_is_named_one_that_contains_it_is_not() -> None:
    assert found("10.254.7.0/24") == [
        "br-app has 10.254.7.0/24, which is in the UVN's 10.254.0.0/16"
    ]
    assert found("10.0.0.0/8") == []


def test_the_cells_own_lans_default_routes_and_other_networks_do_not_collide() -> None:
    assert found("192.168.1.0/24", "0.0.0.0/0", "::/0", "172.17.0.0/16", "2001:db8:7::/64") == []


@pytest.mark.feature("G51")
def test_the_registry_of_the_same_uvn_on_this_host_collides_with_nothing() -> None:
    package = package_of(HUB)
    assert package.plan.root is not None
    registry = (f"{package.plan.root.remote4}/32", f"{package.plan.root.remote6}/128")

    assert collisions(package, facts(*registry)) == ()


def test_every_network_collides_with_every_prefix_that_it_overlaps() -> None:
    own = package_of(HUB)
    every = ["192.168.0.0/22", "192.168.2.0/24", "192.168.2.1/32", "192.168.3.0/24"]

    assert [str(each.network) for each in collisions(own, facts(*every))] == every[:3]


def test_a_summary_names_the_first_few() -> None:
    own = package_of(HUB)
    hosts = [f"192.168.2.{number}/32" for number in range(6)]

    text = summary(collisions(own, facts(*hosts)))

    assert text.count("is in LAN 192.168.2.0/24 of home") == 4
    assert text.endswith("; and 2 more")
    assert summary(()) == ""


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
def test_the_firewall_keeps_networks_within_a_prefix_unless_the_internet_is_behind() -> None:
    collision = Collision(
        network=IPv4Network("192.168.2.0/25"), interface=BRIDGE, prefix=REMOTE, cell="home"
    )
    wide = replace(collision, network=IPv4Network("192.168.0.0/16"))

    assert kept_networks([collision, wide], facts()) == ((BRIDGE, collision.network),)
    outside = Nic(name=BRIDGE, has_default_route=True)
    assert kept_networks([collision], facts(nics=(outside,))) == ()
    assert local_networks([collision, wide]) == ((BRIDGE, collision.network),)


@pytest.mark.feature("G51")
def test_a_prefix_that_the_host_has_for_itself_is_not_advertised_to_others() -> None:
    with_bridge = wanted(facts("192.168.2.0/24"))
    with_part = wanted(facts("192.168.2.0/25"))

    assert hidden_prefixes(collisions(package_of(HUB), facts("192.168.2.0/24"))) == (REMOTE,)
    assert "ip prefix-list HIDDEN seq" in bgpd(with_bridge)
    assert "HIDDEN" not in bgpd(with_part)
    assert f'oifname "{BRIDGE}" ip daddr 192.168.2.0/24 return' in (with_bridge.firewall or "")
    assert wanted(facts("172.17.0.0/16")) == wanted(facts())


@pytest.mark.feature("G51")
@pytest.mark.feature("G53")
def test_what_is_on_a_network_with_a_default_route_reaches_the_host_but_not_the_uvn() -> None:
    uplink = Nic(name=BRIDGE, has_default_route=True)
    firewall = wanted(facts("192.168.2.0/24", nics=(uplink,))).firewall or ""

    assert f'iifname "{BRIDGE}" ip saddr 192.168.2.0/24 return' in firewall
    assert "chain from_host" not in firewall
    assert f'oifname "{BRIDGE}" ip daddr 192.168.2.0/24 return' not in firewall


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
def test_routes_decide_on_later_networks_where_the_kernel_looks_them_up() -> None:
    nics = (Nic(name="eth0", has_default_route=True), Nic(name="eth1"))
    able = Facts(nics=nics, filters_by_route=True)

    assert 'oifname { "eth0" } counter drop' in (wanted(able).firewall or "")
    assert "kind" not in (wanted(replace(able, filters_by_route=False)).firewall or "")


def wanted(of: Facts) -> Desired:
    assert LAN in package_of(HUB).own.lans
    return desired(package_of(HUB), lans=(), facts=of)


def bgpd(of: Desired) -> str:
    assert of.routing is not None
    return dict(of.routing.daemons)["bgpd"]


def earlier(*routes: str, thrown: tuple[str, ...] = (), number: int = 52) -> EarlierTable:
    return EarlierTable(
        number=number,
        routes=tuple(HostRoute(destination=network(it), interface="tailscale0") for it in routes),
        thrown=frozenset(map(network, thrown)),
    )


def found_before_main(*tables: EarlierTable) -> tuple[Collision, ...]:
    return collisions(package_of(HUB), Facts(earlier=tables))


@pytest.mark.feature("G51")
def test_a_table_that_is_looked_up_before_unos_routes_hides_a_lan_that_it_has_or_contains() -> None:
    (same,) = found_before_main(earlier("192.168.2.0/24", "100.64.0.1/32"))
    assert str(same) == (
        "tailscale0 has 192.168.2.0/24 in routing table 52, "
        "which is also LAN 192.168.2.0/24 of home"
    )
    assert hidden_prefixes([same]) == (network("192.168.2.0/24"),)
    (around,) = found_before_main(earlier("0.0.0.0/0"))
    assert str(around) == (
        "tailscale0 has 0.0.0.0/0 in routing table 52, which contains LAN 192.168.2.0/24 of home"
    )
    assert hidden_prefixes([around]) == (network("192.168.2.0/24"),)
    assert kept_networks([around], Facts()) == ()
    (part,) = found_before_main(earlier("192.168.2.128/25"))
    assert "which is in LAN 192.168.2.0/24 of home" in str(part)
    assert hidden_prefixes([part]) == ()


@pytest.mark.feature("G51")
def test_of_tables_before_unos_routes_the_first_with_a_route_decides() -> None:
    away = earlier("0.0.0.0/0", thrown=("192.168.0.0/16",))
    assert found_before_main(away) == ()
    assert [
        each.table for each in found_before_main(away, earlier("192.168.2.0/24", number=7))
    ] == [7]
    both = (earlier("192.168.0.0/16", number=6), earlier("192.168.2.0/24", number=7))
    assert [each.table for each in found_before_main(*both)] == [6]


@pytest.mark.feature("G51")
def test_an_address_without_a_network_collides_with_the_lan_that_it_is_in() -> None:
    nic = Nic(name="vip0", addresses=(IPv4Interface("192.168.2.7/32"),))
    single = collisions(package_of(HUB), facts(nics=(nic,)))

    assert [str(each) for each in single] == [
        "vip0 has 192.168.2.7/32, which is in LAN 192.168.2.0/24 of home"
    ]


@pytest.mark.feature("G51")
def test_a_route_that_rejects_what_is_for_a_lan_or_a_part_of_it_is_named() -> None:
    routes = {"192.168.2.0/24": "blackhole", "192.168.2.128/25": "prohibit", "192.168.0.0/16": "x"}
    rejecting = Facts(rejected={network(to): kind for to, kind in routes.items()})

    every = collisions(package_of(HUB), rejecting)

    assert [str(each) for each in every] == [
        "this host has a route blackhole 192.168.2.0/24, which is also LAN 192.168.2.0/24 of home",
        "this host has a route prohibit 192.168.2.128/25, which is in LAN 192.168.2.0/24 of home",
    ]
    assert hidden_prefixes(every) == (network("192.168.2.0/24"),)
    assert kept_networks(every, rejecting) == local_networks(every) == ()
