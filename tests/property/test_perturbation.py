"""What another program changes of uno's on a host, one attribute at a time, is put back."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, package_of
from uno.agent.host_loop.host_reconciler import HostReconciler
from uno.host.fake.fake_host import FakeHost
from uno.host.fake.fake_kernel import FakeInterface
from uno.model.key_ids import Secret
from uno.model.package import Package
from uno.ports.host import Action, ForeignForwardChain, Nic, ReplaceFirewall, StopRouting
from uno.reconcile.converge import cell_target

pytestmark = pytest.mark.feature("G51")

LINK, NODE = "uwg-b0", "uno0"


def link(host: FakeHost) -> FakeInterface:
    return host.kernel.links[LINK]


def node(host: FakeHost) -> FakeInterface:
    return host.kernel.links[NODE]


def change_peer(host: FakeHost, **settings: object) -> None:
    first, *others = link(host).peers
    link(host).peers = (replace(first, **settings), *others)


def sysctl(key: str, value: str) -> Callable[[FakeHost], object]:
    return lambda host: host.sysctl(key, value)


def change_firewall(host: FakeHost) -> None:
    rules = host.kernel.firewall or ""
    host.kernel.firewall = rules.replace("elements", "x-elements")


def reset_chain(host: FakeHost) -> None:
    host.foreign_forward_chains[0] = replace(host.foreign_forward_chains[0], accept_interfaces=())


def change_daemon(host: FakeHost) -> None:
    host.daemons["bgpd"] += "neighbor 192.0.2.1 remote-as 1\n"


OTHER_KEY = Secret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEA=")

# What is perturbed, by its name. Each key of `Observed` and of its values is in one of them.
PERTURBATIONS: dict[str, Callable[[FakeHost], object]] = {
    "tunnel deleted": lambda host: host.kernel.remove_link(LINK),
    "tunnel down": lambda host: setattr(link(host), "up", False),
    "tunnel mtu": lambda host: setattr(link(host), "mtu", 1300),
    "tunnel address removed": lambda host: link(host).addresses.pop(),
    "tunnel address added": lambda host: link(host).addresses.append(IPv4Interface("10.1.1.1/32")),
    "tunnel key": lambda host: setattr(link(host), "key", OTHER_KEY),
    "tunnel port": lambda host: setattr(link(host), "port", 1),
    "peer removed": lambda host: setattr(link(host), "peers", ()),
    "peer's allowed IPs": lambda host: change_peer(host, allowed_ips=()),
    "peer's preshared key": lambda host: change_peer(host, psk=None),
    "peer's keepalive": lambda host: change_peer(host, keepalive=1),
    "route into a tunnel": lambda host: host.kernel.flush("uwg-v0"),
    "node deleted": lambda host: host.kernel.remove_link(NODE),
    "node down": lambda host: setattr(node(host), "up", False),
    "node address removed": lambda host: node(host).addresses.pop(),
    "node address added": lambda host: node(host).addresses.append(IPv4Interface("10.1.1.1/32")),
    "blackhole route": lambda host: node(host).blackhole_routes.clear(),
    "unreachable route": lambda host: host.kernel.unreachable_routes.pop(),
    "unreachable route added": lambda host: host.kernel.unreachable_routes.add(
        IPv4Network("10.9.9.0/24")
    ),
    "IPv4 forwarding": sysctl("net.ipv4.ip_forward", "0"),
    "IPv6 forwarding": sysctl("net.ipv6.conf.all.forwarding", "0"),
    "IPv4 hashing": sysctl("net.ipv4.fib_multipath_hash_policy", "0"),
    "IPv6 hashing": sysctl("net.ipv6.fib_multipath_hash_policy", "0"),
    "redirects": sysctl("net.ipv4.conf.all.accept_redirects", "1"),
    "router advertisements": sysctl("net.ipv6.conf.eth0.accept_ra", "1"),
    "default for router advertisements": sysctl("net.ipv6.conf.default.accept_ra", "1"),
    "table deleted": lambda host: host.perform(ReplaceFirewall(None)),
    "table changed": change_firewall,
    "chain of another firewall": reset_chain,
    "routing daemon": change_daemon,
    "routing stopped": lambda host: host.perform(StopRouting()),
}


@pytest.fixture(params=[HUB, HOME], ids=["hub", "home"])
def package(request: pytest.FixtureRequest) -> Package:
    return package_of(request.param)


@pytest.fixture
def host(package: Package) -> FakeHost:
    address = IPv4Interface("192.168.1.1/24")
    made = FakeHost(nics=[Nic(name="eth0", addresses=(address,), has_default_route=True)])
    made.foreign_forward_chains = [ForeignForwardChain(family="ip", name="DOCKER-USER")]
    settle(made, package)
    return made


def settle(host: FakeHost, package: Package) -> tuple[Action, ...]:
    difference = cell_target(host, package).compare(host)
    difference.apply(host)
    return difference.actions


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_each_attribute_is_put_back(name: str, host: FakeHost, package: Package) -> None:
    before = str(host)
    PERTURBATIONS[name](host)
    assert str(host) != before

    assert settle(host, package) != ()

    assert str(host) == before
    assert settle(host, package) == ()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_each_change_is_found_without_a_notification(
    name: str, host: FakeHost, package: Package, tmp_path: Path
) -> None:
    reconciler = HostReconciler(host, tmp_path, wall=lambda: 0.0, now=lambda: 0.0)
    assert not reconciler.has_changed()
    for _ in range(2):
        reconciler.reconcile(package)
        assert not reconciler.has_changed()

    PERTURBATIONS[name](host)

    assert reconciler.has_changed()
    reconciler.reconcile(package)
    assert not reconciler.has_changed()
