"""Routes for the packets that carry the tunnels. Pure.

A WireGuard endpoint may have an address of a remote LAN: an IPv6 router has one of its own LAN. The
main table sends what is for that LAN into a tunnel, which would then carry itself. So packets with
`UNDERLAY_MARK` look up a table first that leads to other cells' LANs as the host would without uno.
All other destinations are not in it, and are looked up as ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from uno.model.net import Network, network_order, overlap
from uno.model.package import Package
from uno.ports.host import Facts, HostRoute, Underlay


def underlay(package: Package, facts: Facts) -> Underlay:
    """Return the routes to the LANs of other cells that the host has without uno.

    A LAN is reached as the longest of the host's own prefixes that contains it; prefixes within it
    are as they are. Of several routes for one prefix the one with the lowest metric counts.
    """
    best: dict[Network, HostRoute] = {}
    for route in sorted(facts.routes, key=lambda each: each.metric):
        best.setdefault(route.destination, route)
    found: dict[Network, HostRoute] = {}
    for lan in _remote_lans(package):
        near = [each for network, each in best.items() if overlap(network, lan)]
        for each in sorted(near, key=lambda each: each.destination.prefixlen):
            # The last that contains the LAN is the longest.
            to = max(lan, each.destination, key=lambda network: network.prefixlen)
            found[to] = replace(each, destination=to, metric=0)
    return Underlay(
        routes=tuple(found[each] for each in sorted(found, key=network_order)),
        families=(4, 6) if facts.has_ipv6 else (4,),
    )


def _remote_lans(package: Package) -> Iterable[Network]:
    others = (each for each in package.roster.members if each.id != package.own.id)
    return (lan for member in others for lan in member.lans)
