"""WireGuard interfaces and their peers, as values. Terms: wg(8)."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface
from typing import TypeAlias

from msgspec import Struct

from uno.model.key_ids import Secret
from uno.model.net import Network

# The mark (SO_MARK, socket(7)) of the packets that links and the particles' interface send. Others
# compare single bits of the upper bytes (Kubernetes 0xc000, Cilium 0x0f00, Tailscale 0xff0000).
UNDERLAY_MARK = 0xB7

InterfaceAddress: TypeAlias = IPv4Interface | IPv6Interface


class Peer(Struct, frozen=True, kw_only=True):
    """A WireGuard peer. `endpoint` is `host:port` as written, `keepalive` seconds or 0."""

    public_key: str
    psk: Secret | None = None
    endpoint: str | None = None
    allowed_ips: tuple[Network, ...] = ()
    keepalive: int = 0


class Tunnel(Struct, frozen=True, kw_only=True):
    """A WireGuard interface.

    `port` is None where the kernel chooses the port. `mtu` is in bytes. `mark` is the mark of the
    packets that it sends to its peers' endpoints, 0 for none. `routes` lead into the
    interface; with `table` they are in the routing table of that number, which rules (ip-rule(8))
    select for packets from this interface's addresses alone. Addresses, peers (by public key),
    their allowed IPs, and routes are sorted.
    """

    name: str
    private_key: Secret
    mtu: int
    addresses: tuple[InterfaceAddress, ...]
    peers: tuple[Peer, ...] = ()
    port: int | None = None
    mark: int = 0
    routes: tuple[Network, ...] = ()
    table: int | None = None
