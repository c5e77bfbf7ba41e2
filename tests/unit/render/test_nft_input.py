"""The rules of the input chain accept what the table of listening ports has, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pytest
from msgspec.structs import replace

from nft_walk import Crossing, Walk, verdict
from uno.model.attached_lan import AttachedLan
from uno.model.listening_ports import (
    ListeningPort,
    Place,
    Sender,
    Transport,
    cell_ports,
)
from uno.model.net import Network, address, network
from uno.model.plan import BackbonePeer, CellPlan, Roster
from uno.model.uvn import Cell, Particle, User, Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan
from uno.render import nft_input, nftables

OWNER = "owner@example.org"
UVN = Uvn(
    name="net",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(id=1, name="hub", owner=OWNER, address="hub.example.org"),
        Cell(id=2, name="leaf", owner=OWNER, allowed_lans=(IPv4Network("192.168.2.0/24"),)),
        Cell(id=3, name="far", owner=OWNER, address="far.example.org"),
    ),
    particles=(Particle(id=1, name="phone", owner=OWNER),),
    next_cell=4,
    next_particle=2,
)
HUB, LEAF, FAR = 1, 2, 3
BUS = (18910, 18911)
INTERNET, LAN_HOST, PHONE, REGISTRY = "203.0.113.9", "192.168.1.5", "10.254.0.2", "10.255.128.1"


@dataclass(frozen=True)
class Cut:
    """A cell's plan and its table."""

    plan: CellPlan
    roster: Roster
    walk: Walk
    lans: tuple[AttachedLan, ...] = ()

    @property
    def rows(self) -> tuple[ListeningPort, ...]:
        return cell_ports(self.plan, self.roster, bus_ports=BUS, lans=self.lans)

    @property
    def node(self) -> str:
        return str(self.roster.member(self.plan.cell).node4)


def cut(cell: int, *local: tuple[str, Network], attached: tuple[AttachedLan, ...] = ()) -> Cut:
    made = plan(UVN, None)
    own, everyone = cell_plans(made)[cell], roster(made)
    text = nftables.ruleset(
        own,
        everyone,
        lans=attached,
        foreign=nftables.ForeignInterfaces(local_networks=local),
        bus_ports=BUS,
        particles=(),
    )
    walk = Walk(text, {link.cell: link.interface for link in own.links})
    return Cut(own, everyone, walk, attached)


@pytest.fixture
def hub() -> Cut:
    return cut(HUB)


def packets(cell: Cut) -> Iterator[tuple[str, str, str]]:
    """Every interface with every source and every local address that matter."""
    links = cell.plan.links
    cells = [str(member.node4) for member in cell.roster.members]
    sources = [INTERNET, LAN_HOST, PHONE, REGISTRY, "192.168.2.5", *cells]
    sources += [str(link.remote4) for link in links] + [str(link.local4) for link in links]
    local = [
        cell.node,
        "192.0.2.1",
        "192.168.1.1",
        "192.168.2.1",
        "10.254.0.1",
        *(str(link.local4) for link in links),
    ]
    for came in ("eth0", "eth1", "docker0", "lo", *nftables.interfaces(cell.plan)):
        for source in sources:
            for to in local:
                yield came, source, to


def is_sender(sender: Sender, came: str, source: str, to: str, *, tunnels: set[str]) -> bool:
    """Whether a row of the table describes a packet."""
    if sender.place is Place.OUTSIDE:
        behind = came not in tunnels
    else:
        behind = sender.place is Place.ANYWHERE or sender.place == came
    right = sender.source is None or address(source) in sender.source
    return behind and right and sender.local in {None, IPv4Address(to)}


