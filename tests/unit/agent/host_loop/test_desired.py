"""A bundle to what uno should own on its cell's host."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from uno.agent.host_loop.desired import desired, sysctl_keys
from uno.host.fake.fake_host import FakeHost
from uno.model.attached_lan import AttachedLan
from uno.model.key_ids import Secret
from uno.model.package import Manifest, Package
from uno.model.plan import ParticlePeer
from uno.model.uvn import BACKBONE_VPN, Cell, Particle, Settings, User, Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan, required_keys, with_keys
from uno.ports.host import Desired, Facts, Nic, Tunnel
from uno.reconcile.host_diff import reconcile

OWNER = "owner@example.org"
LAN = IPv4Network("192.168.1.0/24")
LAN6 = IPv6Network("2001:db8:1::/64")
REMOTE = IPv4Network("192.168.2.0/24")
UVN = Uvn(
    name="net",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(id=1, name="hub", owner=OWNER, address="hub.example.org", allowed_lans=(LAN, LAN6)),
        Cell(id=2, name="home", owner=OWNER, allowed_lans=(REMOTE,)),
        Cell(id=3, name="roam", owner=OWNER, address="2001:db8::3"),
    ),
    particles=tuple(Particle(id=n, name=f"p{n}", owner=OWNER) for n in range(1, 6)),
    next_cell=4,
    next_particle=6,
)
HUB, HOME, ROAM = 1, 2, 3
FIXED = (
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv4.fib_multipath_hash_policy", "1"),
    ("net.ipv6.fib_multipath_hash_policy", "1"),
)


def key(name: str) -> str:
    return b64encode(sha256(name.encode()).digest()).decode()


def package(cell: int, uvn: Uvn = UVN) -> Package:
    """Return a cell's bundle with keys that are a digest of their ids, and so not clamped."""
    draft = plan(uvn, None)
    needed = required_keys(draft)
    planned = with_keys(draft, {name: key(f"public {name}") for name in needed.pairs})
    own = cell_plans(planned)[cell]
    return Package(
        manifest=Manifest(
            format=1,
            uvn=uvn.name,
            identity=uvn.identity,
            cell=cell,
            cell_name=own.name,
            generation=1,
            registry_key="",
            digests={},
        ),
        roster=roster(planned),
        plan=own,
        secrets={name: key(name) for name in (*needed.pairs, *needed.psks)},
        particles=tuple(
            ParticlePeer(
                particle=each.identity,
                public_key=key(f"public {each.name}"),
                psk=key(f"psk {each.name}"),
            )
            for each in planned.particles
        ),
    )


def wanted(cell: int, *lans: AttachedLan, uvn: Uvn = UVN, nics: tuple[Nic, ...] = ()) -> Desired:
    return desired(package(cell, uvn), lans=lans, facts=Facts(nics=nics))


def tunnels(cell: int, uvn: Uvn = UVN) -> dict[str, Tunnel]:
    return {tunnel.name: tunnel for tunnel in wanted(cell, uvn=uvn).tunnels}


@pytest.mark.feature("F065")
@pytest.mark.feature("F066")
def test_every_link_is_a_tunnel_with_a_key_of_its_own_on_each_end_and_a_preshared_key() -> None:
    hub = [each for each in tunnels(HUB).values() if each.name.startswith("uwg-b")]
    other = [tunnels(cell)["uwg-b0"] for cell in (HOME, ROAM)]

    assert len({each.private_key for each in (*hub, *other)}) == len(hub) + len(other)
    assert {each.peers[0].psk for each in hub} >= {each.peers[0].psk for each in other} - {None}
    assert all(len(each.peers) == 1 for each in hub)
    assert all(list(map(str, each.peers[0].allowed_ips)) == ["0.0.0.0/0", "::/0"] for each in hub)


@pytest.mark.feature("F065")
def test_private_keys_are_in_the_form_that_wireguard_keeps() -> None:
    for tunnel in tunnels(HUB).values():
        octets = b64decode(tunnel.private_key.reveal)
        # RFC 7748, section 5.
        assert octets[0] & 7 == 0
        assert octets[31] & 128 == 0
        assert octets[31] & 64 == 64


def test_a_clamped_key_has_the_same_public_key() -> None:
    own = package(HUB)
    given = b64decode(own.secrets[own.plan.links[0].key])
    (kept,) = (each for each in wanted(HUB).tunnels if each.name == own.plan.links[0].interface)

    assert public(given) == public(b64decode(kept.private_key.reveal))
    assert given != b64decode(kept.private_key.reveal)


def test_a_host_that_was_brought_up_needs_nothing_more() -> None:
    nics = (Nic(name="eth0", addresses=(IPv4Interface("192.168.1.1/24"),), autoconfigured=True),)
    host = FakeHost(nics=nics)
    for cell in (HUB, HOME, ROAM):
        goal = wanted(cell, nics=nics)
        for action in reconcile(desired=goal, observed=host.observe(sysctl_keys(Facts(nics=nics)))):
            host.perform(action)

        assert reconcile(desired=goal, observed=host.observe(sysctl_keys(Facts(nics=nics)))) == ()
        assert host.observe(()).tunnels == goal.tunnels


