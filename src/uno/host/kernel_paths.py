"""Where the kernel sends packets of a LAN, as `ip route get DST from SRC iif NIC` shows it.

Sources: rtnetlink(7), ip-route(8). The kernel takes all rules and tables into account.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress

from uno.diagnostics import UnoError
from uno.host.netlink import rtnetlink
from uno.model.net import Address
from uno.ports.host import KernelPath

_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")
# linux/rtnetlink.h
_DST, _SRC, _IIF, _OIF, _TABLE = 1, 2, 3, 4, 15
# RTM_F_LOOKUP_TABLE: the answer has the table that the route is in.
_LOOKUP_TABLE = 0x1000

# What the kernel answers for routes of types that have no interface (ip-route(8), TYPE).
_KINDS = {
    errno.EACCES: "prohibit",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EINVAL: "blackhole",
}


def kernel_path(destination: Address, *, source: Address, nic: str | None) -> KernelPath | None:
    """Return where a packet goes that comes in by `nic`, or that this host sends if it is None.

    None where the kernel does not take such a packet, as with a source that it does not expect.
    Raises `UnoError`.
    """
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    bits = destination.max_prefixlen
    body = _ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, _LOOKUP_TABLE)
    body += _attribute(_DST, destination.packed) + _attribute(_SRC, source.packed)
    try:
        if nic is not None:
            body += _attribute(_IIF, struct.pack("=I", socket.if_nametoindex(nic)))
        answer = rtnetlink.answered(rtnetlink.GETROUTE, body, family=socket.NETLINK_ROUTE)
    except OSError:
        # The interface has gone.
        return None
    except UnoError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _KINDS:
            return KernelPath(interface=None, kind=_KINDS[cause.errno])
        return None
    found = rtnetlink.attributes(answer.body, _ROUTE.size)
    name = None
    with suppress(OSError):
        name = socket.if_indextoname(rtnetlink.number(found, _OIF, 0))
    return KernelPath(interface=name, table=rtnetlink.number(found, _TABLE, answer.body[4]))


def _attribute(kind: int, content: bytes) -> bytes:
    # Addresses and numbers of interfaces are multiples of four octets, as netlink aligns them.
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content
