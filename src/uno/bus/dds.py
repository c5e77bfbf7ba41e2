"""The common part of the DDS adapters: sessions, and the hand-over of events to the event loop.

An adapter implements `Session`: one participant in a DDS domain, from creation to deletion. A
participant cannot be reconfigured, so another configuration is another session, in which all
subscriptions and writes are repeated.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import Envelope
from uno.ports.bus import (
    BusConfig,
    BusEvent,
    Channel,
    Presence,
    Received,
    Topic,
    ports,
)
from uno.statesync.bodies import BODY_LIMIT

_log = logging.getLogger(__name__)

# RTPS lease of a participant: seconds without a packet after which others remove it.
PARTICIPANT_LEASE = 10
# Liveliness lease of a writer: seconds after which a silent writer counts as gone.
WRITER_LEASE = 5
# Seconds between two announcements to each peer (SPDP). Idle traffic follows from it.
DISCOVERY_INTERVAL = 2
# Links carry at least 1280 bytes (RFC 8200, section 5), of which 28 are IPv4's and UDP's headers.
DATAGRAM = 1280 - 28

# The most seconds to wait for acknowledgements of the last writes when leaving.
LINGER = 1.0

# Samples that a session takes before it hands them over.
BATCH = 64

# Samples of one subject that a reader keeps until they are taken. Several neighbours relay each
# advertisement; with a depth of 1, an older copy from a slow one would replace the newest.
READER_DEPTH = 16

# Subjects that a session receives. DDS keeps an instance of some hundred bytes for each, as long as
# the participant that has written about it is there. Limits of DDS on instances are of no use:
# Cyclone then stops the delivery from all writers until there is room.
MAX_SUBJECTS = 5000


def reader_depth(topic: Topic) -> int:
    """Return the history depth of a reader. A package is large, and has one writer."""
    return 1 if topic is Topic.OFFER else READER_DEPTH


Post: TypeAlias = Callable[[Sequence[BusEvent]], bool]


class Session(Protocol):
    """A participant in a DDS domain. One thread calls all methods."""

    def subscribe(self, channel: Channel) -> None:
        """Create a reader of a channel."""
        ...

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write to a channel; the first write creates the writer."""
        ...

    def withdraw(self, channel: Channel, envelope: Envelope) -> None:
        """Dispose of one of the envelopes written to a channel."""
        ...

    def delete_writer(self, channel: Channel) -> None:
        """Delete the writer of a channel with all that it wrote."""
        ...

    def close(self, *, within: float) -> None:
        """Delete the participant. Nothing is posted after this returns.

        Waits up to `within` seconds for acknowledgements of what was written.
        """
        ...