@pytest.mark.feature("F006")
def test_a_private_cell_listens_nowhere_and_keeps_its_way_out_open() -> None:
    link, root = tunnels(HOME)["uwg-b0"], tunnels(HOME)["uwg-v0"]

    assert (link.port, root.port) == (None, None)
    assert link.peers[0].endpoint == "hub.example.org:63550"
    assert root.peers[0].endpoint == "registry.example.org:63447"
    assert (link.peers[0].keepalive, root.peers[0].keepalive) == (25, 25)


@pytest.mark.feature("F005")
def test_a_public_cell_listens_and_sends_nothing_to_keep_open() -> None:
    for tunnel in tunnels(HUB).values():
        assert tunnel.port is not None
        assert all(peer.keepalive == 0 for peer in tunnel.peers)
    assert tunnels(HUB)["uwg-v0"].peers[0].endpoint is None
    assert tunnels(HUB)["uwg-v0"].port == 63448


@pytest.mark.feature("F007")
@pytest.mark.feature("F010")
@pytest.mark.feature("F097")
def test_particles_are_peers_of_public_cells_sorted_by_key_with_their_own_addresses_alone() -> None:
    hub = tunnels(HUB)["uwg-p1"]

    keys = [peer.public_key for peer in hub.peers]
    assert keys == sorted(key(f"public p{n}") for n in range(1, 6))
    assert [each.prefixlen for peer in hub.peers for each in peer.allowed_ips] == [32, 128] * 5
    assert {peer.psk for peer in hub.peers} == {Secret(key(f"psk p{n}")) for n in range(1, 6)}
    assert hub.addresses[0] == IPv4Interface("10.254.0.1/16")
    assert hub.port == 63449
    assert "uwg-p1" not in tunnels(HOME)


@pytest.mark.feature("G24")
def test_only_the_registry_can_speak_through_the_root_vpn() -> None:
    root = tunnels(HOME)["uwg-v0"]
    registry = (IPv4Network("10.255.128.1/32"), IPv6Network("fd2b:5061:b7f9::1/128"))

    assert root.peers[0].allowed_ips == registry
    assert root.routes == registry
    assert root.addresses == ()


@pytest.mark.feature("G32")
def test_links_and_nodes_have_addresses_of_both_families() -> None:
    link, node = tunnels(HOME)["uwg-b0"], wanted(HOME).node

    assert [address.network.prefixlen for address in link.addresses] == [31, 127]
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
def test_forwarding_is_on_and_router_advertisements_still_heard_where_they_were() -> None:
    nics = (
        Nic(name="eth0", autoconfigured=True),
        Nic(name="eth1"),
        Nic(name="eth0.5", autoconfigured=True),
    )

    assert wanted(HUB).sysctls == FIXED
    assert wanted(HUB, nics=nics).sysctls == (
        *FIXED,
        ("net.ipv6.conf.eth0.accept_ra", "2"),
        ("net.ipv6.conf.eth0/5.accept_ra", "2"),
    )
    assert sysctl_keys(Facts(nics=nics)) == tuple(
        name for name, _ in wanted(HUB, nics=nics).sysctls
    )


@pytest.mark.feature("F081")
def test_other_firewalls_are_to_let_each_kind_of_interface_through() -> None:
    digits = replace(
        UVN, settings=Settings(backbone_vpn=replace(BACKBONE_VPN, interface="wan1-{}"))
    )

    assert wanted(HUB).accept_interfaces == ("uwg-b+", "uwg-p+", "uwg-v+")
    assert wanted(HOME).accept_interfaces == ("uwg-b+", "uwg-v+")
    assert "wan1-+" in wanted(HUB, uvn=digits).accept_interfaces


@pytest.mark.feature("F094")
def test_without_a_root_vpn_there_is_no_interface_for_it() -> None:
    static = replace(UVN, settings=Settings(enable_root_vpn=False, enable_particles_vpn=False))

    assert all(name.startswith("uwg-b") for name in tunnels(HUB, static))


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


def public(octets: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(octets).public_key().public_bytes_raw()


def test_a_host_without_ipv6_is_asked_for_none() -> None:
    nics = (Nic(name="eth0", addresses=(IPv4Interface("192.168.1.1/24"),), autoconfigured=True),)
    own = package(HUB)

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
    own = package(HUB)
    nics = (Nic(name="eth0", has_default_route=True), Nic(name="eth1", has_default_route=True))
    inside = (AttachedLan(network=LAN, nic="eth1"),)

    shut = desired(own, lans=inside, facts=Facts(nics=nics, forwarded=False))
    open_ = desired(own, lans=inside, facts=Facts(nics=nics))

    assert f'iifname "eth0" ip daddr {LAN} ct state new counter drop' in str(shut.firewall)
    assert "ct state new" not in str(open_.firewall)
    assert 'iifname "eth1" ip daddr @local4' not in str(shut.firewall)


def test_an_frr_that_does_not_know_a_line_is_not_told_it() -> None:
    own = package(HUB)

    old = desired(own, lans=(), facts=Facts(frr=(8, 1))).routing
    new = desired(own, lans=(), facts=Facts(frr=(10, 3))).routing

    assert old is not None
    assert new is not None
    assert "graceful-restart notification" not in dict(old.daemons)["bgpd"]
    assert "no bgp graceful-restart notification" in dict(new.daemons)["bgpd"]