@pytest.mark.feature("G53")
@pytest.mark.parametrize("cell", [HUB, LEAF, FAR])
def test_a_port_receives_from_the_senders_of_its_row_and_from_no_others(cell: int) -> None:
    lan = AttachedLan(network=IPv4Network("192.168.2.0/24"), nic="eth1")
    here = cut(cell, attached=(lan,) if cell == LEAF else ())
    tunnels = set(nftables.interfaces(here.plan))
    received = 0
    for came, source, to in packets(here):
        passes = here.walk.enters(came, source, to=to, protocol="any", port=9)
        for row in here.rows:
            if row.destinations and not any(address(to) in it for it in row.destinations):
                continue
            described = any(is_sender(s, came, source, to, tunnels=tunnels) for s in row.senders)
            for port in row.ports:
                found = here.walk.enters(
                    came, source, to=to, port=port, protocol=row.transport.value
                )
                if came in here.walk.interface.values():
                    # What cannot be behind a link gets no further than its own chain.
                    assert found == (described and passes), (row, came, source, to)
                else:
                    assert found == described, (row, came, source, to)
                received += found
    assert received


@pytest.mark.feature("G53")
@pytest.mark.parametrize("port", [3784, 3785, 4784, 1790, *BUS])
def test_nothing_is_received_over_ipv6(hub: Cut, port: int) -> None:
    node = str(hub.roster.member(HUB).node6)
    for link in hub.plan.links:
        for to in (node, str(link.local6)):
            assert hub.walk.enters(link.interface, str(link.remote6), to=to)
            assert not hub.walk.enters(link.interface, str(link.remote6), to=to, port=port)
    for came in ("eth0", "uwg-p1", "uwg-v0"):
        assert not hub.walk.enters(came, "2001:db8::9", to=node, port=port)


@pytest.mark.feature("G53")
@pytest.mark.parametrize("port", [22, 53, 443, 179, 7400])
def test_ports_that_are_not_unos_are_the_hosts_own(hub: Cut, port: int) -> None:
    for came, source in (("eth0", INTERNET), ("eth1", LAN_HOST), ("uwg-p1", PHONE)):
        assert hub.walk.enters(came, source, to="192.0.2.1", port=port)


@pytest.mark.feature("G53")
def test_each_link_is_for_its_own_other_end(hub: Cut) -> None:
    one, other = hub.plan.links

    assert receives(hub, one, str(one.remote4), str(one.local4))
    assert not receives(hub, one, str(other.remote4), str(one.local4))
    assert not receives(hub, one, str(one.remote4), str(other.local4))
    assert not receives(hub, one, str(one.remote4), hub.node)
    assert not receives(hub, one, str(hub.roster.member(one.cell).node4), str(one.local4))


def receives(cell: Cut, link: BackbonePeer, source: str, to: str) -> bool:
    """Whether BFD and BGP both receive what comes through a link; one without the other fails."""
    found = {
        cell.walk.enters(link.interface, source, to=to, port=port, protocol=protocol)
        for port, protocol in ((3784, "udp"), (1790, "tcp"))
    }
    assert len(found) == 1
    return found.pop()


@pytest.mark.feature("G24")
@pytest.mark.feature("G53")
@pytest.mark.parametrize(
    "source",
    ["192.168.2.5", PHONE, REGISTRY, "10.255.128.3", "10.255.192.3", "fd2b:5061:b7f9::3"],
)
@pytest.mark.parametrize("came", ["eth0", "eth1", "docker0"])
def test_what_is_of_the_uvn_comes_to_the_host_through_tunnels_alone(
    hub: Cut, came: str, source: str
) -> None:
    for to in ("192.0.2.1", "192.168.1.1") if "." in source else ("2001:db8::1",):
        assert not hub.walk.enters(came, source, to=to, port=22)
    assert hub.walk.enters("lo", source, port=22)


def test_a_registry_on_the_same_host_is_left_to_its_own_table(hub: Cut) -> None:
    assert hub.walk.enters("uwg-v1", "10.255.128.3", to=REGISTRY)
    assert not hub.walk.enters("uwg-v1", "10.255.128.3", to=hub.node)


@pytest.mark.feature("G51")
def test_a_network_of_the_hosts_own_reaches_the_host_on_its_interface() -> None:
    far = cut(FAR, ("wlan0", network("192.168.2.0/24")), ("br6", network("fd2b:5061:b7f9::/64")))

    assert far.walk.enters("wlan0", "192.168.2.1", to="192.168.2.77")
    assert not far.walk.enters("eth1", "192.168.2.1", to="192.168.2.77")
    assert not far.walk.enters("wlan0", "10.255.128.3", to="192.168.2.77")
    assert far.walk.enters("br6", "fd2b:5061:b7f9::99", to="fd2b:5061:b7f9::98")
    assert not far.walk.enters("wlan0", "192.168.2.1", to="192.168.2.77", port=4784)