class DdsBus:
    """`ports.bus.Bus` on sessions that `opening` opens.

    `opening` takes the configuration and a function to post events. That function can be called in
    any thread; it blocks until the event loop has taken the events, and returns whether it has.
    Meanwhile DDS keeps only the newest samples of each subject, so that memory is bounded.
    """

    def __init__(self, opening: Callable[[BusConfig, Post], Session]) -> None:
        """Start without a session."""
        self._opening = opening
        self._config: BusConfig | None = None
        self._session: Session | None = None
        self._mailbox: _Mailbox | None = None
        self._deliver: Callable[[BusEvent], None] | None = None
        self._channels: dict[Channel, None] = {}
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._reported: dict[Channel, int] = {}
        self._alive: dict[Channel, int] = {}
        self._subjects: set[tuple[Channel, int]] = set()
        self._unsettled: set[Channel] = set()
        self._settling: asyncio.TimerHandle | None = None

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Join the bus with `config`; no effect if joined with an equal one."""
        self._deliver = deliver
        if self._session is not None and config == self._config:
            return
        # The new session writes everything again, so there is nothing to wait for.
        self._leave(within=0.0)
        loop = asyncio.get_running_loop()
        mailbox = _Mailbox(loop, self._receive)
        self._session = self._opening(config, mailbox.post)
        self._mailbox, self._config = mailbox, config
        try:
            self._resume(self._session)
        except UnoError:
            self._leave(within=0.0)
            raise
        # Writers that were present reappear one by one: absence is reported after their lease.
        self._unsettled = {channel for channel, alive in self._reported.items() if alive}
        self._settling = loop.call_later(WRITER_LEASE, self._settle)

    def rejoin(self) -> None:
        """Leave and join again with a new participant, which has no state of others."""
        if self._config is not None and self._deliver is not None:
            config, self._config = self._config, None
            self.configure(config, self._deliver)

    def subscribe(self, channel: Channel) -> None:
        """Deliver what is on a channel from now on; no effect if subscribed."""
        if channel not in self._channels:
            self._channels[channel] = None
            if self._session is not None:
                self._session.subscribe(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its subject on a channel, without blocking."""
        if len(envelope.body) > BODY_LIMIT:
            raise ActionNeeded(
                f"a message of {len(envelope.body):,} bytes is too large for the bus",
                f"the limit is {BODY_LIMIT:,} bytes: split the UVN, or declare fewer cells or LANs",
            )
        self._written.setdefault(channel, {})[envelope.subject] = envelope
        if self._session is not None:
            self._session.write(channel, envelope)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Withdraw what was written about a subject, so that later readers do not receive it."""
        written = self._written.get(channel, {})
        envelope = written.pop(subject, None)
        if envelope is None:
            return
        if not written:
            del self._written[channel]
        if self._session is None:
            return
        if written:
            self._session.withdraw(channel, envelope)
        else:
            self._session.delete_writer(channel)

    def close(self) -> None:
        """Leave the bus; other nodes are notified."""
        self._leave(within=LINGER)

    def _leave(self, *, within: float) -> None:
        if self._settling is not None:
            self._settling.cancel()
        if self._mailbox is not None:
            self._mailbox.close()
        if self._session is not None:
            self._session.close(within=within)
        self._session = self._mailbox = self._config = self._settling = None
        self._alive.clear()
        self._subjects.clear()

    def _resume(self, session: Session) -> None:
        for channel in self._channels:
            session.subscribe(channel)
        for channel, envelopes in self._written.items():
            for envelope in envelopes.values():
                session.write(channel, envelope)

    def _receive(self, event: BusEvent) -> None:
        if not isinstance(event, Presence):
            self._forward(event)
            self._note_subject(event)
            return
        self._alive[event.channel] = event.alive
        if event.alive >= self._reported.get(event.channel, 0):
            self._unsettled.discard(event.channel)
        if event.channel not in self._unsettled:
            self._report(event.channel)

    def _note_subject(self, event: Received) -> None:
        """Count the subjects of this session, and begin another when they are too many."""
        self._subjects.add((event.channel, event.envelope.subject))
        if len(self._subjects) <= MAX_SUBJECTS:
            return
        _log.warning("joining the bus again: a node writes about %d subjects", MAX_SUBJECTS)
        try:
            self.rejoin()
        except UnoError as error:
            # The agent joins again at its next pass.
            _log.warning("%s", error)

    def _settle(self) -> None:
        unsettled, self._unsettled = self._unsettled, set()
        for channel in unsettled:
            self._report(channel)

    def _report(self, channel: Channel) -> None:
        alive = self._alive.get(channel, 0)
        if alive != self._reported.get(channel, 0):
            self._reported[channel] = alive
            self._forward(Presence(channel, alive))

    def _forward(self, event: BusEvent) -> None:
        if self._deliver is not None:
            self._deliver(event)


class _Mailbox:
    """Hands events from the thread of a session to an event loop, one batch at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, receive: Callable[[BusEvent], None]
    ) -> None:
        self._loop = loop
        self._receive = receive
        self._taken = threading.Event()
        self._closed = False

    def post(self, events: Sequence[BusEvent]) -> bool:
        """Wait until the event loop has received `events`; return whether it has."""
        self._taken.clear()
        if self._closed:
            return False
        try:
            self._loop.call_soon_threadsafe(self._empty, events)
        except RuntimeError:  # the loop was closed before the bus
            return False
        self._taken.wait()
        return not self._closed

    def close(self) -> None:
        """Drop further events, and release a thread that waits."""
        self._closed = True
        self._taken.set()

    def _empty(self, events: Sequence[BusEvent]) -> None:
        try:
            for event in events:
                # An event may lead to the bus being closed or reconfigured.
                if not self._closed:
                    self._receive(event)
        finally:
            self._taken.set()


def cannot_open(config: BusConfig, message: str) -> UnoError:
    """Return the error for a participant that DDS cannot create, with the cause if it is known."""
    if not _can_bind(str(config.address), 0):
        return TransientFailure(
            f"the bus cannot be joined: no interface of this host has the address {config.address}",
            "bring the host's part of the UVN up first: `uno service up`",
        )
    taken = [port for port in ports(config.domain, config.index) if not _can_bind("", port)]
    if taken:
        return ActionNeeded(
            f"the bus cannot be joined: UDP port {taken[0]} is in use on this host",
            f"find the process with: ss -lnup 'sport = :{taken[0]}'; it may be another agent of the"
            " UVN, or one of another UVN with the same dds_domain",
        )
    return TransientFailure(f"the bus cannot be joined: {message}")


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
