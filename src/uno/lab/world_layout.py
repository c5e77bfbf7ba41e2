"""What the world of a UVN looks like: which nodes, which cables, which addresses. Values only.

Each LAN is a bridge inside its router, as in the box that a home has. The Internet is one node that
routes: every public node hangs on a port of its own and holds its public address as a /32, with the
same gateway address on every port, as cloud providers do it; so any node can have any address.
The addresses are those reserved for documentation (RFC 5737, RFC 3849) and, for the
Internet's own side of the ports, for benchmarks (RFC 2544).
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from uno.model.net import Address, Network

GATEWAY4 = IPv4Address("198.18.0.1")
GATEWAY6 = IPv6Address("fe80::1")
PUBLIC4 = tuple(
    map(IPv4Network, ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.19.0.0/16"))
)
PUBLIC6 = IPv6Network("2001:db8:ffff::/64")
# What a private node without a LAN of the UVN, and the café's guests, are given by their routers.
HOME4 = IPv4Network("172.24.0.0/13")
CAFE6 = IPv6Network("2001:db8:cafe::/64")
# IPv6 networks that routers have for cells alone, whose LANs of the UVN have none.
HOME6 = IPv6Network("2001:db8:fffe::/48")
# Addresses that the whole Internet can answer (IANA, IPv6 global unicast).
GLOBAL6 = IPv6Network("2000::/3")
SERVER_NAME = "server.example.net"


class Role(StrEnum):
    """The role of a node."""

    INTERNET = "internet"
    SERVER = "server"
    ROUTER = "router"
    HOST = "host"
    CELL = "cell"
    REGISTRY = "registry"
    PARTICLE = "particle"


class Station(Struct, frozen=True, kw_only=True):
    """A node as laid out.

    `commands` are lines for `ip -batch` that give it its addresses and routes; `ruleset` is for
    `nft -f`. A `machine` has files, processes and a host name of its own besides the network.
    `cell` names the cell whose site it belongs to. `public` is where the Internet sees it: for a
    node behind a router, the router's address.
    """

    name: str
    role: Role
    machine: bool = False
    forwards: bool = False
    commands: tuple[str, ...] = ()
    ruleset: str = ""
    cell: str = ""
    addresses: tuple[Address, ...] = ()
    public: Address | None = None


class Cable(Struct, frozen=True, kw_only=True):
    """A veth pair: an interface of one node, and one of another."""

    node: str
    interface: str
    far_node: str
    far_interface: str


class WorldLayout(Struct, frozen=True, kw_only=True):
    """A whole world, nothing of which exists yet.

    `names` are the records of its DNS. `lans` are the LANs of the UVN: a host may also have an
    address in a network that its router has for itself, which no other site reaches.
    """

    stations: tuple[Station, ...]
    cables: tuple[Cable, ...]
    names: dict[str, Address]
    registry: str = ""
    lans: tuple[Network, ...] = ()

    def having(self, role: Role, *, cell: str | None = None) -> tuple[Station, ...]:
        """The stations with `role`, of one cell's site if `cell` is given."""
        return tuple(s for s in self.stations if s.role is role and cell in {None, s.cell})
