"""The bus as agents see it: the newest envelope of every channel and cell, and who is there.

A channel is a topic and a partition. Who writes to a channel and who reads from it find each other
if both are on the bus; a reader gets the newest envelope of each `about` that each writer has
written, also when it comes later than the writer, and may get it again. Nothing that is written is
ever waited for: a newer envelope takes the place of the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Protocol, TypeAlias

from uno.model.messages import Envelope


class Topic(StrEnum):
    """What is talked about; the names on the wire."""

    UVN = "uno/uvn"
    STATUS = "uno/status"
    OFFER = "uno/offer"
    ACTIVATION = "uno/activation"
    ACK = "uno/ack"


OWN = "own"
"""The partition of what the writer itself is the author of."""

RELAY = "relay"
"""The partition in which cells pass on what others said, to other cells."""

FOR_REGISTRY = "for-registry"
"""The partition in which cells pass on to the registry what it does not hear itself."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic and a partition of it."""

    topic: Topic
    partition: str = OWN


def offers_for(cell: int) -> Channel:
    """The channel of packages for a cell."""
    return Channel(Topic.OFFER, f"cell-{cell}")


def offers_near(cell: int) -> Channel:
    """The channel of packages for a cell that its neighbours are to pass on to it."""
    return Channel(Topic.OFFER, f"near-{cell}")


# Participant indices (RTPS 2.5, section 9.6.2.3), which ports follow from. They differ, so that the
# registry and a cell can share a host.
CELL_INDEX = 0
REGISTRY_INDEX = 1


@dataclass(frozen=True, slots=True, order=True)
class BusPeer:
    """Where another participant is: its address and index."""

    address: IPv4Address
    index: int = CELL_INDEX


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Files of DDS Security 1.1: paths of PEM and signed documents, of one participant."""

    identity_ca: str
    permissions_ca: str
    certificate: str
    private_key: str
    governance: str
    permissions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """How a node is on the bus.

    `address` is its stable address, which has to be on an interface already; `tag` keeps other
    UVNs out of sight. `licence` is the path of a licence file, for a middleware that needs one.
    """

    domain: int
    address: IPv4Address
    tag: str
    index: int = CELL_INDEX
    peers: tuple[BusPeer, ...] = ()
    security: Security | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """An envelope, as it came; nobody has verified it."""

    channel: Channel
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Presence:
    """How many writers of a channel are there now."""

    channel: Channel
    alive: int


BusEvent: TypeAlias = Received | Presence


def ports(domain: int, index: int) -> tuple[int, int]:
    """Return the UDP ports of a participant: of discovery, of data (RTPS 2.5, section 9.6.2.3)."""
    base = 7400 + 250 * domain + 10 + 2 * index
    return base, base + 1


class Bus(Protocol):
    """A node's connection to all others. Not thread-safe: for one event loop."""

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Be on the bus as `config` says; nothing if it does already.

        What was subscribed and written before is so again. `deliver` is called in the running event
        loop. Raises `UnoError`, and then the node is not on the bus.
        """
        ...

    def rejoin(self) -> None:
        """Leave and join again with the same configuration; nothing if the node is not on the bus.

        What is said again is delivered again. For a node that hears nothing of others that it
        should hear, since forged RTPS messages can make DDS take what is new for old. Raises as
        `configure` does.
        """
        ...

    def subscribe(self, channel: Channel) -> None:
        """Have what is on a channel delivered."""
        ...

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its `about` on a channel. Does not wait."""
        ...

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Take back what was written about `about`, so that nobody who comes later gets it."""
        ...

    def close(self) -> None:
        """Leave, and have everybody see it."""
        ...
