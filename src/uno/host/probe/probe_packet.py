"""Packets of forwarding probes: ICMP echo messages with their IP header.

Sources: RFC 791, RFC 792, RFC 4443, RFC 8200.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from uno.host.probe import icmp_echo
from uno.host.probe.icmp_echo import HEADER_SIZE
from uno.model.net import Address

MARK_SIZE = 8
TOKEN_SIZE = 8
SNAP_LENGTH = 128
"""Octets from the IP header on that hold all that `read` needs."""

SMALLEST = 96
"""Octets of a packet of either IP version that has room for what a probe needs."""

IP_HEADER = {4: 20, 6: 40}

_BODY = struct.Struct(f"!{MARK_SIZE}s{TOKEN_SIZE}sIB")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_ICMP, _ICMPV6 = 1, 58
_DONT_FRAGMENT = 0x4000
_TTL = 64


class ProbePacket(Struct, frozen=True, kw_only=True):
    """A probe, or the answer of another cell's agent to one, which is a request too.

    So a firewall that tracks connections meets a new one in either direction. `token` identifies
    the prober, `number` the probe.
    """

    source: Address
    destination: Address
    token: bytes
    number: int
    is_answer: bool = False


def mark(identity: str) -> bytes:
    """Return the first octets of each probe's body, from which cells of a UVN recognize it."""
    return sha256(f"uno forwarding probe {identity}".encode()).digest()[:MARK_SIZE]


def body(packet: ProbePacket, *, size: int, mark: bytes) -> bytes:
    """Return the body of an echo request that has `size` octets with its IP header."""
    content = _BODY.pack(mark, packet.token, packet.number, packet.is_answer)
    return content.ljust(size - IP_HEADER[packet.source.version] - HEADER_SIZE, b"\0")


def with_headers(packet: ProbePacket, *, size: int, mark: bytes) -> bytes:
    """Return the whole IP packet of an echo request."""
    content = body(packet, size=size, mark=mark)
    identifier = int.from_bytes(packet.token[:2], "big")
    source, destination = packet.source, packet.destination
    if isinstance(source, IPv6Address):
        pseudo = struct.pack(
            "!16s16sI3xB", source.packed, destination.packed, HEADER_SIZE + len(content), _ICMPV6
        )
        message = icmp_echo.request(
            content, version=6, identifier=identifier, sequence=packet.number, pseudo=pseudo
        )
        head = _IPV6.pack(6 << 28, len(message), _ICMPV6, _TTL, source.packed, destination.packed)
        return head + message
    message = icmp_echo.request(content, identifier=identifier, sequence=packet.number)
    fields = (0x45, 0, IP_HEADER[4] + len(message), 0, _DONT_FRAGMENT, _TTL, _ICMP)
    addresses = (source.packed, destination.packed)
    checksum = icmp_echo.checksum(_IPV4.pack(*fields, 0, *addresses))
    return _IPV4.pack(*fields, checksum, *addresses) + message


def read(packet: bytes, *, mark: bytes) -> ProbePacket | None:
    """Read an IP packet with an echo request or reply; None if it is no probe of this UVN."""
    version = packet[0] >> 4 if packet else 0
    if version not in IP_HEADER:
        return None
    head = IP_HEADER[6] if version == 6 else (packet[0] & 0x0F) * 4
    content = packet[head + HEADER_SIZE : head + HEADER_SIZE + _BODY.size]
    if len(content) < _BODY.size:
        return None
    found, token, number, is_answer = _BODY.unpack(content)
    if found != mark:
        return None
    source: Address
    destination: Address
    if version == 6:
        source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    else:
        source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    is_reply = packet[head] == icmp_echo.REPLY[version]
    return ProbePacket(
        source=source,
        destination=destination,
        token=token,
        number=number,
        is_answer=bool(is_answer) or is_reply,
    )


def read_body(content: bytes, *, mark: bytes) -> tuple[bytes, int] | None:
    """Return token and number in the body of an echo reply; None if it is of no probe."""
    if len(content) < _BODY.size:
        return None
    found, token, number, _ = _BODY.unpack_from(content)
    return (token, number) if found == mark else None
