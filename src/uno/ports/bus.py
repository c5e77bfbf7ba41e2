"""The bus: the newest envelope of each channel and subject, and the presence of its writers.

A channel is a topic and a partition of it. A reader receives the newest envelope of each subject
from each writer of the channel, also if it joins after the writer, and may receive it again. A bus
may leave out what its `Lacks` denies. A write does not block: a newer envelope replaces one that
has not been sent.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Protocol, TypeAlias

from msgspec import Struct

from uno.model.messages import Envelope
from uno.model.plan import BusPlan
from uno.model.uvn import Middleware


class Topic(StrEnum):
    """The topics; the values are their names on the wire."""

    UVN = "uno/uvn"
    STATUS = "uno/status"
    OFFER = "uno/offer"
    ACTIVATION = "uno/activation"
    ACK = "uno/ack"
    TRUST = "uno/trust"
    DIRECTORY = "uno/directory"
    HELLO = "uno/hello"
    HEARTBEAT = "uno/heartbeat"


OWN = "own"
"""The partition of what the writer originates."""

RELAY = "relay"
"""The partition of what cells relay to other cells."""

FOR_REGISTRY = "for-registry"
"""The partition of what cells relay to the registry, from cells that it cannot reach."""


class Channel(Struct, frozen=True):
    """A topic and a partition of it."""

    topic: Topic
    partition: str = OWN


class EnvelopeDigest(Struct, frozen=True):
    """What identifies an envelope: `mark` is the beginning of its signature."""

    subject: int
    kind: int
    sequence: int
    mark: bytes


MARK_SIZE = 8
"""Octets of a mark."""

Lacks: TypeAlias = Callable[[Channel, EnvelopeDigest], bool]
"""Whether a reader lacks an envelope of a channel."""


def digest_of(envelope: Envelope) -> EnvelopeDigest:
    """Return the digest of an envelope."""
    mark = envelope.signature[:MARK_SIZE].ljust(MARK_SIZE, b"\0")
    return EnvelopeDigest(envelope.subject, envelope.kind, envelope.sequence, mark)


ANNOUNCEMENTS = Channel(Topic.UVN)
"""The registry's own announcements: it is present as long as this channel has a writer."""


def offers_for(cell: int) -> Channel:
    """The channel of packages for a cell."""
    return Channel(Topic.OFFER, f"cell-{cell}")


def offers_to_relay(cell: int) -> Channel:
    """The channel of packages for a cell that its neighbours relay to it."""
    return Channel(Topic.OFFER, f"relay-{cell}")


# Participant indices, from which the ports follow (RTPS 2.5, section 9.6.2.3). Two of them, so
# that the registry and a cell can share a host.
CELL_INDEX = 0
REGISTRY_INDEX = 1


class BusPeer(Struct, frozen=True, order=True):
    """The address and index of another participant; `metered` is one that is seldom pinged."""

    address: IPv4Address
    index: int = CELL_INDEX
    metered: bool = False


class BusConfig(Struct, frozen=True, kw_only=True):
    """The participant of a node.

    `address` is the node's stable address, which an interface must have. `tag` separates UVNs that
    share a domain. `middleware` is the same for all nodes. With DDS one of two nodes needs the
    other among its `peers`, with TCP both do. `licence` is the path of a licence file, for a
    middleware that needs one.
    """

    domain: int
    address: IPv4Address
    tag: str
    middleware: Middleware = Middleware.CYCLONE
    index: int = CELL_INDEX
    peers: tuple[BusPeer, ...] = ()
    licence: str | None = None


class Received(Struct, frozen=True):
    """An envelope as received; not verified."""

    channel: Channel
    envelope: Envelope


class Presence(Struct, frozen=True):
    """The number of writers of a channel that are present, after a change."""

    channel: Channel
    alive: int


BusEvent: TypeAlias = Received | Presence


def ports(domain: int, index: int) -> tuple[int, int]:
    """Return the UDP ports of a participant: of discovery, of data (RTPS 2.5, section 9.6.2.3)."""
    base = 7400 + 250 * domain + 10 + 2 * index
    return base, base + 1


def tcp_port(domain: int, index: int) -> int:
    """Return the TCP port of a participant: the number of its first UDP port."""
    return ports(domain, index)[0]


def listening(bus: BusPlan, index: int) -> tuple[int, ...]:
    """Return the ports that a node listens on: TCP or UDP, as the middleware has it."""
    if bus.middleware is Middleware.TCP:
        return (tcp_port(bus.domain, index),)
    return ports(bus.domain, index)


class Bus(Protocol):
    """A node's connection to all others. Not thread-safe: for one event loop."""

    @property
    def problem(self) -> str:
        """Why the node is not on the bus, though it has joined; empty while it is.

        The bus mends by itself what it reports here; it then writes and delivers everything again.
        """
        ...

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Join the bus with `config`; no effect if the node has joined with an equal one.

        Earlier subscriptions and writes are repeated. `deliver` is called in the running event
        loop. Raises `UnoError`; the node has then left the bus. What fails later is a `problem`.
        """
        ...

    def rejoin(self) -> None:
        """Leave and join again with the same configuration; no effect if the node has not joined.

        The newest envelopes are delivered again. Forged RTPS messages can make DDS discard new
        messages as duplicates; a new participant has none of that state. Raises as `configure`.
        """
        ...

    def subscribe(self, channel: Channel, lacks: Lacks | None = None) -> None:
        """Deliver what is on a channel from now on; no effect if subscribed.

        What a writer has written before need not be delivered unless the reader `lacks` it.
        """
        ...

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its subject on a channel, without blocking."""
        ...

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Withdraw what was written about a subject, so that later readers do not receive it."""
        ...

    def close(self) -> None:
        """Leave the bus; other nodes are notified."""
        ...
