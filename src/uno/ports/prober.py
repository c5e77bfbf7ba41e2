"""Reachability probes: round-trip time, loss, path MTU of each target; proof of forwarding."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address
from typing import Protocol, TypeAlias

from msgspec import Struct

from uno.model.net import Address


class ProbeTarget(Struct, frozen=True, kw_only=True):
    """An address to probe, and the source address of its probes.

    An `adjacent` target is the other end of a link: it is probed more often, and with packets of
    up to `mtu` bytes, if given. A `metered` target is probed seldom.
    """

    address: IPv4Address
    source: IPv4Address
    adjacent: bool = False
    mtu: int | None = None
    metered: bool = False


class ProbeResult(Struct, frozen=True, kw_only=True):
    """The result of the last probes of a target.

    `rtt` is in milliseconds, None if none of the newest probes was answered. `loss` is a share
    from 0 to 1, None before the first result. `mtu` is the size of the largest IP packet that was
    answered, in bytes, None if unknown. `last_answered` is when the newest answered probe was sent,
    in seconds of the prober's clock.
    """

    rtt: float | None = None
    loss: float | None = None
    mtu: int | None = None
    last_answered: float | None = None


# By address of the target.
ProbeResults: TypeAlias = Mapping[IPv4Address, ProbeResult]


class Prober(Protocol):
    """Probes its targets while it runs. For one event loop."""

    def set_targets(self, targets: Iterable[ProbeTarget]) -> None:
        """Probe these targets and no others; results of targets that remain are kept."""
        ...

    def set_watched(self, *, watched: bool) -> None:
        """Probe often, since someone watches the results, or seldom."""
        ...

    def reset_backoff(self) -> None:
        """Probe all targets soon, those that do not answer first: the network has changed."""
        ...

    def probe_now(self, addresses: Iterable[IPv4Address]) -> None:
        """Probe the targets with these addresses at once, whether or not they answer.

        When all of them have answered, the prober reports a change.
        """
        ...

    def restart(self, addresses: Iterable[IPv4Address]) -> None:
        """Forget what was lost on the way to these targets, and probe them at once.

        The way to them was down, and works again.
        """
        ...

    def results(self) -> ProbeResults:
        """Return the result of each target."""
        ...

    async def run(self) -> None:
        """Probe until cancelled. Raises `UnoError` where raw sockets are not permitted."""
        ...


class ForwardingProbe(Struct, frozen=True, kw_only=True):
    """An ICMP echo request of `size` octets with its IP header, which is never fragmented.

    It passes through this host as a packet does that a host of the LAN on `interface` has sent.
    Where that is None, this host sends it itself.
    """

    interface: str | None
    source: Address
    destination: Address
    size: int


class ForwardingProber(Protocol):
    """Sends probes through this host as hosts of its LANs would. For one event loop."""

    def prepare(self, interfaces: tuple[str, ...]) -> bool:
        """Make ready to probe from the LANs on these interfaces, and to answer others' probes.

        Return whether something for it was missing. Blocks. Without interfaces, everything is
        released. Raises `UnoError` where the host does not permit it.
        """
        ...

    async def probe(
        self, probes: Collection[ForwardingProbe], *, waits: Iterable[float]
    ) -> frozenset[ForwardingProbe]:
        """Send these, and return those that were answered.

        `waits` are the seconds to wait after each sending: those without an answer are sent again.

        The answer to a forwarded one counts once the host has decided to send it to the LAN. It is
        not sent.
        """
        ...

    def close(self) -> None:
        """Release everything."""
        ...
