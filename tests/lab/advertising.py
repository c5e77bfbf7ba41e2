"""Router advertisements (RFC 4861, 4.2) from a node into one of its segments."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv6Network

from uno.lab import netns
from uno.lab.node import Node

_ALL_NODES = "ff02::1"
_ADVERTISEMENT, _HOP_LIMIT = 134, 64
_PREFIX_INFORMATION, _ON_LINK_AND_AUTONOMOUS = 3, 0xC0
_VALID_SECONDS = 3600


def advertise(router: Node, interface: str, prefix: IPv6Network, *, lifetime: int) -> None:
    """Advertise a prefix for SLAAC, and a default router for `lifetime` seconds, 0 for none."""
    kind = socket.SOCK_RAW
    with netns.entered(router.namespace):
        index = socket.if_nametoindex(interface)
    with netns.socket_in(router.namespace, socket.AF_INET6, kind, socket.IPPROTO_ICMPV6) as sender:
        # RFC 4861, 6.1.2: a receiver discards one with another hop limit.
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sender.sendto(_message(prefix, lifetime), (_ALL_NODES, 0, 0, index))


def _message(prefix: IPv6Network, lifetime: int) -> bytes:
    head = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, _HOP_LIMIT, 0, lifetime, 0, 0)
    about = (_PREFIX_INFORMATION, 4, prefix.prefixlen, _ON_LINK_AND_AUTONOMOUS)
    times = (_VALID_SECONDS, _VALID_SECONDS, 0)
    return head + struct.pack("!4B3I", *about, *times) + prefix.network_address.packed
