"""What every DDS adapter does alike: remember, open and close, and hand over to the event loop.

An adapter is a `Session`, which is a participant in a DDS domain from its first to its last moment.
Its settings cannot be changed while it lives, so that another configuration is another session, in
which all that was subscribed and written is so again.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import Envelope
from uno.ports.bus import BusConfig, BusEvent, Channel, Presence, Security, Topic, ports
from uno.statesync.envelope import BODY_LIMIT

# RTPS lease of a participant: who is not heard for so long is gone, in seconds.
PARTICIPANT_LEASE = 10
# How long until a writer that says nothing more counts as gone, in seconds.
WRITER_LEASE = 5
# How often those that are not there yet are called, in seconds. Idle traffic follows from it.
CALL_INTERVAL = 2
# Links carry at least 1280 bytes (RFC 8200, section 5), of which 28 are IPv4's and UDP's headers.
DATAGRAM = 1280 - 28

# Seconds at the most that what was said last may take to be heard by all when somebody leaves.
LINGER = 1.0

# What a session takes in at once before the event loop has to see it.
BATCH = 64

# How many statements about one cell wait to be taken: several neighbours pass on what it says, and
# of one that waits alone the newest would be lost when a neighbour comes that is behind.
UNREAD = 16


def unread(topic: Topic) -> int:
    """Return how many samples of one key a reader keeps. A package can be large, and is of one."""
    return 1 if topic is Topic.OFFER else UNREAD


Post: TypeAlias = Callable[[Sequence[BusEvent]], bool]


class Session(Protocol):
    """A participant in a DDS domain. All is called by one thread."""

    def subscribe(self, channel: Channel) -> None:
        """Read a channel."""
        ...

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Write to a channel."""
        ...

    def withdraw(self, channel: Channel, envelope: Envelope) -> None:
        """Take back one of the envelopes written to a channel."""
        ...

    def abandon(self, channel: Channel) -> None:
        """Stop being a writer of a channel, and take all back."""
        ...

    def close(self, *, within: float) -> None:
        """Leave. Nothing is posted any more when this returns.

        What was written and not heard by all has so many seconds to be.
        """
        ...


