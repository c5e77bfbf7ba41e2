"""A cell's accepted package and its host's properties to what uno is to own on the host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface

from msgspec.structs import replace

from uno.model.attached_lan import AttachedLan
from uno.model.package import Package
from uno.model.routing_policy import Drain, remote_prefixes, routing_policy
from uno.model.tunnel import InterfaceAddress
from uno.ports.bus import CELL_INDEX, listening
from uno.ports.host import (
    Desired,
    Facts,
    NodeInterface,
    Routing,
)
from uno.reconcile.collisions import (
    collisions,
    hidden_prefixes,
    kept_networks,
    local_networks,
)
from uno.reconcile.kernel_parameters import OPTIONAL, parameters
from uno.reconcile.underlay import underlay
from uno.render import frr, nftables
from uno.render.tunnels import tunnels

NODE_INTERFACE = nftables.NODE_INTERFACE


def desired(
    package: Package,
    *,
    lans: tuple[AttachedLan, ...],
    facts: Facts,
    drained: Mapping[str, Drain] | None = None,
) -> Desired:
    """Return what uno is to own on the host of this package's cell, where `lans` are attached.

    `drained` maps interfaces of links to how far traffic is drained from them.
    """
    plan, roster = package.plan, package.roster
    own = package.own
    found = collisions(package, facts)
    policy = routing_policy(plan, roster, lans=lans, drained=drained, hidden=hidden_prefixes(found))
    wanted = Desired(
        # None for the cell's own LANs: BGP would take the unreachable route for the LAN itself, and
        # go on advertising a LAN whose interface is down.
        unreachable_routes=remote_prefixes(own, roster),
        firewall=nftables.ruleset(
            plan,
            roster,
            lans=lans,
            foreign=nftables.ForeignInterfaces(
                block_inbound_from=_block_inbound_from(lans, facts),
                kept_networks=kept_networks(found, facts),
                local_networks=local_networks(found),
                uplinks=_uplinks(facts) if facts.filters_by_route else None,
            ),
            bridges={nic.name: nic.bridge_address for nic in facts.nics if nic.bridge_address},
            bus_ports=listening(plan.bus, CELL_INDEX),
            particles=package.particles,
        ),
        accept_interfaces=_interface_patterns(nftables.interfaces(plan)),
        sysctls=parameters(facts),
        optional=OPTIONAL,
        node=NodeInterface(
            name=NODE_INTERFACE,
            addresses=(IPv4Interface(own.node4), IPv6Interface(own.node6)),
            # The agent goes on calling nodes to which there is no path.
            blackhole_routes=(roster.pools.root,),
        ),
        underlay=underlay(package, facts),
        tunnels=tunnels(package),
        routing=Routing(daemons=frr.daemons(policy, version=facts.frr)),
    )
    return wanted if facts.has_ipv6 else _without_ipv6(wanted)


def sysctl_keys(facts: Facts) -> tuple[str, ...]:
    """Return the kernel parameters that uno may set on such a host."""
    return tuple(key for key, _ in parameters(facts))


def _block_inbound_from(lans: tuple[AttachedLan, ...], facts: Facts) -> tuple[str, ...]:
    """Return the interfaces towards the Internet, on a host that was no router before."""
    inside = {lan.nic for lan in lans}
    outside = (nic.name for nic in facts.nics if nic.has_default_route and nic.name not in inside)
    return () if facts.forwarded else tuple(outside)


def _uplinks(facts: Facts) -> tuple[str, ...]:
    return tuple(nic.name for nic in facts.nics if nic.has_default_route)


def _without_ipv6(wanted: Desired) -> Desired:
    """Leave out what a kernel without IPv6 refuses; FRR and nftables take the rest as it is."""
    return replace(
        wanted,
        unreachable_routes=tuple(each for each in wanted.unreachable_routes if each.version == 4),
        underlay=wanted.underlay
        and replace(
            wanted.underlay,
            routes=tuple(each for each in wanted.underlay.routes if each.destination.version == 4),
        ),
        node=wanted.node and replace(wanted.node, addresses=_only_ipv4(wanted.node.addresses)),
        tunnels=tuple(
            replace(
                tunnel,
                addresses=_only_ipv4(tunnel.addresses),
                routes=tuple(each for each in tunnel.routes if each.version == 4),
            )
            for tunnel in wanted.tunnels
        ),
    )


def _only_ipv4(addresses: Iterable[InterfaceAddress]) -> tuple[InterfaceAddress, ...]:
    return tuple(each for each in addresses if each.version == 4)


def _interface_patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Return iptables patterns for the kinds of interfaces, which change less than their number."""
    return tuple(sorted({name.rstrip("0123456789") + "+" for name in names}))
