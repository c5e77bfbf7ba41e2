"""Requests and notifications of rtnetlink. Sources: netlink(7), rtnetlink(7).

Read only: `interface_changes` changes the host through iproute2.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct

from uno.diagnostics import TransientFailure
from uno.model.net import Network

# linux/rtnetlink.h
NEWLINK, DELLINK = 16, 17
NEWADDR, DELADDR = 20, 21
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWRULE, DELRULE = 32, 33
NEWNETCONF = 80
MAIN_TABLE = 254
UNICAST, UNREACHABLE, THROW = 1, 7, 9
REJECTING = {6: "blackhole", UNREACHABLE: "unreachable", 8: "prohibit"}
BGP = 186
CLONED = 0x200
_ONLINK = 4
# Multicast groups of the notifications, as bits: links; addresses, routes, rules and parameters of
# interfaces (netconf) of both families.
GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 0x80 | 1 << 18 | 1 << 23 | 1 << 24

BYTE_ORDER = sys.byteorder
"""That of all numbers in messages."""

# linux/netlink.h
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 0x1, 0x300
_SOL_NETLINK, _STRICT = 270, 12

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE = struct.Struct("=8BI")
_NEXT_HOP = struct.Struct("=HBBi")
_DST, _OIF, _GATEWAY, _PRIORITY, _MULTIPATH, _TABLE, _VIA = 1, 4, 5, 6, 9, 15, 18
# Without the bits for nested and byte order.
_TYPE_MASK = 0x3FFF

# Room for a burst of thousands of notifications, and for any one response.
BUFFER = 1 << 20
_PART = 1 << 16


class NetlinkMessage(Struct, frozen=True):
    """A netlink message: its type, and what follows its header."""

    kind: int
    body: bytes


class KernelRoute(Struct, frozen=True, kw_only=True):
    """A route. `interfaces` are the output interfaces' indices of its next hops, `via`.

    `gateway` is the address of the first next hop, empty without one; `onlink` is its flag.
    """

    destination: Network
    table: int
    protocol: int
    kind: int
    flags: int
    priority: int
    interfaces: tuple[int, ...]
    via: bytes
    gateway: bytes = b""
    onlink: bool = False


def subscribe() -> socket.socket:
    """Return a non-blocking socket that receives all notifications from now on.

    Raises `UnoError`.
    """
    return opened(GROUPS)


def routes_of(protocol: int, family: int) -> tuple[KernelRoute, ...]:
    """Return the routes that a protocol made, of all tables. Raises `UnoError`.

    The kernel filters: there may be thousands of others.
    """
    response = dumped(GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, protocol, 0, 0, 0), chosen=True)
    found = (route(each.body) for each in response if each.kind == NEWROUTE)
    # Linux before 4.20 ignores the filter.
    return tuple(each for each in found if each.protocol == protocol)


def main_routes(*, without: frozenset[int]) -> tuple[KernelRoute, ...]:
    """Return the routes of the main table: all default routes, and others of other protocols.

    `without` are the protocols that are left out. Raises `UnoError`.
    """
    # Most routes need not be read any further than their length, table and protocol.
    return tuple(route(body) for body in _main_table() if not body[1] or body[5] not in without)


class MainRouteReader:
    """Reads the routes of the main table again and again; what stays is parsed once."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._known: dict[bytes, KernelRoute] = {}

    def read(self) -> tuple[KernelRoute, ...]:
        """Return all routes of the main table. Raises `UnoError`."""
        known = self._known
        self._known = {body: known.get(body) or route(body) for body in _main_table()}
        return tuple(self._known.values())


def _main_table() -> Iterator[bytes]:
    """Yield the body of the message of each route of the main table. Raises `UnoError`."""
    for each in dumped(GETROUTE, _ROUTE.pack(*[0] * 9)):
        if each.kind == NEWROUTE and each.body[4] == MAIN_TABLE:
            yield each.body


def routes_in(tables: Collection[int]) -> tuple[KernelRoute, ...]:
    """Return all routes in these tables. Raises `UnoError`."""
    response = dumped(GETROUTE, _ROUTE.pack(*[0] * 9))
    found = (route(each.body) for each in response if each.kind == NEWROUTE)
    return tuple(each for each in found if each.table in tables)


def interfaces_with_routes(protocol: int) -> frozenset[str]:
    """Return the interfaces that routes of a protocol lead through. Raises `UnoError`."""
    families = (socket.AF_INET, socket.AF_INET6)
    found = (route for family in families for route in routes_of(protocol, family))
    names = set()
    for index in {index for route in found for index in route.interfaces}:
        with suppress(OSError):  # removed since
            names.add(socket.if_indextoname(index))
    return frozenset(names)


def dumped(
    kind: int, body: bytes, *, family: int = socket.NETLINK_ROUTE, chosen: bool = False
) -> tuple[NetlinkMessage, ...]:
    """Return the response to a dump request (NLM_F_DUMP) of a netlink family.

    With `chosen` the kernel filters by the fields of `body` (NETLINK_GET_STRICT_CHK), where it
    can. Raises `UnoError`.
    """
    return _answer(kind, body, flags=_REQUEST | _DUMP, family=family, chosen=chosen)


def answered(kind: int, body: bytes, *, family: int) -> NetlinkMessage:
    """Return the one response to a request of a netlink family. Raises `UnoError`."""
    return _answer(kind, body, flags=_REQUEST, family=family)[0]


