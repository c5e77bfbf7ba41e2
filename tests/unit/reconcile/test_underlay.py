"""Routes for the packets that carry the tunnels."""

from __future__ import annotations

import pytest

from packages import HOME, HUB, ROAM, package_of
from uno.model.net import address, network
from uno.ports.host import Facts, HostRoute
from uno.reconcile.desired import desired
from uno.reconcile.underlay import underlay


def route(
    destination: str, interface: str, gateway: str | None = None, metric: int = 0
) -> HostRoute:
    return HostRoute(
        destination=network(destination),
        interface=interface,
        gateway=address(gateway) if gateway else None,
        metric=metric,
    )


DEFAULT = route("0.0.0.0/0", "eth0", "192.0.2.1", 100)
DEFAULT6 = route("::/0", "eth0", "fe80::1", 1024)


def shown(cell: int, *routes: HostRoute) -> list[str]:
    return [
        f"{each.destination} via {each.gateway} dev {each.interface}"
        for each in underlay(package_of(cell), Facts(routes=routes)).routes
    ]


@pytest.mark.feature("G51")
def test_lans_of_other_cells_are_reached_as_without_uno() -> None:
    assert shown(HOME, DEFAULT, DEFAULT6) == [
        "192.168.1.0/24 via 192.0.2.1 dev eth0",
        "2001:db8:1::/64 via fe80::1 dev eth0",
    ]
    assert shown(HUB, DEFAULT, DEFAULT6) == ["192.168.2.0/24 via 192.0.2.1 dev eth0"]


@pytest.mark.feature("G51")
def test_of_several_routes_the_longest_and_then_the_one_with_the_lowest_metric_counts() -> None:
    slow = route("0.0.0.0/0", "wwan0", "198.51.100.1", 700)
    wide = route("192.168.0.0/16", "tun0")

    assert shown(HUB, slow, DEFAULT) == ["192.168.2.0/24 via 192.0.2.1 dev eth0"]
    assert shown(HUB, slow, wide, DEFAULT) == ["192.168.2.0/24 via None dev tun0"]


@pytest.mark.feature("G51")
def test_networks_within_a_lan_are_reached_as_they_are() -> None:
    inside = route("192.168.2.128/25", "br0")
    same = route("192.168.2.0/24", "br1")

    assert shown(HUB, DEFAULT, inside) == [
        "192.168.2.0/24 via 192.0.2.1 dev eth0",
        "192.168.2.128/25 via None dev br0",
    ]
    assert shown(HUB, DEFAULT, same) == ["192.168.2.0/24 via None dev br1"]


@pytest.mark.feature("G51")
def test_without_a_route_of_the_hosts_own_there_is_none() -> None:
    assert shown(ROAM, route("172.17.0.0/16", "docker0"), DEFAULT6) == [
        "2001:db8:1::/64 via fe80::1 dev eth0"
    ]


@pytest.mark.feature("G32")
def test_a_kernel_without_ipv6_has_no_rule_for_it() -> None:
    package = package_of(ROAM)

    assert underlay(package, Facts()).families == (4, 6)
    found = desired(package, lans=(), facts=Facts(has_ipv6=False, routes=(DEFAULT6,))).underlay
    assert found is not None
    assert (found.families, found.routes) == ((4,), ())
