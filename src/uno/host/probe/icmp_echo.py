"""ICMP echo messages, and reading from their sockets. Sources: RFC 792, RFC 4443, icmp(7)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_HEADER = struct.Struct("!BBHHH")
HEADER_SIZE = _HEADER.size

# Types, by IP version.
_REQUEST = {4: 8, 6: 128}
REPLY = {4: 0, 6: 129}


def request(
    body: bytes,
    *,
    version: int = 4,
    identifier: int = 0,
    sequence: int = 0,
    pseudo: bytes = b"",
) -> bytes:
    """Return an echo request for a socket of this IP version.

    The kernel computes the checksum of ICMPv6, unless `pseudo`, the pseudo-header that it covers
    (RFC 8200, section 8.1), is given. For an ICMP socket (icmp(7)) it also sets checksum and
    identifier of ICMP, whatever they are here.
    """
    kind, number = _REQUEST[version], sequence & 0xFFFF
    computed = 0
    if version == 4 or pseudo:
        computed = checksum(pseudo + _HEADER.pack(kind, 0, 0, identifier, number) + body)
    return _HEADER.pack(kind, 0, computed, identifier, number) + body


def reply_body(message: bytes, *, version: int = 4) -> bytes | None:
    """Return the body of an echo reply, None for any other message."""
    if len(message) < HEADER_SIZE or message[0] != REPLY[version]:
        return None
    return message[HEADER_SIZE:]


def without_ip_header(packet: bytes) -> bytes:
    """Return the message in an IPv4 packet, as a raw socket receives it."""
    return packet[(packet[0] & 0x0F) * 4 :] if packet else b""


def received(one: socket.socket, size: int) -> Iterator[bytes]:
    """Yield what a non-blocking socket has received, up to `size` bytes of each message.

    Errors that earlier requests met (icmp(7)) are skipped: their replies are missing anyway.
    """
    while True:
        try:
            message = one.recv(size)
        except BlockingIOError:
            return
        except OSError:
            continue
        yield message


def checksum(message: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of a message."""
    padded = message + bytes(len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