@pytest.mark.feature("G51")
def test_wireguard_answers_from_an_endpoint_in_a_lan() -> None:
    leaf = cut(LEAF)
    (link,) = leaf.plan.links
    assert link.port is None
    assert link.endpoint is not None
    port = int(link.endpoint.rpartition(":")[2])
    far = "10.255.128.4"

    assert leaf.walk.enters("eth0", far, to="192.0.2.1", port=40000, protocol="udp", sport=port)
    assert not leaf.walk.enters("eth0", far, to="192.0.2.1", port=40000, protocol="udp", sport=53)
    assert not leaf.walk.enters("eth0", far, to="192.0.2.1", port=53, protocol="udp", sport=port)
    assert not leaf.walk.enters("eth0", far, to="192.0.2.1", port=40000, protocol="tcp", sport=port)
    assert not leaf.walk.enters("eth0", far, to="192.0.2.1", port=3784, protocol="udp", sport=port)
    assert "udp sport" not in cut(HUB).walk.text


def test_a_link_that_listens_receives_from_any_address_but_through_no_tunnel(hub: Cut) -> None:
    link = hub.plan.links[0]
    assert link.port is not None
    assert hub.plan.root is not None
    assert hub.plan.root.port is not None

    assert hub.walk.enters("eth0", "192.168.2.1", to="192.0.2.1", port=link.port)
    assert not hub.walk.enters("uwg-p1", PHONE, to="192.0.2.1", port=link.port)
    assert hub.walk.enters("uwg-b0", "192.168.2.1", to=hub.node, port=hub.plan.root.port)


def test_the_registrys_bus_receives_from_cells_and_its_own_host() -> None:
    made = plan(UVN, None)
    assert made.root is not None
    text = nftables.registry_ruleset(made.root, made.pools, bus_ports=(18912, 18913))
    without_icmp = text.replace("meta l4proto { icmp, ipv6-icmp } accept", "")
    name = made.root.registry_interface

    def enters(came: str, source: str, to: str = REGISTRY, port: int = 18912) -> bool:
        packet = Crossing(came, "", source, to, answer=False, port=port)
        return verdict(without_icmp, "input", packet) != "drop"

    assert enters(name, "10.255.128.2")
    assert enters("lo", "10.255.128.2")
    assert not enters(name, "10.255.128.2", port=22)
    for came in ("eth0", "uwg-b0", "docker0"):
        for source in ("10.255.128.2", REGISTRY, INTERNET):
            assert not enters(came, source)
            assert not enters(came, source, port=22)
            assert not enters(came, source, "192.0.2.1")
    assert enters("eth0", INTERNET, "192.0.2.1", 22)


@pytest.mark.parametrize(
    ("ports", "written"),
    [
        ((18910, 18911), "udp dport 18910-18911"),
        ((18911, 18910), "udp dport 18910-18911"),
        ((18910,), "udp dport 18910"),
        ((18910, 18912), "udp dport { 18910, 18912 }"),
    ],
)
def test_ports_in_a_row_are_a_range(ports: tuple[int, ...], written: str) -> None:
    assert nft_input.to_ports(Transport.UDP, ports) == written


def test_a_service_without_senders_is_closed_and_one_for_all_is_open() -> None:
    closed = ListeningPort(service="new", transport=Transport.TCP, ports=(7,))
    everyone = (Sender(place=Place.ANYWHERE),)
    opened = ListeningPort(service="open", transport=Transport.UDP, ports=(8,), senders=everyone)

    assert list(nft_input.input_rules((closed, opened))) == [
        "tcp dport 7 counter drop",
        "udp dport 8 accept",
    ]
    assert list(nft_input.service_chains((closed, opened))) == []


def test_a_cell_that_does_not_listen_has_no_row_for_wireguard() -> None:
    leaf = cut(LEAF)
    quiet = replace(leaf.plan, root=None)

    services = [row.service for row in cell_ports(quiet, leaf.roster, bus_ports=())]

    assert services == ["bfd", "bfd_unused", "bgp", "web"]
