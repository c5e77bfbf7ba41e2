"""What the table lets through, by walking packets through its text; tests/golden has it whole."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import IPv4Network, IPv6Network

import pytest
from msgspec.structs import replace

from nft_walk import Crossing, Walk, chain, verdict
from uno.model.attached_lan import AttachedLan
from uno.model.plan import CellPlan, ParticlePeer, Roster
from uno.model.tunnel import UNDERLAY_MARK
from uno.model.uvn import BACKBONE_VPN, PARTICLES_VPN, ROOT_VPN, Cell, Particle, Settings, User, Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan
from uno.render import nftables

OWNER = "owner@example.org"
LAN1, LAN2 = IPv4Network("192.168.1.0/24"), IPv4Network("192.168.2.0/24")
LAN3, LAN6 = IPv4Network("192.168.3.0/24"), IPv6Network("2001:db8:1::/64")
# A leaf behind the hub, and a roaming cell beside it.
UVN = Uvn(
    name="net",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(id=1, name="hub", owner=OWNER, address="hub.example.org", allowed_lans=(LAN1, LAN6)),
        Cell(id=2, name="leaf", owner=OWNER, allowed_lans=(LAN2, LAN3)),
        Cell(id=3, name="roam", owner=OWNER, address="roam.example.org"),
    ),
    particles=(Particle(id=1, name="phone", owner=OWNER),),
    next_cell=4,
    next_particle=2,
)
HUB, LEAF, ROAM = 1, 2, 3
INTERNET = "203.0.113.9"
PHONE = "10.254.0.2"
REGISTRY = "10.255.128.1"
BUS = 18910
NODE = {HUB: "10.255.128.2", LEAF: "10.255.128.3", ROAM: "10.255.128.4"}


NOTHING_APART = nftables.ForeignInterfaces()
PARTICLES = tuple(
    ParticlePeer(each.identity, "public key", "preshared key") for each in plan(UVN, None).particles
)


def traverse(
    cell: int,
    *nics: str,
    uvn: Uvn = UVN,
    foreign: nftables.ForeignInterfaces = NOTHING_APART,
    particles: tuple[ParticlePeer, ...] = PARTICLES,
) -> Walk:
    own, everyone = planned(cell, uvn)
    lans = next(member.lans for member in everyone.members if member.id == cell)
    attached = tuple(
        AttachedLan(network=lan, nic=nic) for lan, nic in zip(lans, nics, strict=False)
    )
    return Walk(
        text=nftables.ruleset(
            own,
            everyone,
            lans=attached,
            foreign=foreign,
            bus_ports=(BUS, BUS + 1),
            particles=particles,
        ),
        interface={link.cell: link.interface for link in own.links},
    )


def planned(cell: int, uvn: Uvn = UVN) -> tuple[CellPlan, Roster]:
    made = plan(uvn, None)
    return cell_plans(made)[cell], roster(made)


@pytest.fixture
def hub() -> Walk:
    return traverse(HUB, "eth1", "eth1")


@pytest.mark.feature("F080")
def test_lans_reach_each_other_through_links(hub: Walk) -> None:
    leaf, roam = hub.interface[LEAF], hub.interface[ROAM]

    assert hub.passes("eth1", "192.168.1.5", "192.168.2.5", to=leaf)
    assert hub.passes(leaf, "192.168.2.5", "192.168.1.5", to="eth1")
    assert hub.passes(roam, NODE[ROAM], "192.168.2.5", to=leaf)


@pytest.mark.feature("G52")
def test_what_a_bridge_passes_on_is_not_judged() -> None:
    own, everyone = planned(HUB)
    bridges = {"br1": "02:00:00:00:00:01", "br0": "02:00:00:00:00:00"}
    whole = partial(nftables.ruleset, own, everyone, lans=(), particles=())

    rules = list(chain(whole(bridges=bridges), "forward"))

    assert rules[1:3] == [
        'iifname "br0" oifname "br0" ether daddr != 02:00:00:00:00:00 accept',
        'iifname "br1" oifname "br1" ether daddr != 02:00:00:00:00:01 accept',
    ]
    assert [rules[0], *rules[3:]] == list(chain(whole(), "forward"))


@pytest.mark.feature("G32")
def test_ipv6_lans_do_so_too(hub: Walk) -> None:
    leaf = hub.interface[LEAF]
    far = "fd2b:5061:b7f9::3"

    assert hub.passes("eth1", "2001:db8:1::5", far, to=leaf)
    assert hub.passes(leaf, far, "2001:db8:1::5", to="eth1")
    assert not hub.passes(leaf, "2001:db8:7::5", "2001:db8:1::5", to="eth1")
    assert not hub.passes("eth1", "2001:db8:1::5", far, to="eth0")


@pytest.mark.feature("G25")
def test_a_host_that_was_no_router_becomes_none_between_the_internet_and_the_lan() -> None:
    shut = traverse(
        HUB, "eth1", "eth1", foreign=nftables.ForeignInterfaces(block_inbound_from=("eth0",))
    )

    assert not shut.passes("eth0", INTERNET, "192.168.1.5", to="eth1")
    assert shut.passes("eth0", INTERNET, "192.168.1.5", to="eth1", answer=True)
    assert not shut.passes("eth0", "2001:db8:9::1", "2001:db8:1::5", to="eth1")
    assert shut.passes("docker0", "172.17.0.2", "192.168.1.5", to="eth1")
    assert shut.passes("eth0", INTERNET, "172.17.0.2", to="docker0")


@pytest.mark.feature("G25")
def test_a_host_that_was_a_router_stays_one(hub: Walk) -> None:
    assert hub.passes("eth0", INTERNET, "192.168.1.5", to="eth1")


@pytest.mark.feature("G24")
@pytest.mark.parametrize("source", ["192.168.2.5", PHONE, NODE[LEAF], "10.255.192.3"])
def test_sources_of_the_uvn_are_dropped_outside_the_tunnels(hub: Walk, source: str) -> None:
    assert not hub.passes("eth0", source, "192.168.1.5", to="eth1")
    assert not hub.passes("eth1", source, "192.168.1.5", to="eth1")
    assert not hub.passes("eth0", source, INTERNET, to="eth1")


@pytest.mark.feature("G28")
@pytest.mark.parametrize(
    "destination", ["192.168.2.5", "10.254.0.9", "10.255.128.3", "10.255.192.3"]
)
@pytest.mark.parametrize("came", ["eth1", "uwg-p1", "uwg-b0"])
def test_nothing_for_the_uvn_leaves_in_clear_text(hub: Walk, came: str, destination: str) -> None:
    source = {"eth1": "192.168.1.5", "uwg-p1": PHONE, "uwg-b0": NODE[ROAM]}[came]

    assert not hub.passes(came, source, destination, to="eth0")
    assert not hub.passes(came, source, destination, to="eth1")


@pytest.mark.feature("G28")
def test_nothing_for_a_lan_leaves_otherwise_while_its_interface_is_gone() -> None:
    detached = traverse(HUB)

    leaf = detached.interface[LEAF]
    assert not detached.passes(leaf, "192.168.2.5", "192.168.1.5", to="eth0")
    assert not detached.passes("uwg-p1", "fd2b:5061:b7f9:1::2", "2001:db8:1::5", to="eth0")


@pytest.mark.feature("G24")
@pytest.mark.parametrize(
    "source", [INTERNET, "192.168.1.5", NODE[HUB], NODE[ROAM], PHONE, "10.255.128.1"]
)
def test_a_leaf_cannot_send_as_anybody_else(hub: Walk, source: str) -> None:
    leaf = hub.interface[LEAF]

    assert not hub.passes(leaf, source, "192.168.1.7", to="eth1")
    assert not hub.passes(leaf, source, NODE[ROAM], to=hub.interface[ROAM])
    assert not hub.enters(leaf, source)


@pytest.mark.feature("G24")
def test_every_link_is_watched(hub: Walk) -> None:
    for cell, link in hub.interface.items():
        assert hub.enters(link, NODE[cell])
        assert not hub.enters(link, INTERNET)
        assert hub.passes(link, NODE[cell], "192.168.1.7", to="eth1")
        assert not hub.passes(link, INTERNET, "192.168.1.7", to="eth1")


@pytest.mark.feature("G24")
def test_what_a_leaf_owns_and_its_end_of_the_link_come_in(hub: Walk) -> None:
    (link,) = [each for each in planned(HUB)[0].links if each.cell == LEAF]
    theirs = (str(link.remote4), str(link.remote6))

    for source in ("192.168.2.5", "192.168.3.5", NODE[LEAF], "fe80::1", *theirs):
        assert hub.enters(link.interface, source)


@pytest.mark.feature("G24")
@pytest.mark.feature("G53")
def test_the_addresses_of_other_links_are_no_sources(hub: Walk) -> None:
    links = planned(HUB)[0].links
    for link in links:
        for other in links:
            if other is not link:
                for source in (str(other.remote4), str(other.remote6)):
                    assert not hub.enters(link.interface, source)
                    assert not hub.passes(link.interface, source, "192.168.1.7", to="eth1")
        assert not hub.enters(link.interface, "10.255.207.9")


@pytest.mark.feature("G24")
def test_only_a_lan_sends_as_itself(hub: Walk) -> None:
    leaf = hub.interface[LEAF]

    assert not hub.passes("eth0", "192.168.1.5", "192.168.2.5", to=leaf)
    assert not hub.passes("eth1", "192.168.7.5", "192.168.2.5", to=leaf)
    assert not hub.passes("eth0", INTERNET, "192.168.2.5", to=leaf)
    assert not hub.passes("docker0", "172.17.0.2", "192.168.2.5", to=leaf)


@pytest.mark.feature("F013")
def test_a_particle_reaches_the_internet_and_accepts_no_new_connections(hub: Walk) -> None:
    assert hub.passes("uwg-p1", PHONE, INTERNET, to="eth0")
    assert hub.passes("eth0", INTERNET, PHONE, to="uwg-p1", answer=True)
    assert not hub.passes("eth0", INTERNET, PHONE, to="uwg-p1")


@pytest.mark.feature("F012")
def test_a_particle_reaches_lans_here_and_there(hub: Walk) -> None:
    assert hub.passes("uwg-p1", PHONE, "192.168.1.5", to="eth1")
    assert hub.passes("uwg-p1", PHONE, "192.168.2.5", to=hub.interface[LEAF])


def test_the_internet_is_reached_from_no_link(hub: Walk) -> None:
    assert not hub.passes(hub.interface[LEAF], "192.168.2.5", INTERNET, to="eth0")


def test_the_root_vpn_forwards_nothing(hub: Walk) -> None:
    assert not hub.passes("uwg-v0", "10.255.128.1", "192.168.1.5", to="eth1")
    assert not hub.passes("eth1", "192.168.1.5", "10.255.128.1", to="uwg-v0")
    assert not hub.passes("uwg-p1", PHONE, "10.255.128.1", to="uwg-v0")
    assert hub.enters("uwg-v0", "10.255.128.1")


@pytest.mark.feature("F081")
@pytest.mark.feature("G25")
def test_what_does_not_concern_the_uvn_is_left_to_the_host(hub: Walk) -> None:
    assert hub.passes("eth1", "192.168.1.5", INTERNET, to="eth0")
    assert hub.passes("docker0", "172.17.0.2", INTERNET, to="eth0")
    assert hub.passes("eth0", INTERNET, "172.17.0.2", to="docker0")
    assert hub.enters("eth0", INTERNET, port=22)
    # Another program's port 443, at an address that is not the UVN's.
    assert hub.enters("eth0", INTERNET, to="203.0.113.1")
    assert not hub.enters("eth0", INTERNET), "the web page"


@pytest.mark.parametrize("port", [BUS, BUS + 1])
def test_the_bus_accepts_nodes_through_uno_alone(port: int, hub: Walk) -> None:
    leaf, roam = hub.interface[LEAF], hub.interface[ROAM]

    assert hub.enters(leaf, NODE[LEAF], port=port)
    assert hub.enters(roam, NODE[ROAM], port=port)
    assert hub.enters("uwg-v0", REGISTRY, port=port)
    assert hub.enters("lo", REGISTRY, port=port)
    for came in ("eth0", "eth1", "docker0", "uwg-p1"):
        for source in (INTERNET, "192.168.1.5", PHONE, NODE[LEAF], REGISTRY, "fe80::1"):
            assert not hub.enters(came, source, port=port)


@pytest.mark.parametrize("source", ["192.168.2.5", "10.255.192.3", NODE[ROAM], REGISTRY])
def test_the_bus_accepts_no_other_sources_behind_a_link(source: str, hub: Walk) -> None:
    assert not hub.enters(hub.interface[LEAF], source, port=BUS)


def test_a_particle_which_is_seen_elsewhere_as_its_cell_reaches_no_bus(hub: Walk) -> None:
    leaf = hub.interface[LEAF]

    assert hub.passes("uwg-p1", PHONE, NODE[LEAF], to=leaf)
    assert not hub.passes("uwg-p1", PHONE, NODE[LEAF], to=leaf, port=BUS)
    assert hub.passes("uwg-p1", PHONE, "192.168.2.5", to=leaf, port=BUS)


def test_the_bus_accepts_packets_to_the_nodes_address_alone(hub: Walk) -> None:
    assert not hub.enters(hub.interface[LEAF], NODE[LEAF], port=BUS, to="10.255.192.2")
    assert not hub.enters("uwg-v0", REGISTRY, port=BUS, to="192.168.1.1")
    assert not hub.enters("uwg-v0", NODE[LEAF], port=BUS)


@pytest.mark.feature("G28")
def test_the_nodes_address_is_not_seen_outside_the_tunnels_but_in_its_lans(hub: Walk) -> None:
    own, own6 = NODE[HUB], "fd2b:5061:b7f9::2"
    for name in (*hub.interface.values(), "uwg-v0", "uwg-p1", "uno0", "lo"):
        assert hub.leaves(name, own, NODE[LEAF])
    assert hub.leaves("eth1", own, "192.168.1.5")
    assert hub.leaves("eth1", own6, "2001:db8:1::5")
    assert hub.leaves("eth0", "203.0.113.5", INTERNET)

    for name, destination in (("eth0", INTERNET), ("eth0", NODE[LEAF]), ("eth1", NODE[LEAF])):
        assert not hub.leaves(name, own, destination)
    assert not hub.leaves("eth0", own6, "2001:db8:9::1")


def test_what_no_path_leads_to_is_refused_as_a_router_does(hub: Walk) -> None:
    packet = Crossing("eth1", "uno0", "192.168.1.5", NODE[LEAF], answer=False)
    through = Crossing(hub.interface[ROAM], "uno0", NODE[ROAM], NODE[LEAF], answer=False)

    assert verdict(hub.text, "forward", packet) == "reject"
    assert verdict(hub.text, "forward", through) == "reject"


def test_two_lans_of_a_cell_are_both_open_and_each_to_the_other() -> None:
    leaf = traverse(LEAF, "eth1", "eth2")
    link = leaf.interface[HUB] if HUB in leaf.interface else leaf.interface[ROAM]

    assert leaf.passes(link, "192.168.1.5", "192.168.2.5", to="eth1")
    assert leaf.passes(link, "192.168.1.5", "192.168.3.5", to="eth2")
    assert leaf.passes("eth1", "192.168.2.5", "192.168.3.5", to="eth2")
    assert leaf.passes("eth2", "192.168.3.5", "192.168.1.5", to=link)


@pytest.mark.feature("F009")
def test_a_roaming_cell_only_passes_on() -> None:
    roam = traverse(ROAM)
    hub = roam.interface[HUB]

    assert roam.passes("uwg-p1", PHONE, "192.168.1.5", to=hub)
    assert not roam.passes("eth0", "192.168.1.5", "192.168.2.5", to=hub)
    assert "set nics {\n    type ifname\n  }" in roam.text


@pytest.mark.feature("F082")
def test_particles_are_translated_to_the_cells_own_address_on_links_and_elsewhere_masked() -> None:
    kept = Settings(root_vpn=replace(ROOT_VPN, masquerade=False))
    hub = traverse(HUB, "eth1", "eth1", uvn=replace(UVN, settings=kept))

    rules = chain(hub.text, "postrouting")

    assert rules == [
        "type nat hook postrouting priority srcnat;",
        "ip saddr 10.254.0.0/16 oifname @links snat ip to 10.255.128.2",
        "ip6 saddr fd2b:5061:b7f9:1::/64 oifname @links snat ip6 to fd2b:5061:b7f9::2",
        "ip saddr 10.254.0.0/16 oifname != @tunnels masquerade",
        "ip6 saddr fd2b:5061:b7f9:1::/64 oifname != @tunnels masquerade",
    ]


@pytest.mark.feature("F082")
def test_other_nodes_are_masked_on_the_way_into_a_lan_and_on_links_are_not() -> None:
    leaf = traverse(LEAF, "eth1", "eth2")

    assert chain(leaf.text, "postrouting") == [
        "type nat hook postrouting priority srcnat;",
        "ip saddr 10.255.128.0/22 oifname @nics ip daddr @own_prefixes4 masquerade",
        "ip6 saddr fd2b:5061:b7f9::/64 oifname @nics ip6 daddr @own_prefixes6 masquerade",
    ]
    assert "postrouting" not in traverse(ROAM, particles=()).text


@pytest.mark.feature("F082")
def test_particles_keep_their_address_without_masquerade() -> None:
    plain = Settings(
        root_vpn=replace(ROOT_VPN, masquerade=False),
        particles_vpn=replace(PARTICLES_VPN, masquerade=False),
    )
    hub = traverse(HUB, "eth1", "eth1", uvn=replace(UVN, settings=plain))

    assert "chain postrouting" not in hub.text
    assert hub.enters(hub.interface[LEAF], PHONE)


def test_connections_are_tracked_for_particles_alone() -> None:
    quiet = traverse(HUB, "eth1", "eth1", uvn=replace(UVN, particles=()), particles=())

    assert " ct " not in quiet.text
    assert "hook postrouting" not in quiet.text
    assert quiet.passes("eth1", "192.168.1.5", "192.168.2.5", to=quiet.interface[LEAF])
    assert not quiet.passes("uwg-p1", PHONE, "192.168.2.5", to=quiet.interface[LEAF])
    assert not quiet.passes("eth0", INTERNET, PHONE, to="uwg-p1", answer=True)


def test_what_there_is_one_of_is_not_looked_up(hub: Walk) -> None:
    assert chain(hub.text, "from_links")[0] == f'oifname "eth1" ip daddr {LAN1} accept'
    two = traverse(LEAF, "eth1", "eth2")
    assert chain(two.text, "from_links")[0] == "oifname @nics ip daddr @own_prefixes4 accept"
    assert (
        chain(traverse(ROAM).text, "from_links")[0]
        == "oifname @nics ip daddr @own_prefixes4 accept"
    )


@pytest.mark.parametrize(("count", "rules"), [(0, 0), (1, 1), (4, 4), (5, 1), (60, 1)])
def test_a_few_interfaces_are_compared_and_many_are_looked_up(count: int, rules: int) -> None:
    ways = [f'"uwg-b{number}" : jump rpf_uwg-b{number}' for number in range(count)]

    found = list(nftables._by_interface(ways))

    assert len(found) == rules
    if count in {1, 4}:
        assert found[0] == 'iifname "uwg-b0" jump rpf_uwg-b0'
    if count > 4:
        assert found == [f"iifname vmap {{ {', '.join(ways)} }}"]


@pytest.mark.feature("G51")
def test_no_tunnel_carries_the_packets_of_a_tunnel(hub: Walk) -> None:
    leaf, endpoint = hub.interface[LEAF], "192.168.2.1"

    for source in (INTERNET, NODE[HUB], "192.168.1.1"):
        assert not hub.leaves(leaf, source, endpoint, mark=UNDERLAY_MARK)
    assert hub.leaves("eth0", INTERNET, endpoint, mark=UNDERLAY_MARK)
    assert hub.leaves(leaf, NODE[HUB], endpoint)


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
def test_a_network_of_the_hosts_own_that_is_in_a_remote_lan_is_forwarded_to_and_from() -> None:
    kept = nftables.ForeignInterfaces(
        block_inbound_from=("eth0",), kept_networks=(("br-app", LAN2), ("br6", LAN6))
    )
    hub, leaf = (
        traverse(HUB, "eth1", "eth1", foreign=kept),
        traverse(LEAF, "eth1", "eth1", foreign=kept),
    )
    container = "192.168.2.10"

    assert hub.passes("br-app", container, INTERNET, to="eth0")
    assert hub.passes("eth0", INTERNET, container, to="br-app")
    assert hub.passes("eth1", "192.168.1.5", container, to="br-app")
    assert leaf.passes("br6", "2001:db8:1::10", "2001:db8:ffff::1", to="eth0")
    assert leaf.passes("eth0", "2001:db8:ffff::1", "2001:db8:1::10", to="br6")


@pytest.mark.feature("G24")
@pytest.mark.feature("G28")
@pytest.mark.feature("G51")
def test_such_a_network_reaches_no_tunnel_and_opens_no_other_interface() -> None:
    hub = traverse(
        HUB,
        "eth1",
        "eth1",
        foreign=nftables.ForeignInterfaces(kept_networks=(("br-app", LAN2),)),
    )
    container, link = "192.168.2.10", hub.interface[LEAF]

    assert not hub.passes("br-app", container, "192.168.3.5", to=link)
    assert not hub.passes(link, "192.168.3.5", container, to="br-app")
    assert not hub.passes("eth0", container, "192.168.1.5", to="eth1")
    assert not hub.passes("eth1", "192.168.1.5", container, to="eth0")
    assert not hub.passes("br-app", "192.168.3.5", "192.168.1.5", to="eth1")


@pytest.fixture
def later() -> Walk:
    """A hub whose kernel looks routes up, with an uplink; no network of its own is known."""
    return traverse(HUB, "eth1", "eth1", foreign=nftables.ForeignInterfaces(uplinks=("br0",)))


@pytest.mark.feature("G25")
@pytest.mark.feature("G51")
def test_a_network_of_the_hosts_own_that_appears_later_is_forwarded_to_and_from(
    later: Walk,
) -> None:
    container = "192.168.2.10"

    assert later.passes("br-app", container, INTERNET, to="br0", routed_back=True)
    assert later.passes("br0", INTERNET, container, to="br-app")
    assert later.passes("eth1", "192.168.1.5", container, to="br-app")
    assert later.passes("br-app", container, "192.168.1.5", to="eth1", routed_back=True)


@pytest.mark.feature("G24")
@pytest.mark.feature("G28")
@pytest.mark.feature("G51")
def test_such_a_network_has_only_its_own_addresses_and_no_other_interface(later: Walk) -> None:
    remote, link = "192.168.2.10", later.interface[LEAF]

    assert not later.passes("br-app", remote, INTERNET, to="br0")
    assert not later.passes("br-app", remote, "192.168.3.5", to=link, routed_back=True)
    for uplink in ("br0", "eth1", "eth7"):
        assert not later.passes(uplink, remote, "192.168.1.5", to="eth1", routed_back=True)
        assert not later.passes("eth1", "192.168.1.5", remote, to=uplink)


@pytest.mark.feature("G28")
def test_an_ipv6_network_that_appears_later_is_not_the_hosts_own() -> None:
    leaf = traverse(LEAF, "eth1", "eth1", foreign=nftables.ForeignInterfaces(uplinks=("br0",)))
    container, outside = "2001:db8:1::10", "2001:db8:ffff::1"

    assert not leaf.passes("br-app", container, outside, to="br0", routed_back=True)
    assert not leaf.passes("br0", outside, container, to="br-app")


@pytest.mark.feature("F082")
def test_nothing_between_lans_is_translated() -> None:
    _, *rules = chain(traverse(LEAF, "eth1", "eth2").text, "postrouting")

    sources = {rule.split()[2] for rule in rules}
    assert sources == {"10.255.128.0/22", "fd2b:5061:b7f9::/64"}


@pytest.mark.feature("F038")
def test_links_carry_the_allowed_ips_of_the_backbone_too() -> None:
    outside, inside = "172.20.1.5", "192.168.2.5"
    networks = (IPv4Network("172.20.0.0/16"), IPv6Network("2001:db8:ff::/48"))
    carried = Settings(backbone_vpn=replace(BACKBONE_VPN, allowed_ips=networks))
    hub = traverse(HUB, "eth1", "eth1", uvn=replace(UVN, settings=carried))
    plain = traverse(HUB, "eth1", "eth1")
    link = hub.interface[LEAF]

    for source, destination, came, to in (
        (outside, "192.168.1.5", link, "eth1"),
        ("2001:db8:ff::5", "2001:db8:1::5", link, "eth1"),
        (inside, outside, link, "eth1"),
        (outside, inside, "eth1", link),
        ("192.168.1.5", outside, "eth1", link),
    ):
        assert hub.passes(came, source, destination, to=to)
    assert not plain.passes(link, outside, "192.168.1.5", to="eth1")
    assert not plain.passes(link, inside, outside, to="eth1")
    assert not plain.passes("eth1", outside, inside, to=link)
    assert not hub.passes(link, "172.21.1.5", "192.168.1.5", to="eth1")
    assert not hub.passes("eth0", outside, "192.168.1.5", to=link)


@pytest.mark.feature("F080")
def test_segments_are_made_to_fit_the_tunnel_both_ways_in_both_families(hub: Walk) -> None:
    assert chain(hub.text, "forward")[1] == "tcp flags & (syn | rst) == syn jump mss_clamp"
    largest = {"ipv4": 1280, "ipv6": 1260}
    assert chain(hub.text, "mss_clamp") == [
        "oifname @tunnels tcp option maxseg size set rt mtu",
        *(
            f"iifname @tunnels meta nfproto {family} tcp option maxseg size > {size} "
            f"tcp option maxseg size set {size}"
            for family, size in largest.items()
        ),
    ]


@pytest.mark.feature("G25")
def test_there_is_one_table_and_nothing_of_the_hosts_is_named(hub: Walk) -> None:
    assert re.findall(r"^\S.*$", hub.text, re.MULTILINE) == ["table inet uno {", "}"]
    assert "flush" not in hub.text
    assert "policy drop" not in hub.text


def test_the_same_plan_makes_the_same_text() -> None:
    assert traverse(HUB, "eth1", "eth1").text == traverse(HUB, "eth1", "eth1").text
