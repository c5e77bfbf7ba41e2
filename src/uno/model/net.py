"""Addresses and networks of either family, as types."""

from __future__ import annotations

import hashlib
from abc import ABC
from functools import lru_cache
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    NetmaskValueError,
)
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Address: TypeAlias = IPv4Address | IPv6Address
    Network: TypeAlias = IPv4Network | IPv6Network
else:
    # One class at run time, because msgspec allows one custom type in a union.
    class Address(ABC):  # noqa: B024
        """An IPv4 or IPv6 address."""

    class Network(ABC):  # noqa: B024
        """An IPv4 or IPv6 network."""

    Address.register(IPv4Address)
    Address.register(IPv6Address)
    Network.register(IPv4Network)
    Network.register(IPv6Network)


def address(text: str) -> Address:
    """Read an address. Raises ValueError with a sentence for people."""
    family = IPv6Address if ":" in text else IPv4Address
    try:
        return family(text)
    except AddressValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error


def network(text: str) -> Network:
    """Read a network in CIDR notation; host bits must be zero, and the prefix length is required.

    Raises ValueError with a sentence for people.
    """
    if "/" not in text:
        raise ValueError(_without_length(text))
    family = IPv6Network if ":" in text else IPv4Network
    try:
        return family(text, strict=True)
    except (AddressValueError, NetmaskValueError) as error:
        raise ValueError(
            f"{text!r} is not a network in CIDR notation, such as 192.168.1.0/24"
        ) from error
    except ValueError as error:
        raise ValueError(f"{text} has host bits set; write {family(text, strict=False)}") from error


def ula(identity: str) -> IPv6Network:
    """Return the unique local /48 of a UVN.

    RFC 4193 section 3.2.2 takes the global id from the last 40 bits of a hash of something unique.
    """
    digest = hashlib.sha256(identity.encode()).digest()
    return IPv6Network((b"\xfd" + digest[-5:] + bytes(10), 48))


# The same few thousand are written again and again: in every message, rule and package.
@lru_cache(maxsize=8192)
def written(item: Address | Network) -> str:
    """Return the text of an address or a network."""
    return str(item)


def network_order(item: Network) -> tuple[int, int, int]:
    """Sort key for networks of both families: IPv4 first, then by address, then by length."""
    return item.version, int(item.network_address), item.prefixlen


def overlap(one: Network, other: Network) -> bool:
    """Whether two networks share an address; networks of different families never do."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def _without_length(text: str) -> str:
    """Return what is wrong with a network that has no prefix length, and what it may be."""
    try:
        found = address(text)
    except ValueError:
        return f"{text!r} is not a network in CIDR notation, such as 192.168.1.0/24"
    # The most usual LANs: a /24, and the one subnet that SLAAC works in (RFC 7421).
    length = 24 if isinstance(found, IPv4Address) else 64
    family = IPv4Network if isinstance(found, IPv4Address) else IPv6Network
    guess = family((int(found), length), strict=False)
    return f"{text!r} has no prefix length; add it, as in {guess}"