class DdsBus:
    """`ports.bus.Bus` by sessions that `opening` opens.

    `opening` gets the configuration and what to hand events over with: a function that can be
    called in any thread, waits until the event loop has taken them, and returns whether it did.
    Meanwhile DDS keeps what is newest of each cell, so that a flood takes no memory.
    """

    def __init__(self, opening: Callable[[BusConfig, Post], Session]) -> None:
        """Not be on the bus, yet."""
        self._opening = opening
        self._config: BusConfig | None = None
        self._session: Session | None = None
        self._mailbox: _Mailbox | None = None
        self._deliver: Callable[[BusEvent], None] | None = None
        self._channels: dict[Channel, None] = {}
        self._written: dict[Channel, dict[int, Envelope]] = {}
        self._told: dict[Channel, int] = {}
        self._alive: dict[Channel, int] = {}
        self._unsettled: set[Channel] = set()
        self._settling: asyncio.TimerHandle | None = None

    def configure(self, config: BusConfig, deliver: Callable[[BusEvent], None]) -> None:
        """Be on the bus as `config` says; nothing if it does already."""
        self._deliver = deliver
        if self._session is not None and config == self._config:
            return
        # All is written again, so that nobody has to have heard it.
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
        # Who was there before is not there at once, which is no news until there was time for it.
        self._unsettled = {channel for channel, alive in self._told.items() if alive}
        self._settling = loop.call_later(WRITER_LEASE, self._settle)

    def rejoin(self) -> None:
        """Leave and join again, as somebody else: what DDS remembers of others is forgotten."""
        if self._config is not None and self._deliver is not None:
            config, self._config = self._config, None
            self.configure(config, self._deliver)

    def subscribe(self, channel: Channel) -> None:
        """Have what is on a channel delivered."""
        if channel not in self._channels:
            self._channels[channel] = None
            if self._session is not None:
                self._session.subscribe(channel)

    def write(self, channel: Channel, envelope: Envelope) -> None:
        """Make `envelope` the newest of its `about` on a channel. Does not wait."""
        if len(envelope.body) > BODY_LIMIT:
            raise ActionNeeded(
                f"a message of {len(envelope.body):,} bytes is too large for the bus",
                f"at most {BODY_LIMIT:,} bytes can be sent at once: has the UVN grown so large?",
            )
        self._written.setdefault(channel, {})[envelope.subject] = envelope
        if self._session is not None:
            self._session.write(channel, envelope)

    def withdraw(self, channel: Channel, subject: int) -> None:
        """Take back what was written about `about`, so that nobody who comes later gets it."""
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
            self._session.abandon(channel)

    def close(self) -> None:
        """Leave, and have everybody see it."""
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

    def _resume(self, session: Session) -> None:
        for channel in self._channels:
            session.subscribe(channel)
        for channel, envelopes in self._written.items():
            for envelope in envelopes.values():
                session.write(channel, envelope)

    def _receive(self, event: BusEvent) -> None:
        if not isinstance(event, Presence):
            self._pass_on(event)
            return
        self._alive[event.channel] = event.alive
        if event.alive >= self._told.get(event.channel, 0):
            self._unsettled.discard(event.channel)
        if event.channel not in self._unsettled:
            self._tell(event.channel)

    def _settle(self) -> None:
        unsettled, self._unsettled = self._unsettled, set()
        for channel in unsettled:
            self._tell(channel)

    def _tell(self, channel: Channel) -> None:
        alive = self._alive.get(channel, 0)
        if alive != self._told.get(channel, 0):
            self._told[channel] = alive
            self._pass_on(Presence(channel, alive))

    def _pass_on(self, event: BusEvent) -> None:
        if self._deliver is not None:
            self._deliver(event)


class _Mailbox:
    """Hands events of a session's thread over to an event loop, one batch at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, receive: Callable[[BusEvent], None]
    ) -> None:
        self._loop = loop
        self._receive = receive
        self._taken = threading.Event()
        self._closed = False

    def post(self, events: Sequence[BusEvent]) -> bool:
        """Have `events` received in the event loop, and wait for it; tell whether it happened."""
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
        """Let nothing more through, and nobody wait."""
        self._closed = True
        self._taken.set()

    def _empty(self, events: Sequence[BusEvent]) -> None:
        try:
            for event in events:
                # One of them may have the bus closed or configured anew.
                if not self._closed:
                    self._receive(event)
        finally:
            self._taken.set()


def cannot_open(config: BusConfig, said: str) -> UnoError:
    """Return why a DDS that said `said` could not be opened, as far as that can be found out."""
    if not _can_bind(str(config.address), 0):
        return TransientFailure(
            f"the bus cannot be joined: no interface of this host has the address {config.address}",
            "bring the host's part of the UVN up first: `uno service up`",
        )
    taken = [port for port in ports(config.domain, config.index) if not _can_bind("", port)]
    if taken:
        return ActionNeeded(
            f"the bus cannot be joined: UDP port {taken[0]} is in use on this host",
            f"`ss -lnup 'sport = :{taken[0]}'` tells by what; it may be another agent of the UVN,"
            " or another UVN's with the same dds_domain",
        )
    return TransientFailure(f"the bus cannot be joined: {said}")


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def secured(files: Security) -> Iterator[tuple[str, str]]:
    """Return the properties of DDS Security 1.1 (section 8.1 and tables 42 and 56) for `files`."""
    for name, path in (
        ("auth.identity_ca", files.identity_ca),
        ("auth.private_key", files.private_key),
        ("auth.identity_certificate", files.certificate),
        ("access.permissions_ca", files.permissions_ca),
        ("access.governance", files.governance),
        ("access.permissions", files.permissions),
    ):
        yield f"dds.sec.{name}", f"file:{path}"
