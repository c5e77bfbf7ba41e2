"""A cell's package to its WireGuard interfaces, as values that no tool's syntax shows in."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from uno.model.key_ids import Secret
from uno.model.net import Address, Network
from uno.model.package import Package
from uno.model.plan import BackbonePeer, ParticlesHub, RootPeer
from uno.model.tunnel import UNDERLAY_MARK, Peer, Tunnel

EVERYTHING: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def tunnels(package: Package) -> tuple[Tunnel, ...]:
    """Return the cell's interfaces, sorted by name: links, root VPN, particles."""
    return tuple(sorted(_tunnels(package), key=lambda tunnel: tunnel.name))


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
        mark=UNDERLAY_MARK,
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
        mark=UNDERLAY_MARK,
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