def _answer(
    kind: int,
    body: bytes,
    *,
    flags: int,
    family: int = socket.NETLINK_ROUTE,
    chosen: bool = False,
) -> tuple[NetlinkMessage, ...]:
    with opened(family=family) as one:
        one.settimeout(5)
        if chosen:
            with suppress(OSError):
                one.setsockopt(_SOL_NETLINK, _STRICT, 1)
        try:
            one.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
            if flags & _DUMP:
                return tuple(_parts(one))
            return (accepted(next(messages(one.recv(_PART)))),)
        except OSError as error:
            raise TransientFailure(
                f"cannot read the network configuration of the kernel ({error.strerror})"
            ) from error


def messages(part: bytes) -> Iterator[NetlinkMessage]:
    """Yield the messages in a datagram."""
    at = 0
    while at + _HEADER.size <= len(part):
        length, kind, _, _, _ = _HEADER.unpack_from(part, at)
        if length < _HEADER.size:
            return
        yield NetlinkMessage(kind, part[at + _HEADER.size : at + length])
        at += _aligned(length)


def attributes(body: bytes, start: int) -> dict[int, bytes]:
    """Return the attributes in `body` from `start` on, by type."""
    return dict(attribute_list(body, start))


def attribute_list(body: bytes, start: int) -> list[tuple[int, bytes]]:
    """Return the attributes in `body` from `start` on, in order: type, and content."""
    found = []
    at = start
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        found.append((kind & _TYPE_MASK, body[at + _ATTRIBUTE.size : at + length]))
        at += _aligned(length)
    return found


def attribute(kind: int, content: bytes) -> bytes:
    """Return an attribute, with its padding."""
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(_aligned(length) - length)


def route(body: bytes) -> KernelRoute:
    """Read a route from the body of its message."""
    family, length, _, _, table, protocol, _, kind, flags = _ROUTE.unpack_from(body)
    found = attributes(body, _ROUTE.size)
    return KernelRoute(
        destination=_network(family, found.get(_DST, b""), length),
        table=number(found, _TABLE, table),
        protocol=protocol,
        kind=kind,
        flags=flags,
        priority=number(found, _PRIORITY, 0),
        interfaces=_interfaces(found),
        via=found.get(_GATEWAY, b"") + found.get(_MULTIPATH, b""),
        gateway=_gateway(found) or _gateway(_first_hop(found)),
        onlink=bool((flags | _first_hop_flags(found)) & _ONLINK),
    )


def number(found: dict[int, bytes], kind: int, default: int) -> int:
    """Return a 32 bit attribute."""
    return int.from_bytes(found[kind][:4], BYTE_ORDER) if kind in found else default


def opened(groups: int = 0, *, family: int = socket.NETLINK_ROUTE) -> socket.socket:
    """Return a non-blocking socket of a netlink family in these groups. Raises `UnoError`."""
    try:
        one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
    except OSError as error:
        raise TransientFailure(
            f"the kernel has no netlink family {family} ({error.strerror})"
        ) from error
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        one.bind((0, groups))
    except OSError as error:
        one.close()
        raise TransientFailure(
            f"cannot subscribe to the kernel's network notifications ({error.strerror})"
        ) from error
    one.settimeout(0)
    return one


def _parts(one: socket.socket) -> Iterator[NetlinkMessage]:
    while True:
        for each in messages(one.recv(_PART)):
            if each.kind == _DONE:
                _assert_complete(each)
                return
            yield accepted(each)


def _assert_complete(done: NetlinkMessage) -> None:
    """Raise the error that has ended a response, which its last message has in place of 0."""
    code = int.from_bytes(done.body[:4], BYTE_ORDER, signed=True)
    if code < 0:
        raise OSError(-code, os.strerror(-code))


def accepted(each: NetlinkMessage) -> NetlinkMessage:
    """Return the message unless it is an error of the kernel's, which is raised as OSError."""
    if each.kind == _ERROR:
        code = -struct.unpack_from("=i", each.body)[0] or errno.EIO
        raise OSError(code, os.strerror(code))
    return each


def acknowledged(each: NetlinkMessage) -> None:
    """Return if the message acknowledges a request (netlink(7)); an error is raised as OSError."""
    if each.kind != _ERROR or each.body[:4] != bytes(4):
        accepted(each)


def _interfaces(attributes: dict[int, bytes]) -> tuple[int, ...]:
    if _OIF in attributes:
        return (number(attributes, _OIF, 0),)
    hops = attributes.get(_MULTIPATH, b"")
    found = []
    at = 0
    while at + _NEXT_HOP.size <= len(hops):
        length, _, _, index = _NEXT_HOP.unpack_from(hops, at)
        if length < _NEXT_HOP.size:
            break
        found.append(index)
        at += _aligned(length)
    return tuple(found)


def _gateway(attributes: dict[int, bytes]) -> bytes:
    # RTA_VIA: a gateway of the other family, after the number of its family.
    return attributes.get(_GATEWAY) or attributes.get(_VIA, b"")[2:]


def _first_hop(attributes_: dict[int, bytes]) -> dict[int, bytes]:
    hops = attributes_.get(_MULTIPATH, b"")
    if len(hops) < _NEXT_HOP.size:
        return {}
    length, *_ = _NEXT_HOP.unpack_from(hops)
    return attributes(hops[:length], _NEXT_HOP.size)


def _first_hop_flags(attributes_: dict[int, bytes]) -> int:
    hops = attributes_.get(_MULTIPATH, b"")
    if len(hops) < _NEXT_HOP.size:
        return 0
    _, flags, *_ = _NEXT_HOP.unpack_from(hops)
    return int(flags)


def _network(family: int, octets: bytes, length: int) -> Network:
    if family == socket.AF_INET6:
        return IPv6Network((octets or bytes(16), length), strict=False)
    return IPv4Network((octets or bytes(4), length), strict=False)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
