"""A BGP speaker without a policy: it advertises what it is given (RFC 4271, 4760, 6793)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from threading import Event, Lock, Thread
from typing import Self

from uno.lab import netns
from uno.lab.node import Node
from uno.model.net import address, network
from uno.model.routing_policy import BGP_PORT

_MARKER = b"\xff" * 16
_OPEN, _UPDATE, _KEEPALIVE = 1, 2, 4
_ORIGIN, _AS_PATH, _NEXT_HOP, _COMMUNITIES, _MP_REACH, _MP_UNREACH = 1, 2, 3, 8, 14, 15
_TRANSITIVE, _OPTIONAL, _EXTENDED = 0x40, 0x80, 0x10
_AS_TRANS, _HOLD = 23456, 90
_MOST_OCTETS = 4096

# Segments of an AS path (RFC 4271, 4.3; RFC 5065, 3).
SET, SEQUENCE, CONFED_SEQUENCE = 1, 2, 3

# Well-known communities (RFC 1997, RFC 8326).
NO_EXPORT, GRACEFUL_SHUTDOWN = 0xFFFFFF01, 0xFFFF0000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Prefixes of one IP version with one AS path; the next hop is the speaker, unless given."""

    prefixes: Sequence[str]
    path: Sequence[int] = ()
    segment: int = SEQUENCE
    tail: Sequence[int] = ()
    next_hop: str | None = None
    communities: Sequence[int] = ()

    @property
    def version(self) -> int:
        return network(self.prefixes[0]).version


class Speaker:
    """One session of a node with a neighbour, over the link that has these addresses."""

    def __init__(self, node: Node, *, local: str, local6: str, remote: str, asn: int) -> None:
        """Connect. Raises OSError."""
        self._local, self._local6 = local, local6
        self._socket = netns.socket_in(node.namespace, socket.AF_INET, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.bind((local, 0))
        self._socket.connect((remote, BGP_PORT))
        self._ended, self._is_up, self._lock = Event(), Event(), Lock()
        capabilities = b"".join(
            struct.pack("!BB", code, len(value)) + value
            for code, value in (
                (1, struct.pack("!HBB", 1, 0, 1)),
                (1, struct.pack("!HBB", 2, 0, 1)),
                (65, struct.pack("!I", asn)),
            )
        )
        parameter = struct.pack("!BB", 2, len(capabilities)) + capabilities
        identifier = IPv4Address(local).packed
        head = struct.pack("!BHH4sB", 4, _AS_TRANS, _HOLD, identifier, len(parameter))
        self._write(_OPEN, head + parameter)
        for work in (self._drain, self._keep_alive):
            Thread(target=work, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def comes_up(self, *, within: float) -> bool:
        """Whether the session is established in time."""
        return self._is_up.wait(within)

    def close(self) -> None:
        self._ended.set()
        self._is_up.set()
        self._socket.close()

    def advertise(self, claim: Claim) -> None:
        """Advertise all prefixes of a claim, in as many messages as it takes."""
        for nlri in _parts(claim.prefixes):
            self._write(_UPDATE, self._update(claim, nlri))

    def withdraw(self, claim: Claim) -> None:
        for nlri in _parts(claim.prefixes):
            if claim.version == 4:
                body = struct.pack("!H", len(nlri)) + nlri + b"\0\0"
            else:
                attribute = _attribute(_OPTIONAL, _MP_UNREACH, struct.pack("!HB", 2, 1) + nlri)
                body = b"\0\0" + struct.pack("!H", len(attribute)) + attribute
            self._write(_UPDATE, body)

    def _update(self, claim: Claim, nlri: bytes) -> bytes:
        path = _segment(claim.segment, claim.path) + _segment(SET, claim.tail)
        attributes = _attribute(_TRANSITIVE, _ORIGIN, b"\0")
        attributes += _attribute(_TRANSITIVE, _AS_PATH, path)
        hop = address(claim.next_hop or (self._local if claim.version == 4 else self._local6))
        if claim.version == 4:
            attributes += _attribute(_TRANSITIVE, _NEXT_HOP, hop.packed)
        else:
            reach = struct.pack("!HBB", 2, 1, 16) + hop.packed + b"\0" + nlri
            attributes += _attribute(_OPTIONAL, _MP_REACH, reach)
        if claim.communities:
            values = b"".join(struct.pack("!I", each) for each in claim.communities)
            attributes += _attribute(_OPTIONAL | _TRANSITIVE, _COMMUNITIES, values)
        head = b"\0\0" + struct.pack("!H", len(attributes))
        return head + attributes + (nlri if claim.version == 4 else b"")

    def _write(self, kind: int, body: bytes = b"") -> None:
        with self._lock:
            self._socket.sendall(_MARKER + struct.pack("!HB", 19 + len(body), kind) + body)

    def _keep_alive(self) -> None:
        while self._is_up.wait() and not self._ended.wait(1):
            try:
                self._write(_KEEPALIVE)
            except OSError:
                self._ended.set()

    def _drain(self) -> None:
        received = b""
        while not self._ended.is_set():
            try:
                part = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                part = b""
            if not part:
                self._ended.set()
                return
            received += part
            while len(received) >= 19 and len(received) >= int.from_bytes(received[16:18], "big"):
                size, kind = struct.unpack("!HB", received[16:19])
                if kind == _OPEN:
                    self._write(_KEEPALIVE)
                elif kind == _KEEPALIVE:
                    self._is_up.set()
                received = received[size:]


def established(node: Node, *, local: str, local6: str, remote: str, asn: int) -> Speaker:
    """Return a session that is up; a neighbour that has just lost its former one refuses some."""
    for _ in range(20):
        with suppress(OSError):
            speaker = Speaker(node, local=local, local6=local6, remote=remote, asn=asn)
            if speaker.comes_up(within=2):
                return speaker
            speaker.close()
    raise AssertionError(f"no session with {remote}")


def _segment(kind: int, numbers: Iterable[int]) -> bytes:
    packed = [struct.pack("!I", each) for each in numbers]
    return struct.pack("!BB", kind, len(packed)) + b"".join(packed) if packed else b""


def _attribute(flags: int, kind: int, value: bytes) -> bytes:
    return struct.pack("!BBH", flags | _EXTENDED, kind, len(value)) + value


def _parts(prefixes: Iterable[str]) -> Iterable[bytes]:
    """Return the prefixes as BGP writes them, in parts that fit into messages."""
    part = b""
    for prefix in prefixes:
        found = network(prefix)
        octets = found.network_address.packed[: (found.prefixlen + 7) // 8]
        part += bytes((found.prefixlen,)) + octets
        if len(part) > _MOST_OCTETS - 300:
            yield part
            part = b""
    if part:
        yield part
