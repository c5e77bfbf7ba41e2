"""The configuration of WireGuard interfaces of the kernel, over generic netlink.

Sources: linux/wireguard.h, linux/genetlink.h. `wg` does the same, but is a program to start.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from msgspec import Struct

from uno.diagnostics import UnoError
from uno.host.netlink import rtnetlink

# linux/netlink.h and linux/genetlink.h: the family that names the others.
_GENERIC, _CONTROL = 16, 16
_GETFAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_HEADER = struct.Struct("=BBH")

# linux/wireguard.h
_NAME, _VERSION = b"wireguard", 1
_GET_DEVICE = 0
_IFNAME, _PEERS = 2, 8
_PUBLIC_KEY, _PRESHARED_KEY, _KEEPALIVE, _ALLOWED_IPS = 1, 2, 5, 9
# What neither packets nor roaming change of a peer.
_CONFIGURED = (_PRESHARED_KEY, _KEEPALIVE)

# What the kernel answers where it has no WireGuard, no interface of this name, or one of another
# driver.
_NONE_THERE = {errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP}


class KernelSettings(Struct, frozen=True):
    """An interface's own attributes, and those of each peer by its public key."""

    own: dict[int, bytes]
    peers: dict[bytes, dict[int, bytes]]

    def __repr__(self) -> str:
        """Show no keys."""
        return f"KernelSettings({len(self.peers)} peers)"


class KernelReader:
    """Reads the configuration of interfaces again and again."""

    def __init__(self) -> None:
        """Ask the kernel for the number of WireGuard's family when an interface is first read."""
        self._family: int | None = None

    def read(self, name: str) -> KernelSettings | None:
        """Return what `configured` does of an interface, None where there is none of the kernel's.

        Raises `UnoError`.
        """
        try:
            if self._family is None:
                self._family = family(_NAME)
            request = _request(_GET_DEVICE, _VERSION, _IFNAME, name.encode())
            response = rtnetlink.dumped(self._family, request, family=_GENERIC)
        except UnoError as error:
            # The number is another one once the module has been loaded again.
            self._family = None
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NONE_THERE:
                return None
            raise
        return configured(each.body for each in response)


def family(name: bytes) -> int:
    """Return the number of a family of generic netlink. Raises `UnoError` where there is none."""
    request = _request(_GETFAMILY, 1, _FAMILY_NAME, name)
    response = rtnetlink.answered(_CONTROL, request, family=_GENERIC)
    found = rtnetlink.attributes(response.body, _HEADER.size)
    return int.from_bytes(found[_FAMILY_ID], rtnetlink.BYTE_ORDER)


def configured(bodies: Iterable[bytes]) -> KernelSettings:
    """Return the settings in the messages of a response that neither packets nor roaming change.

    A message that is full is followed by one with more peers, and a peer by more of its allowed
    IPs: where the kernel parts them depends on what it has of each peer at the time.
    """
    own: dict[int, bytes] = {}
    peers: dict[bytes, dict[int, bytes]] = {}
    for body in bodies:
        found = rtnetlink.attributes(body, _HEADER.size)
        for _, each in rtnetlink.attribute_list(found.pop(_PEERS, b""), 0):
            _add(peers, rtnetlink.attributes(each, 0))
        own |= found
    return KernelSettings(own, peers)


def _add(peers: dict[bytes, dict[int, bytes]], found: dict[int, bytes]) -> None:
    peer = peers.setdefault(found.get(_PUBLIC_KEY, b""), {_ALLOWED_IPS: b""})
    peer |= {kind: found[kind] for kind in _CONFIGURED if kind in found}
    peer[_ALLOWED_IPS] += found.get(_ALLOWED_IPS, b"")


def _request(command: int, version: int, kind: int, text: bytes) -> bytes:
    """Return a request with one attribute, a text that ends with NUL."""
    return _HEADER.pack(command, version, 0) + rtnetlink.attribute(kind, text + b"\0")
