"""A cell's accepted bundle, and what the host is like, to what uno should own there."""

from __future__ import annotations

import dataclasses
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from uno.model.attached_lan import AttachedLan
from uno.model.key_ids import Secret
from uno.model.net import Address, Network, network_order
from uno.model.package import Package
from uno.model.plan import BackbonePeer, Member, ParticlesHub, RootPeer
from uno.ports.bus import CELL_INDEX, ports
from uno.ports.host import (
    Desired,
    Facts,
    InterfaceAddress,
    Nic,
    NodeInterface,
    Peer,
    Routing,
    Tunnel,
)
from uno.render import frr, nftables
from uno.render.frr import Drain

NODE_INTERFACE = nftables.NODE_INTERFACE

EVERYTHING: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))

FORWARDING = (
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    # Flows, not packets, are spread over equal paths: by addresses and ports.
    ("net.ipv4.fib_multipath_hash_policy", "1"),
    ("net.ipv6.fib_multipath_hash_policy", "1"),
)


def desired(
    package: Package,
    *,
    lans: tuple[AttachedLan, ...],
    facts: Facts,
    drained: Mapping[str, Drain] | None = None,
) -> Desired:
    """Return what uno should own on the host of this bundle's cell, where `lans` are attached.

    `drained` are the interfaces of links that are to be left.
    """
    plan, roster = package.plan, package.roster
    own = package.own
    wanted = Desired(
        unreachable_routes=_unreachable_routes(package, own),
        firewall=nftables.ruleset(
            plan,
            roster,
            lans=lans,
            block_inbound_from=_block_inbound_from(lans, facts),
            bus_ports=ports(plan.bus.domain, CELL_INDEX),
            particles=package.particles,
        ),
        accept_interfaces=_interface_patterns(nftables.interfaces(plan)),
        sysctls=_sysctls(facts),
        node=NodeInterface(
            name=NODE_INTERFACE,
            addresses=(IPv4Interface(own.node4), IPv6Interface(own.node6)),
            # The agent goes on calling nodes to which there is no path.
            blackhole_routes=(roster.pools.root,),
        ),
        tunnels=tuple(sorted(_tunnels(package), key=lambda tunnel: tunnel.name)),
        routing=Routing(
            daemons=frr.daemons(plan, roster, lans=lans, version=facts.frr, drained=drained)
        ),
    )
    return wanted if facts.has_ipv6 else _without_ipv6(wanted)


def sysctl_keys(facts: Facts) -> tuple[str, ...]:
    """Return the kernel parameters that uno may set on such a host."""
    return tuple(key for key, _ in _sysctls(facts))


def _sysctls(facts: Facts) -> tuple[tuple[str, str], ...]:
    wanted = (*FORWARDING, *_router_advertisements(facts.nics))
    return tuple(each for each in wanted if facts.has_ipv6 or not each[0].startswith("net.ipv6."))


def _block_inbound_from(lans: tuple[AttachedLan, ...], facts: Facts) -> tuple[str, ...]:
    """Return the interfaces towards the Internet, on a host that was no router before."""
    inside = {lan.nic for lan in lans}
    outside = (nic.name for nic in facts.nics if nic.has_default_route and nic.name not in inside)
    return () if facts.forwarded else tuple(outside)


def _without_ipv6(wanted: Desired) -> Desired:
    """Leave out what a kernel without IPv6 refuses; FRR and nftables take the rest as it is."""
    return dataclasses.replace(
        wanted,
        unreachable_routes=tuple(each for each in wanted.unreachable_routes if each.version == 4),
        node=wanted.node
        and dataclasses.replace(wanted.node, addresses=_only_ipv4(wanted.node.addresses)),
        tunnels=tuple(
            dataclasses.replace(
                tunnel,
                addresses=_only_ipv4(tunnel.addresses),
                routes=tuple(each for each in tunnel.routes if each.version == 4),
            )
            for tunnel in wanted.tunnels
        ),
    )


def _only_ipv4(addresses: Iterable[InterfaceAddress]) -> tuple[InterfaceAddress, ...]:
    return tuple(each for each in addresses if each.version == 4)


def _router_advertisements(nics: Iterable[Nic]) -> Iterator[tuple[str, str]]:
    for nic in nics:
        if nic.autoconfigured:
            yield f"net.ipv6.conf.{nic.name.replace('.', '/')}.accept_ra", "2"


def _interface_patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Return iptables patterns for the kinds of interfaces, which change less than their number."""
    return tuple(sorted({name.rstrip("0123456789") + "+" for name in names}))


def _unreachable_routes(package: Package, own: Member) -> tuple[Network, ...]:
    # The cell's own LANs have none: BGP would take the unreachable route for the LAN itself, and
    # go on announcing a LAN whose interface is down.
    remote = set(nftables.uvn_prefixes(package.roster)) - set(own.lans)
    return tuple(sorted(remote, key=network_order))


def _tunnels(package: Package) -> Iterator[Tunnel]:
    plan = package.plan
    for link in plan.links:
        yield _backbone(link, package)
    if plan.root:
        yield _root(plan.root, package)
    if plan.particles:
        yield _particles(plan.particles, package)


def _backbone(link: BackbonePeer, package: Package) -> Tunnel:
    peer = Peer(
        public_key=link.public_key,
        psk=Secret(package.secrets[link.psk]),
        endpoint=link.endpoint,
        allowed_ips=EVERYTHING,
        keepalive=link.keepalive,
    )
    return Tunnel(
        name=link.interface,
        private_key=_clamped(package.secrets[link.key]),
        mtu=package.plan.backbone_mtu,
        addresses=(IPv4Interface((link.local4, 31)), IPv6Interface((link.local6, 127))),
        peers=(peer,),
        port=link.port,
    )


def _root(root: RootPeer, package: Package) -> Tunnel:
    registry = (_host(root.remote4), _host(root.remote6))
    peer = Peer(
        public_key=root.public_key,
        psk=Secret(package.secrets[root.psk]),
        endpoint=root.endpoint,
        allowed_ips=registry,
        keepalive=root.keepalive,
    )
    return Tunnel(
        name=root.interface,
        private_key=_clamped(package.secrets[root.key]),
        mtu=root.mtu,
        addresses=(),
        peers=(peer,),
        port=root.port,
        routes=registry,
    )


def _particles(hub: ParticlesHub, package: Package) -> Tunnel:
    pools = package.roster.pools
    peers = (
        Peer(
            public_key=peer.public_key,
            psk=Secret(peer.psk),
            allowed_ips=(_host(peer.particle.address4), _host(peer.particle.address6)),
        )
        for peer in package.particles
    )
    return Tunnel(
        name=hub.interface,
        private_key=_clamped(package.secrets[hub.key]),
        mtu=hub.mtu,
        addresses=(
            IPv4Interface((hub.address4, pools.particles.prefixlen)),
            IPv6Interface((hub.address6, pools.particles6.prefixlen)),
        ),
        peers=tuple(sorted(peers, key=lambda peer: peer.public_key)),
        port=hub.port,
    )


def _host(one: Address) -> Network:
    return IPv4Network(one) if isinstance(one, IPv4Address) else IPv6Network(one)


def _clamped(key: str) -> Secret:
    """Return a private key as WireGuard keeps it, so that it equals what is observed.

    RFC 7748, section 5: three low bits and the high bit cleared, the next to highest set.
    """
    octets = bytearray(b64decode(key))
    octets[0] &= 248
    octets[31] = octets[31] & 127 | 64
    return Secret(b64encode(octets).decode())
