"""Networks that the host uses itself and that are also prefixes of the UVN. Pure.

A container network, a VPN, a bridge, or the network that a roaming cell is in may have addresses of
another site's LAN. The host's own use comes first: uno does not touch its routes, and zebra prefers
them. What follows for the UVN is decided here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from uno.model.net import Network, network_order, overlap
from uno.model.package import Package
from uno.model.routing_policy import remote_prefixes
from uno.ports.host import EarlierTable, Facts, HostRoute

# So many are in a status, which every node receives; the others are counted.
_SHOWN = 4


class Collision(Struct, frozen=True, kw_only=True):
    """A route of the host's own, `network` on `interface`, that overlaps `prefix` of the UVN.

    `cell` is the name of the cell whose LAN the prefix is, None for an address pool. `table` is the
    number of the route's table if the host looks it up before the main table. With `rejects`, the
    type of the route, packets go nowhere, and `interface` is empty.
    """

    network: Network
    interface: str
    prefix: Network
    cell: str | None
    table: int | None = None
    rejects: str = ""

    @property
    def hides(self) -> bool:
        """Whether the host sends what is for all of the prefix to `interface`."""
        if self.table is not None:
            return self.network.prefixlen <= self.prefix.prefixlen
        return self.network == self.prefix

    @property
    def is_within(self) -> bool:
        """Whether all addresses of the host's network are in the prefix."""
        return self.network.prefixlen >= self.prefix.prefixlen

    @property
    def takes_packets(self) -> bool:
        """Whether packets for some of the prefix do not go to the UVN.

        In the main table a route that only contains the prefix is less specific than the UVN's.
        """
        return self.hides or self.is_within

    def __str__(self) -> str:
        """Return a sentence without a full stop."""
        what = f"LAN {self.prefix} of {self.cell}" if self.cell else f"the UVN's {self.prefix}"
        where = "" if self.table is None else f" in routing table {self.table}"
        verb = "is in" if self.is_within else "contains"
        verb = "is also" if self.network == self.prefix else verb
        if self.rejects:
            return f"this host has a route {self.rejects} {self.network}, which {verb} {what}"
        return f"{self.interface} has {self.network}{where}, which {verb} {what}"


def collisions(package: Package, facts: Facts) -> tuple[Collision, ...]:
    """Return where the host's own routes overlap prefixes of other cells or the address pools.

    Default routes do not count, nor does a route that contains a pool: the pools are private
    networks, which many a route covers, and the UVN's routes are more specific. The registry of the
    same UVN may be on this host, with its own address in a pool.
    """
    root = package.plan.root
    registry = {root.remote4, root.remote6} if root else set()
    owners = {
        lan: member.name
        for member in package.roster.members
        if member.id != package.own.id
        for lan in member.lans
    }
    prefixes = remote_prefixes(package.own, package.roster)
    starts = [(prefix.version, int(prefix.network_address)) for prefix in prefixes]
    found = {
        Collision(
            network=route.destination,
            interface=route.interface,
            prefix=prefix,
            cell=owners.get(prefix),
        )
        for route in (*facts.routes, *_single_addresses(facts))
        if route.destination.prefixlen
        if route.destination.network_address not in registry
        for prefix in _overlapping(route.destination, prefixes, starts)
    }
    found |= set(_before_main(facts.earlier, prefixes, owners))
    found |= {
        Collision(
            network=network, interface="", prefix=prefix, cell=owners.get(prefix), rejects=kind
        )
        for network, kind in facts.rejected.items()
        for prefix in _overlapping(network, prefixes, starts)
        # Routes of the UVN within it are found first.
        if network.prefixlen >= prefix.prefixlen
    }
    return tuple(
        sorted(
            (each for each in found if each.cell or each.is_within),
            key=lambda each: (
                network_order(each.prefix),
                network_order(each.network),
                each.interface,
            ),
        )
    )


def kept_networks(found: Iterable[Collision], facts: Facts) -> tuple[tuple[str, Network], ...]:
    """Return interface and network of what the firewall treats as the host's own, not the UVN's.

    Not on an interface with a default route: a DHCP server there can hand out any network and any
    route (RFC 3442), and what is for the UVN must not leave in clear text.
    """
    outside = {nic.name for nic in facts.nics if nic.has_default_route}
    kept = {
        (each.interface, each.network)
        for each in found
        if each.is_within and not each.rejects and each.interface not in outside
    }
    return tuple(sorted(kept, key=lambda each: (each[0], network_order(each[1]))))


def local_networks(found: Iterable[Collision]) -> tuple[tuple[str, Network], ...]:
    """Return interface and network of what the host itself sends to without the UVN.

    The answers come from there, on an interface with a default route too.
    """
    there = {(it.interface, it.network) for it in found if it.is_within and not it.rejects}
    return tuple(sorted(there, key=lambda each: (each[0], network_order(each[1]))))


def hidden_prefixes(found: Iterable[Collision]) -> tuple[Network, ...]:
    """Return the prefixes that this cell does not forward to the UVN, as its host has them."""
    return tuple(sorted({each.prefix for each in found if each.hides}, key=network_order))


def summary(found: tuple[Collision, ...]) -> str:
    """Return all collisions in one sentence, the first few by name; empty if there are none."""
    shown = "; ".join(map(str, found[:_SHOWN]))
    more = len(found) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _single_addresses(facts: Facts) -> Iterator[HostRoute]:
    """Yield the addresses without a network: the kernel has no route for them in the main table."""
    for nic in facts.nics:
        for address in nic.addresses:
            if address.network.prefixlen == address.max_prefixlen:
                yield HostRoute(destination=address.network, interface=nic.name)


def _before_main(
    tables: Iterable[EarlierTable],
    prefixes: Iterable[Network],
    owners: Mapping[Network, str],
) -> Iterator[Collision]:
    """Yield where tables that are looked up before uno's routes have routes for a prefix.

    The first table with a route for all of the prefix decides.
    """
    tables = tuple(tables)
    for prefix in prefixes:
        for table in tables:
            ways: dict[Network, str | None] = dict.fromkeys(table.thrown)
            ways |= {route.destination: route.interface for route in table.routes}
            around = [each for each in ways if overlap(each, prefix)]
            containing = [each for each in around if each.prefixlen <= prefix.prefixlen]
            best = max(containing, key=lambda each: each.prefixlen, default=None)
            within = [each for each in around if each.prefixlen > prefix.prefixlen]
            for network in (*within, *([best] if best is not None else [])):
                if (interface := ways[network]) is not None:
                    yield Collision(
                        network=network,
                        interface=interface,
                        prefix=prefix,
                        cell=owners.get(prefix),
                        table=table.number,
                    )
            if best is not None and ways[best] is not None:
                break


def _overlapping(
    network: Network, prefixes: tuple[Network, ...], starts: Sequence[tuple[int, int]]
) -> Iterator[Network]:
    """Yield the prefixes that overlap `network`; they are sorted, and apart from each other."""
    version = network.version
    # The one before may contain the network; those after it start within it.
    at = max(0, bisect_right(starts, (version, int(network.network_address))) - 1)
    end = (version, int(network.broadcast_address))
    for prefix, start in zip(prefixes[at:], starts[at:], strict=True):
        if start > end:
            return
        if overlap(prefix, network):
            yield prefix
