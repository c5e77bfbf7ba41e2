"""Publishes the registry's messages on the bus: signed, numbered, and only when they change."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from uno.diagnostics import ActionNeeded
from uno.model import codec
from uno.model.messages import REGISTRY, Activation, Envelope, HelloMessage, Kind, UvnAnnouncement
from uno.model.trust import TrustUpdate
from uno.ports.bus import Channel, Topic, offers_for, offers_to_relay
from uno.statesync import envelope
from uno.statesync.timers import HELLO_INTERVAL, REFRESH_INTERVAL, ROLLOUT_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from uno.model.network_directory import Directory
    from uno.ports.bus import Bus
    from uno.statesync.sequence import Sequence

_log = logging.getLogger(__name__)

# Jumps of the sequence in a minute from which on a second agent must be the cause.
_JUMPS, _MINUTE = 3, 60.0

# Seconds between two announcements that differ in text for people alone.
_TEXT_INTERVAL = 1.0


class AnotherRegistry(ActionNeeded):
    """A second agent of this registry is running: one of the two must end."""


class DuplicateRegistry:
    """Detects a second agent of this registry, which uses the same sequence numbers."""

    def __init__(self) -> None:
        """Start without jumps."""
        self._jumps: deque[float] = deque(maxlen=_JUMPS)

    def note_jump(self, *, now: float) -> None:
        """Note that cells hold a higher sequence number than this process has used.

        One jump follows the restore of a backup. `now` is of a monotonic clock, in seconds. Raises
        `AnotherRegistry` for too many jumps in a minute.
        """
        if len(self._jumps) == _JUMPS and now - self._jumps[0] < _MINUTE:
            raise AnotherRegistry(
                "another agent of this registry is running: cells receive its messages as well",
                "end the agent or the uno sync of the other copy, and keep one of the two",
            )
        self._jumps.append(now)
        _log.warning("cells hold newer messages of this registry: was it restored from a backup?")


class _Offer(Struct, frozen=True):
    content: str
    envelope: Envelope
    near: bool


class Publisher:
    """The registry's messages on the bus: trust, announcement, activation, directory, offers.

    `trust` is the statement that was published last, an empty one before the first.
    """

    def __init__(
        self, bus: Bus, *, identity: str, sign: Callable[[bytes], bytes], sequence: Sequence
    ) -> None:
        """Publish nothing yet."""
        self._bus = bus
        self._identity = identity
        self._sign = sign
        self._sequence = sequence
        self._announced: UvnAnnouncement | None = None
        self._announced_at = self._sent_at = 0.0
        self._announced_as = 0
        self._activation: Activation | None = None
        self._directory: Directory | None = None
        self.trust = TrustUpdate()
        self._offers: dict[int, _Offer] = {}

    def announce(
        self, announcement: UvnAnnouncement, *, now: float, is_final: bool = False
    ) -> None:
        """Publish the announcement if it has changed, and every `REFRESH_INTERVAL`.

        During a rollout it is published every `ROLLOUT_INTERVAL`. A change of its text for people
        alone is delayed, unless the announcement `is_final`. After each `HELLO_INTERVAL` without an
        announcement cells receive a heartbeat.
        """
        before, age = self._announced, now - self._announced_at
        interval = ROLLOUT_INTERVAL if announcement.rollout else REFRESH_INTERVAL
        if before is not None and age < interval:
            is_same = replace(announcement, rollout="") == replace(before, rollout="")
            is_delayed = is_same and age < _TEXT_INTERVAL and not is_final
            if announcement == before or is_delayed:
                self._beat(now)
                return
        self._announced, self._announced_at, self._sent_at = announcement, now, now
        self._announced_as = self._publish(Topic.UVN, Kind.UVN, codec.encode(announcement))

    def _beat(self, now: float) -> None:
        """Publish a heartbeat if it is due."""
        if now - self._sent_at >= HELLO_INTERVAL:
            self._sent_at = now
            body = codec.encode(HelloMessage(newest=self._announced_as))
            self._publish(Topic.HEARTBEAT, Kind.HEARTBEAT, body)

    def refresh(self, *, now: float) -> None:
        """Publish a heartbeat, or the announcement, if due: a silent registry counts as gone."""
        if self._announced is not None:
            self.announce(self._announced, now=now)

    def activate(self, activation: Activation | None) -> None:
        """Publish an activation if it is another; None leaves the earlier one in force."""
        if activation is not None and activation != self._activation:
            self._activation = activation
            self._publish(Topic.ACTIVATION, Kind.ACTIVATION, codec.encode(activation))

    def state_trust(self, update: TrustUpdate) -> None:
        """Publish the statement on trust if it is another; an empty one states nothing."""
        if update != self.trust:
            self.trust = update
            self._publish(Topic.TRUST, Kind.TRUST, codec.encode(update))

    def publish_directory(self, directory: Directory) -> None:
        """Publish the public facts of the registry if they are others."""
        if directory != self._directory:
            self._directory = directory
            self._publish(Topic.DIRECTORY, Kind.DIRECTORY, codec.encode(directory))

    def sign_with(self, sign: Callable[[bytes], bytes], update: TrustUpdate) -> None:
        """Sign with another key of the registry, to which the chain in `update` leads."""
        self._sign, self.trust = sign, update
        self.republish()

    def offer(
        self, cell: int, content: str, make: Callable[[], bytes], *, near: bool, since: int = 0
    ) -> None:
        """Offer a cell its package, which `make` seals; with `near`, through its neighbours too.

        `content` identifies the package. The same one is not sealed again, unless its offer has a
        sequence below `since`: the ack of that offer would not count.
        """
        known = self._offers.get(cell)
        if known is None or known.content != content or known.envelope.sequence < since:
            self.withdraw(cell)
            made = self._signed(Kind.OFFER, make(), subject=cell)
            self._bus.write(offers_for(cell), made)
            known = _Offer(content, made, near=False)
        if near and not known.near:
            self._bus.write(offers_to_relay(cell), known.envelope)
        elif known.near and not near:
            self._bus.withdraw(offers_to_relay(cell), cell)
        self._offers[cell] = _Offer(known.content, known.envelope, near)

    def withdraw(self, cell: int) -> None:
        """Withdraw the offer to a cell."""
        known = self._offers.pop(cell, None)
        if known is not None:
            self._bus.withdraw(offers_for(cell), cell)
        if known is not None and known.near:
            self._bus.withdraw(offers_to_relay(cell), cell)

    @property
    def offered(self) -> frozenset[int]:
        """The cells that have an offer."""
        return frozenset(self._offers)

    def republish(self) -> None:
        """Publish everything anew: with their old sequences cells took the messages for old."""
        self._announced = None
        trust, self.trust = self.trust, TrustUpdate()
        self.state_trust(trust)
        directory, self._directory = self._directory, None
        if directory is not None:
            self.publish_directory(directory)
        activation, self._activation = self._activation, None
        self.activate(activation)
        for cell in self.offered:
            self.withdraw(cell)

    def _publish(self, topic: Topic, kind: Kind, body: bytes) -> int:
        """Publish a message to all cells, and return its sequence."""
        made = self._signed(kind, body, subject=REGISTRY)
        self._bus.write(Channel(topic), made)
        return made.sequence

    def _signed(self, kind: Kind, body: bytes, *, subject: int) -> Envelope:
        plain = Envelope(
            subject=subject,
            kind=kind,
            sequence=self._sequence.next(),
            relayed_by=REGISTRY,
            body=body,
            signature=b"",
        )
        return envelope.signed(plain, identity=self._identity, sign=self._sign)
