"""A participant of a DDS implementation: what the adapter of a vendor implements.

A participant cannot be reconfigured, so another configuration is another session, in which all
subscriptions and writes are repeated. `bus.child` has the session; this and what it imports is all
of uno that is in the process which parses datagrams of others.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import Envelope
from uno.model.uvn import Middleware
from uno.ports.bus import BusConfig, BusEvent, Channel, Topic, ports

LICENCE_VARIABLE = "RTI_LICENSE_FILE"

# RTPS lease of a participant: seconds without a packet after which others remove it.
PARTICIPANT_LEASE = 10
# Liveliness lease of a writer: seconds after which a silent writer counts as gone.
WRITER_LEASE = 5
# That of the registry's announcements, the presence of whose writer counts (`registry_presence`).
# A little shorter only: the more of it passes between two renewals, the sooner a busy host is late.
ANNOUNCEMENT_LEASE = 4.9
# Seconds between two announcements to each peer (SPDP). Idle traffic follows from it.
DISCOVERY_INTERVAL = 2
# Links carry at least 1280 bytes (RFC 8200, section 5), of which 28 are IPv4's and UDP's headers.
DATAGRAM = 1280 - 28

# Samples that a session takes before it hands them over.
BATCH = 64

# Samples of one subject that a reader keeps until they are taken. Several neighbours relay each
# advertisement; with a depth of 1, an older copy from a slow one would replace the newest.
READER_DEPTH = 16


def reader_depth(topic: Topic) -> int:
    """Return the history depth of a reader. A package is large, and has one writer."""
    return 1 if topic is Topic.OFFER else READER_DEPTH


def keyed(subject: int) -> Envelope:
    """Return an envelope that has the key of all about one subject, and nothing else."""
    return Envelope(subject=subject, kind=0, sequence=0, relayed_by=0, body=b"", signature=b"")


Post: TypeAlias = Callable[[Sequence[BusEvent]], bool]


class Session(Protocol):
    """A participant in a DDS domain. One thread calls all methods."""

    def subscribe(self, channel: Channel) -> None:
        """Create a reader of a channel."""
        ...

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write to a channel; the first write creates the writer."""
        ...

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Dispose of the envelope about a subject written to a channel."""
        ...

    def delete_writer(self, channel: Channel) -> None:
        """Delete the writer of a channel with all that it wrote."""
        ...

    def close(self, *, within: float) -> None:
        """Delete the participant. Nothing is posted after this returns.

        Waits up to `within` seconds for acknowledgements of what was written.
        """
        ...


def require_licence(config: BusConfig) -> None:
    """Raise `ActionNeeded` if the middleware needs a licence, and there is none."""
    if config.middleware is Middleware.CONNEXT and config.licence is None:
        raise ActionNeeded(
            "RTI Connext DDS has no licence on this host",
            f"set {LICENCE_VARIABLE} to the path of the licence file from RTI, or have the owner"
            " set `middleware: cyclone` for the UVN, which needs none",
        )


def cannot_open(config: BusConfig, message: str) -> UnoError:
    """Return the error for a participant that DDS cannot create, with the cause if it is known."""
    return obstacle(config) or TransientFailure(f"the bus cannot be joined: {message}")


def obstacle(config: BusConfig) -> UnoError | None:
    """Return why no participant can be created on this host at present, None if one can."""
    if not _can_bind(str(config.address), 0):
        return no_address(config)
    taken = [port for port in ports(config.domain, config.index) if not _can_bind("", port)]
    if not taken:
        return None
    return ActionNeeded(
        f"the bus cannot be joined: UDP port {taken[0]} is in use on this host",
        f"find the process with: ss -lnup 'sport = :{taken[0]}'; it may be another agent of the"
        " UVN, or one of another UVN with the same dds_domain",
    )


def no_address(config: BusConfig) -> UnoError:
    """Return the error for a node address that no interface has."""
    return TransientFailure(
        f"the bus cannot be joined: no interface of this host has the address {config.address}",
        "bring the host's part of the UVN up first: `uno service up`",
    )


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
