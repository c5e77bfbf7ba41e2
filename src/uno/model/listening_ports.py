"""The ports that uno's daemons listen on, and who may send to them. Pure.

A daemon of uno's has a row here. The firewall drops whatever no `Sender` of a row describes, from
wherever it comes: a row without senders is a port that is closed to all. Most of these daemons
cannot be told which addresses they may serve: FRR's bfdd and DDS bind to every address.

Sources: RFC 5880 to 5883 (BFD), RFC 4271 (BGP), RTPS 2.5 section 9.6.2.3 (the bus), wg(8).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct

from uno.model.attached_lan import AttachedLan
from uno.model.net import Network
from uno.model.plan import BusPlan, CellPlan, Pools, RootVpn, Roster
from uno.model.routing_policy import BGP_PORT
from uno.model.uvn import Middleware
from uno.model.web_access import page_networks

# RFC 5881 section 4 (single hop, echo), RFC 5883 section 5 (multihop).
BFD_PORT = 3784
_BFD_ECHO_PORT, _BFD_MULTIHOP_PORT = 3785, 4784


class Transport(Enum):
    """The protocol of a port."""

    UDP = "udp"
    TCP = "tcp"


class Place(Enum):
    """Interfaces that a sender may be behind, where it is not one by its name.

    `OUTSIDE` is every interface but uno's tunnels.
    """

    OUTSIDE = "outside"
    ANYWHERE = "anywhere"


class Sender(Struct, frozen=True, kw_only=True):
    """Who may send to a port: packets that come from `place`, from `source`, to `local`.

    `place` may be the name of an interface. None stands for every address.
    """

    place: str | Place
    source: Network | None = None
    local: IPv4Address | None = None


class ListeningPort(Struct, frozen=True, kw_only=True):
    """The ports of one service, and all who may send to them.

    `destinations` are the networks with the addresses that it listens on: what is for another
    address of the host is another program's. Empty for every address.
    """

    service: str
    transport: Transport
    ports: tuple[int, ...]
    senders: tuple[Sender, ...] = ()
    destinations: tuple[Network, ...] = ()


def cell_ports(
    plan: CellPlan,
    roster: Roster,
    *,
    bus_ports: tuple[int, ...],
    lans: tuple[AttachedLan, ...] = (),
) -> tuple[ListeningPort, ...]:
    """Return the ports of a cell's daemons, the busiest first. `bus_ports` are those of the bus.

    `lans` are those that the host is attached to. BGP and BFD use IPv4 on each link, so that all of
    them are closed to IPv6.
    """
    neighbors = tuple(
        Sender(place=link.interface, source=IPv4Network(link.remote4), local=link.local4)
        for link in plan.links
    )
    return tuple(
        each
        for each in (
            *_wireguard(plan),
            _row("bfd", Transport.UDP, BFD_PORT, senders=neighbors),
            # bfdd opens these, too. uno uses neither.
            _row("bfd_unused", Transport.UDP, _BFD_ECHO_PORT, _BFD_MULTIHOP_PORT),
            _row("bgp", Transport.TCP, BGP_PORT, senders=neighbors),
            _row("bus", bus_transport(plan.bus), *bus_ports, senders=tuple(_bus(plan, roster))),
            _web(plan, roster, lans),
        )
        if each.ports
    )


def registry_ports(
    root: RootVpn,
    pools: Pools,
    *,
    bus_ports: tuple[int, ...],
    bus_tcp_ports: tuple[int, ...] = (),
) -> tuple[ListeningPort, ...]:
    """Return the ports of the registry's agent; a cell may be on the same host.

    `bus_ports` are those of the bus on UDP, `bus_tcp_ports` those on TCP.
    """
    nodes = tuple(
        Sender(place=place, source=pools.root, local=root.registry4)
        for place in (root.registry_interface, "lo")
    )
    rows = (
        _row("bus", Transport.UDP, *bus_ports, senders=nodes),
        _row("bus_tcp", Transport.TCP, *bus_tcp_ports, senders=nodes),
    )
    return tuple(row for row in rows if row.ports)


def bus_transport(bus: BusPlan) -> Transport:
    """Return the protocol of the bus."""
    return Transport.TCP if bus.middleware is Middleware.TCP else Transport.UDP


def _wireguard(plan: CellPlan) -> Iterator[ListeningPort]:
    """Yield the ports of WireGuard, which authenticates each packet itself.

    A peer may roam, so its address is not known. No tunnel carries those of another (the output
    rules), but what is for the registry or from a particle may come through the backbone.
    """
    links = (link.port for link in plan.links if link.port is not None)
    others = (each.port for each in (plan.root, plan.particles) if each and each.port is not None)
    outside, anywhere = Sender(place=Place.OUTSIDE), Sender(place=Place.ANYWHERE)
    yield _row("wireguard", Transport.UDP, *sorted(links), senders=(outside,))
    yield _row("wireguard_stars", Transport.UDP, *sorted(others), senders=(anywhere,))


def _bus(plan: CellPlan, roster: Roster) -> Iterator[Sender]:
    """Yield who may send to the bus: nodes behind a link, and the registry in the root VPN.

    On TCP a link carries the connection of its other end alone. On DDS, it may carry what any node
    sends; which nodes can be behind a link is checked for everything that comes through it.
    """
    node = roster.member(plan.cell).node4
    is_tcp = bus_transport(plan.bus) is Transport.TCP
    for link in plan.links:
        neighbor = IPv4Network(roster.member(link.cell).node4)
        source = neighbor if is_tcp else roster.pools.root
        yield Sender(place=link.interface, source=source, local=node)
    # A registry on the same host.
    yield Sender(place="lo", source=roster.pools.root, local=node)
    if plan.root:
        registry = IPv4Network(plan.root.remote4)
        yield Sender(place=plan.root.interface, source=registry, local=node)


def _web(plan: CellPlan, roster: Roster, lans: tuple[AttachedLan, ...]) -> ListeningPort:
    """Return the row of the web page: for hosts of the LANs, and whoever is behind a tunnel.

    Which sources can be behind a tunnel is checked for everything that comes through it.
    """
    tunnels = [link.interface for link in plan.links]
    tunnels += [each.interface for each in (plan.root, plan.particles) if each]
    return ListeningPort(
        service="web",
        transport=Transport.TCP,
        ports=(plan.httpd_port,),
        senders=(
            *(Sender(place=name) for name in ("lo", *tunnels)),
            *(Sender(place=lan.nic, source=lan.network) for lan in lans),
        ),
        destinations=page_networks(plan, roster.member(plan.cell)),
    )


def _row(
    service: str, transport: Transport, *ports: int, senders: tuple[Sender, ...] = ()
) -> ListeningPort:
    return ListeningPort(service=service, transport=transport, ports=ports, senders=senders)
