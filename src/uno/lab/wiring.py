"""Putting stations together: drafts of nodes, the Internet's ports, LANs as bridges in routers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address
from itertools import chain

from uno.diagnostics import ActionNeeded
from uno.lab import node_nftables
from uno.lab.world_layout import (
    GATEWAY4,
    GATEWAY6,
    HOME4,
    HOME6,
    PUBLIC4,
    PUBLIC6,
    Cable,
    Role,
    Station,
)
from uno.model.net import Address, Network, overlap


@dataclass(kw_only=True)
class Draft:
    """A station while it is being put together.

    `outside` are its addresses on the Internet, `inside` those in LANs; `public` is where the
    Internet sees it, which for a node behind a router is the router. `forwarded` are the ports that
    a router forwards, by the address that they are forwarded to, and `lans` its networks.
    """

    name: str
    role: Role
    cell: str = ""
    machine: bool = False
    forwards: bool = False
    public: Address | None = None
    outside: list[Address] = field(default_factory=list)
    inside: list[Address] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    rules: str = ""
    forwarded: dict[Address, list[str]] = field(default_factory=dict)
    lans: list[Network] = field(default_factory=list)

    def inside_of(self, version: int) -> Address | None:
        """Its first LAN address of that IP version."""
        return next((item for item in self.inside if item.version == version), None)

    def station(self) -> Station:
        """The finished value."""
        return Station(
            name=self.name,
            role=self.role,
            machine=self.machine,
            forwards=self.forwards,
            commands=("link set lo up", *self.commands),
            ruleset=self.rules,
            cell=self.cell,
            addresses=(*self.inside, *self.outside),
            public=self.public,
        )


@dataclass(frozen=True, kw_only=True)
class LanSegment:
    """One broadcast domain behind a router: an IPv4 network, an IPv6 one, or both."""

    router: Draft
    bridge: str
    networks: tuple[Network, ...]

    def seat(self, number: int) -> tuple[tuple[Address, int], ...]:
        """The addresses and prefix lengths of a seat: 1 the router, 2 the cell, then hosts.

        A network too small for that seat gives none.
        """
        return tuple(
            (net[_position(net, number)], net.prefixlen)
            for net in self.networks
            if _position(net, number) < net.num_addresses - 1
        )


class Wiring:
    """All drafts and cables, and the addresses that are still free."""

    def __init__(self, *, public: Iterable[Address], private: Iterable[Network]) -> None:
        """Begin with the Internet alone; `public` and `private` are taken by the definition."""
        taken = frozenset(public)
        free4 = chain.from_iterable(net.hosts() for net in PUBLIC4)
        self._free4: Iterator[Address] = (item for item in free4 if item not in taken)
        self._free6: Iterator[IPv6Address] = (i for i in PUBLIC6.hosts() if i not in taken)
        used = tuple(private)
        self._homes = (
            net
            for net in HOME4.subnets(new_prefix=24)
            if not any(overlap(net, other) for other in used)
        )
        self._homes6 = HOME6.subnets(new_prefix=64)
        self.internet = Draft(
            name="internet", role=Role.INTERNET, forwards=True, rules=node_nftables.internet()
        )
        self.drafts = [self.internet]
        self.cables: list[Cable] = []

    def add(self, draft: Draft) -> Draft:
        """Add a node that is not connected yet."""
        if any(draft.name == other.name for other in self.drafts):
            raise ActionNeeded(
                f"two nodes of the lab would be called {draft.name}",
                "rename the cell or particle of that name",
            )
        self.drafts.append(draft)
        return draft

    def spare_public(self) -> Address:
        """An unused public address."""
        return next(self._free4)

    def spare_home(self) -> IPv4Network:
        """A private network that is no LAN of the definition."""
        return next(self._homes)

    def join_internet(self, draft: Draft, at: Address | None = None) -> Address:
        """Hang a node on a port of the Internet, with `at` or else a spare address; return it."""
        port = f"p{self._cable(draft, 'wan', self.internet)}"
        mine = [at or self.spare_public()]
        mine.append(next(self._free6) if mine[0].version == 4 else self.spare_public())
        draft.outside += mine
        draft.public = mine[0]
        draft.commands += [
            *(_give("wan", item, item.max_prefixlen) for item in mine),
            "link set wan up",
            f"route add {GATEWAY4} dev wan",
            f"route add default via {GATEWAY4} dev wan",
            f"route add default via {GATEWAY6} dev wan",
        ]
        self.internet.commands += [
            _give(port, GATEWAY4, 32),
            _give(port, GATEWAY6, 64),
            f"link set {port} up",
            *(f"route add {item} dev {port}" for item in mine),
        ]
        return mine[0]

    def announce(self, network: Network, router: Draft) -> None:
        """Let the Internet know the way to a global network behind `router`."""
        via = next(item for item in router.outside if item.version == network.version)
        self.internet.commands.append(f"route add {network} via {via}")

    def segment(self, router: Draft, networks: tuple[Network, ...]) -> LanSegment:
        """Give a router a LAN: a bridge that holds the LAN's gateway address."""
        segment = LanSegment(router=router, bridge=f"lan{len(router.lans)}", networks=networks)
        router.lans += networks
        # A bridge that snoops multicast holds back the first neighbour solicitations.
        router.commands.append(f"link add {segment.bridge} type bridge mcast_snooping 0")
        self._seat(router, segment.bridge, segment.seat(1))
        return segment

    def attach(
        self, draft: Draft, segment: LanSegment, *, seat: int, interface: str = "eth0"
    ) -> bool:
        """Connect a node to a LAN; return whether there was an address for it."""
        addresses = segment.seat(seat)
        if not addresses:
            return False
        port = f"{segment.bridge}p{self._cable(draft, interface, segment.router, segment.bridge)}"
        segment.router.commands.append(f"link set {port} master {segment.bridge} up")
        self._seat(draft, interface, addresses)
        return True

    def give_ipv6(self, draft: Draft, segment: LanSegment) -> None:
        """Give a node in a LAN, and its router, IPv6 towards the Internet.

        The network is none of the UVN, and no host of the LAN is in it.
        """
        network = next(self._homes6)
        segment.router.commands.append(_give(segment.bridge, network[1], network.prefixlen))
        draft.commands.append(_give(segment.bridge, network[2], network.prefixlen))
        draft.commands.append(f"route replace default via {network[1]}")
        self.announce(network, segment.router)

    @staticmethod
    def set_default_gateway(draft: Draft, segment: LanSegment) -> None:
        """Make the LAN's router the default gateway of a node, in the IP versions that it has.

        A small network on the same wire as a large one may have had no address for it.
        """
        own = {item.version for item in draft.inside}
        for item, _length in segment.seat(1):
            if item.version in own:
                draft.commands.append(f"route add default via {item}")

    @staticmethod
    def _seat(draft: Draft, interface: str, addresses: tuple[tuple[Address, int], ...]) -> None:
        draft.commands += [_give(interface, item, length) for item, length in addresses]
        draft.commands.append(f"link set {interface} up")
        draft.inside += [item for item, _length in addresses]

    def _cable(self, near: Draft, interface: str, far: Draft, prefix: str = "") -> int:
        number = sum(cable.far_node == far.name for cable in self.cables)
        self.cables.append(
            Cable(
                node=near.name,
                interface=interface,
                far_node=far.name,
                far_interface=f"{prefix}p{number}",
            )
        )
        return number


def _position(network: Network, seat: int) -> int:
    # A home network's habit: .1 the router, .2 the gateway to the UVN, hosts from .11 on.
    return seat if seat <= 2 or network.num_addresses < 32 else seat + 8


def _give(interface: str, item: Address, prefix: int) -> str:
    # Duplicate address detection would hold an IPv6 address back for a second.
    nodad = " nodad" if item.version == 6 else ""
    return f"addr add {item}/{prefix} dev {interface}{nodad}"
