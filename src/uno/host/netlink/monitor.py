"""Notifications of changes in the host's network, by rtnetlink(7)."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from uno.host.netlink import rtnetlink
from uno.host.netlink.interface_changes import PROTOCOL
from uno.host.netlink.rtnetlink import NetlinkMessage
from uno.model.net import Network
from uno.ports.events import NetworkChange

SETTLE = 0.2
"""Seconds for which notifications are collected: changes seldom come alone."""

# linux/rtnetlink.h: zebra, and from bgp on those that FRR's other daemons have (lib/route_types.txt
# and zebra's rt_netlink.h in FRR).
_OF_DAEMONS = frozenset({11, *range(186, 200)})
_OWN = int(PROTOCOL)
# Another alias of one of uno's interfaces is a change, of any other interface it is none.
_OWN_ALIAS = b"uno "

_LINK = struct.Struct("=BBHiII")
_ADDRESS = struct.Struct("=4Bi")
_IFNAME, _MTU, _OPERSTATE, _IFALIAS = 3, 4, 16, 20
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
# linux/fib_rules.h, linux/netconf.h
_RULE = struct.Struct("=8BI")
_FRA_PROTOCOL = 21
_NETCONF = struct.Struct("=B3x")
_NETCONFA_IFINDEX, _NETCONFA_FORWARDING, _NETCONFA_RP_FILTER = 1, 2, 3
# linux/if.h: IFF_UP, IFF_RUNNING, IFF_NOARP, IFF_LOWER_UP. linux/if_addr.h: IFA_F_DADFAILED,
# IFA_F_TENTATIVE.
_STATE = 0x1 | 0x40 | 0x80 | 0x10000
_DUPLICATE = 0x08 | 0x40
_PART = 1 << 16


class NetlinkWatch:
    """Watches the network namespace that it is constructed in. Must be closed."""

    def __init__(self, *, settle: float = SETTLE) -> None:
        """Collect changes for `settle` seconds after the first. Raises `UnoError`."""
        self._socket = rtnetlink.subscribe()
        self._settle = settle
        self._known: dict[object, object] = {}
        self._routes = rtnetlink.MainRouteReader()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    async def changes(self) -> AsyncIterator[frozenset[NetworkChange]]:
        """Yield the kinds of changes since the last item."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                part = await loop.sock_recv(self._socket, _PART)
            except OSError as error:
                found = _lost(error)
            else:
                found = self._changes_in(part)
            if found:
                await asyncio.sleep(self._settle)
                yield frozenset(found | self._queued_changes())

    def destinations_via(self, interfaces: Iterable[str]) -> dict[Network, tuple[str, ...]]:
        """Return the destinations of routes into these interfaces, and into which of them."""
        names = {}
        for name in interfaces:
            with suppress(OSError):
                names[socket.if_nametoindex(name)] = name
        found = {}
        for route in self._routes.read():
            if route.kind == rtnetlink.UNICAST:
                through = tuple(names[index] for index in route.interfaces if index in names)
                if through:
                    found[route.destination] = through
        return found

    def _queued_changes(self) -> set[NetworkChange]:
        """Return the changes in all notifications that are in the socket's buffer."""
        found: set[NetworkChange] = set()
        while True:
            try:
                found |= self._changes_in(self._socket.recv(_PART))
            except BlockingIOError:
                return found
            except OSError as error:
                found |= _lost(error)

    def _changes_in(self, part: bytes) -> set[NetworkChange]:
        return {change for each in rtnetlink.messages(part) if (change := self._change(each))}

    def _change(self, message: NetlinkMessage) -> NetworkChange | None:
        match message.kind:
            case rtnetlink.NEWROUTE | rtnetlink.DELROUTE:
                return self._route(message)
            case rtnetlink.NEWLINK | rtnetlink.DELLINK:
                return self._link(message)
            case rtnetlink.NEWADDR | rtnetlink.DELADDR:
                return self._address(message)
            case rtnetlink.NEWRULE | rtnetlink.DELRULE:
                return self._rule(message)
            case rtnetlink.NEWNETCONF:
                return self._parameters(message)
            case _:
                return None

    def _route(self, message: NetlinkMessage) -> NetworkChange | None:
        route = rtnetlink.route(message.body)
        gone = message.kind == rtnetlink.DELROUTE
        if route.protocol == _OWN:
            # uno adds them itself, in any table; a removed one must be added again.
            return NetworkChange.HOST if gone else None
        if route.table != rtnetlink.MAIN_TABLE or route.flags & rtnetlink.CLONED:
            return None
        if route.protocol in _OF_DAEMONS and route.destination.prefixlen > 0:
            return NetworkChange.ROUTING
        key = ("route", route.destination, route.priority)
        return self._record(key, None if gone else route)

    def _rule(self, message: NetlinkMessage) -> NetworkChange | None:
        """Report a rule of others, which may decide about packets that are forwarded.

        uno adds its own itself; one that is removed must be added again.
        """
        about = rtnetlink.attributes(message.body, _RULE.size)
        is_added = message.kind == rtnetlink.NEWRULE
        is_own = about.get(_FRA_PROTOCOL) == bytes([_OWN])
        return None if is_own and is_added else NetworkChange.HOST

    def _link(self, message: NetlinkMessage) -> NetworkChange | None:
        family, _, _, index, flags, _ = _LINK.unpack_from(message.body)
        if family != socket.AF_UNSPEC:
            # AF_BRIDGE: ports of a bridge.
            return None
        attributes = rtnetlink.attributes(message.body, _LINK.size)
        alias = attributes.get(_IFALIAS, b"")
        now = (
            flags & _STATE,
            attributes.get(_IFNAME),
            attributes.get(_MTU),
            attributes.get(_OPERSTATE),
            alias if alias.startswith(_OWN_ALIAS) else None,
        )
        return self._record(("link", index), None if message.kind == rtnetlink.DELLINK else now)

    def _address(self, message: NetlinkMessage) -> NetworkChange | None:
        _, length, flags, _, index = _ADDRESS.unpack_from(message.body)
        attributes = rtnetlink.attributes(message.body, _ADDRESS.size)
        address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        gone = message.kind == rtnetlink.DELADDR
        return self._record(
            ("address", index, address, length), None if gone else flags & _DUPLICATE
        )

    def _parameters(self, message: NetlinkMessage) -> NetworkChange | None:
        """Compare the parameters of an interface, or of all; the others have no notification."""
        (family,) = _NETCONF.unpack_from(message.body)
        found = rtnetlink.attributes(message.body, _NETCONF.size)
        kinds = (_NETCONFA_FORWARDING, _NETCONFA_RP_FILTER)
        index = found.get(_NETCONFA_IFINDEX)
        changes = [
            self._record(("parameter", family, index, kind), found[kind])
            for kind in kinds
            if kind in found
        ]
        return NetworkChange.HOST if any(changes) else None

    def _record(self, key: object, now: object) -> NetworkChange | None:
        """Record the state of an object, None for removed; return HOST if it changed.

        The kernel sends notifications without a change: for every router advertisement, for every
        scan of a radio.
        """
        if now is None:
            self._known.pop(key, None)
            return NetworkChange.HOST
        if self._known.get(key) == now:
            return None
        self._known[key] = now
        return NetworkChange.HOST


def _lost(error: OSError) -> set[NetworkChange]:
    """Return every kind of change after ENOBUFS: notifications were lost (netlink(7))."""
    if error.errno != errno.ENOBUFS:
        raise error
    return set(NetworkChange)
