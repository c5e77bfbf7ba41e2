"""Probes through the network: who answers, how fast, how large a packet may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is probed, from which of this host's addresses.

    A `near` one is the other end of a link: it is probed more often, and with packets of up to
    `mtu` bytes, if given.
    """

    address: IPv4Address
    source: IPv4Address
    near: bool = False
    mtu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the last probes of a target came to.

    `rtt` is in milliseconds, and None if none of the newest was answered; `loss` is a share from 0
    to 1, None before the first result; `mtu` the largest IP packet in bytes that was answered,
    None if that was not found out. `heard` is when the newest of those that were answered was sent,
    in seconds of the prober's clock.
    """

    rtt: float | None = None
    loss: float | None = None
    mtu: int | None = None
    heard: float | None = None


# What is known of each target.
Results: TypeAlias = Mapping[IPv4Address, Measured]


class Prober(Protocol):
    """Probes its targets as long as it runs. For one event loop."""

    def aim(self, targets: Iterable[Target]) -> None:
        """Probe these from now on, and no others; what is known of those that stay is kept."""
        ...

    def hurry(self) -> None:
        """Probe soon whoever does not answer: the network has changed."""
        ...

    def call(self, addresses: Iterable[IPv4Address]) -> None:
        """Probe those of the targets that have these addresses now, whether or not they answer.

        When all have answered, that counts as a change, which whoever made the prober is told of.
        """
        ...

    def measured(self) -> Results:
        """Return what is known of each target."""
        ...

    async def run(self) -> None:
        """Probe until cancelled. Raises `UnoError` where the host does not let us."""
        ...
