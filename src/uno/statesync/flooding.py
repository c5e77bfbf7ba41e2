"""Flooding of advertisements among cells, as in RFC 2328, section 13. Pure.

A cell verifies each advertisement and floods those that are newer than its own copy, so that all
cells converge on the same state, also without the registry. Statuses are queued and flooded
together, those of cells that have lost a neighbour first (`flood_queue`). What a change waits for
is flooded at once: advertisements of the registry, and of cells that the registry cannot reach,
which go to the registry too. Hellos of other cells are not flooded: who is in contact follows from
the statuses (`contacts`). The registry's heartbeats are relayed while a neighbour does not receive
them from the registry itself.

Each method takes an event and returns commands, which `agent.state_sync.flood_runner` executes in
their order. Times are of a monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from uno.model.codec import encode
from uno.model.key_ids import cell_signing
from uno.model.messages import OF_REGISTRY, REGISTRY, Envelope, HelloMessage, Kind
from uno.ports.bus import (
    ANNOUNCEMENTS,
    FOR_REGISTRY,
    OWN,
    RELAY,
    BusEvent,
    Channel,
    Presence,
    Topic,
    offers_for,
    offers_to_relay,
)
from uno.statesync.complaints import Complaint, Complaints
from uno.statesync.contacts import loses_neighbor
from uno.statesync.envelope import UnknownOrigin, Untrusted, signed, signer
from uno.statesync.flood_queue import FloodQueue
from uno.statesync.registry_presence import RegistryPresence
from uno.statesync.sequence import MOST_UNSEEN, Sequence, block
from uno.statesync.state_database import StateDatabase
from uno.statesync.timers import MAX_AGE
from uno.statesync.unknown_origins import UnknownOrigins

if TYPE_CHECKING:
    from uno.model.messages import Ack
    from uno.model.package import Package
    from uno.model.plan import Member
    from uno.model.status import CellStatus, LinkState

_KIND_OF = {
    Topic.UVN: Kind.UVN,
    Topic.STATUS: Kind.STATUS,
    Topic.OFFER: Kind.OFFER,
    Topic.ACTIVATION: Kind.ACTIVATION,
    Topic.ACK: Kind.ACK,
    Topic.TRUST: Kind.TRUST,
    Topic.DIRECTORY: Kind.DIRECTORY,
    Topic.HELLO: Kind.HELLO,
    Topic.HEARTBEAT: Kind.HEARTBEAT,
}
_TOPIC_OF = {kind: topic for topic, kind in _KIND_OF.items()}
_FLOODED = (
    Topic.TRUST,
    Topic.UVN,
    Topic.HEARTBEAT,
    Topic.ACTIVATION,
    Topic.STATUS,
    Topic.ACK,
    Topic.HELLO,
    Topic.DIRECTORY,
)
_SIGNS_OF_REGISTRY = (ANNOUNCEMENTS, Channel(Topic.HEARTBEAT))

_RELAYED_STATUSES = Channel(Topic.STATUS, RELAY)
_RELAYED_HEARTBEATS = Channel(Topic.HEARTBEAT, RELAY)

# These channels carry advertisements only of cells that the registry cannot reach.
_UNREACHABLE_ONLY = (
    Channel(Topic.STATUS, FOR_REGISTRY),
    Channel(Topic.ACK, FOR_REGISTRY),
    Channel(Topic.ACK, RELAY),
    Channel(Topic.HELLO, FOR_REGISTRY),
    Channel(Topic.HELLO, RELAY),
)


class Subscribe(Struct, frozen=True):
    """Subscribe to a channel; no effect if subscribed."""

    channel: Channel


class Write(Struct, frozen=True):
    """Write an envelope to a channel."""

    channel: Channel
    envelope: Envelope


class Withdraw(Struct, frozen=True):
    """Withdraw the envelope about `subject` from a channel."""

    channel: Channel
    subject: int


class ReserveSequence(Struct, frozen=True):
    """Record that sequence numbers up to `through` are reserved, before the next command."""

    through: int


class Warn(Struct, frozen=True):
    """Log that envelopes were dropped."""

    complaint: Complaint


class Rejoin(Struct, frozen=True):
    """Join the bus again: the registry has another key, and what it signed with it was dropped."""


class StateChanged(Struct, frozen=True):
    """The state database, or the presence of the registry, has changed."""


Command: TypeAlias = Subscribe | Write | Withdraw | ReserveSequence | Warn | Rejoin | StateChanged


class Unhandled(Struct, kw_only=True):
    """What has been received for this cell and is to be handled."""

    offer: bool = False
    activation: bool = False
    trust: bool = False


class Flood:
    """The flooding of one cell: its state database, and what it relays.

    `registry_contact` is the highest sequence of the registry's messages that came directly, 0
    before the first.
    """

    def __init__(self, package: Package, *, reserved: int = 0, grace: float = 0.0) -> None:
        """Accept advertisements of the registry and the members that `package` names.

        `reserved` is the highest sequence number that an earlier process may have used. A registry
        that leaves counts as reachable for `grace` more seconds.
        """
        self.registry = RegistryPresence(grace=grace)
        self.registry_contact = 0
        self.unhandled = Unhandled()
        self.queue = FloodQueue()
        self._package = package
        self._sequence = Sequence(self._reserve, last=reserved)
        self._unknown = UnknownOrigins[Channel]()
        self._complaints = Complaints()
        self._relayed: set[tuple[Channel, int]] = set()
        self._originated: dict[Kind, CellStatus | Ack] = {}
        self._detected: frozenset[int] = frozenset()
        self._heartbeat_relayed = 0
        self._commands: list[Command] = []
        self.database = StateDatabase(
            identity=package.plan.identity,
            registry_key=package.manifest.registry_key,
            members=_members(package),
            own=package.plan.cell,
        )
        self._registry_key = self.database.registry_key

    @property
    def cell(self) -> int:
        """The id of the cell itself."""
        return self._package.plan.cell

    @property
    def has_waiting(self) -> bool:
        """Whether there is something for `flood_due`."""
        return bool(self.queue) or self.database.has_waiting

    def last_registry_messages(self) -> tuple[Envelope, ...]:
        """Return the newest announcement and activation of the registry, for `restore`."""
        kinds = (Kind.UVN, Kind.ACTIVATION)
        found = (self.database.newest(kind, REGISTRY) for kind in kinds)
        return tuple(each for each in found if each is not None)

    def subscribe(self) -> tuple[Command, ...]:
        """Subscribe to all flooded topics, and to offers for the cell and its neighbours."""
        self._subscribe()
        return self._taken()

    def follow(self, package: Package, *, now: float) -> tuple[Command, ...]:
        """Use another package of the cell; drop and withdraw state of cells that left."""
        self._package = package
        self.database.set_members(package.manifest.registry_key, _members(package))
        self._registry_key = self.database.registry_key
        for channel, subject in tuple(self._relayed):
            if subject != REGISTRY and subject not in self.database.members:
                self._withdraw(channel, subject)
        self._subscribe()
        for envelope, channel in self._unknown.take(self.database.members, now=now):
            self._receive(channel, envelope, now=now)
        return self._taken()

    def restore(self, messages: Iterable[Envelope], *, now: float) -> tuple[Command, ...]:
        """Accept and flood the registry's messages that an earlier process received."""
        for envelope in messages:
            try:
                is_newer = self.database.accept(envelope, now=now)
            except Untrusted as error:
                self._complain(envelope, error, now=now)
                continue
            if is_newer:
                self._relay(Channel(_TOPIC_OF[Kind(envelope.kind)], RELAY), envelope)
        self._registry_key = self.database.registry_key
        return self._taken()

    def receive(self, event: BusEvent, *, now: float) -> tuple[Command, ...]:
        """Process an event of the bus; the commands hold `StateChanged` if it is newer."""
        if isinstance(event, Presence):
            self._note_presence(event, now=now)
        else:
            self._receive(event.channel, event.envelope, now=now)
        return self._taken()

    def originate(self, body: CellStatus | Ack, kind: Kind, *, now: float) -> tuple[Command, ...]:
        """Advertise the status, or an acknowledgement, of the cell itself."""
        self._originated[kind] = body
        self._originate(body, kind, now=now)
        return self._taken()

    def send_hello(self, *, now: float) -> tuple[Command, ...]:
        """Give the neighbours, and the registry, a sign of life."""
        newest = self.database.newest(Kind.STATUS, self.cell)
        body = HelloMessage(newest=newest.sequence if newest else 0)
        self._originate(body, Kind.HELLO, now=now)
        return self._taken()

    def note_links(self, links: Iterable[LinkState], *, now: float) -> tuple[LinkState, ...]:
        """Take what the cell observes of its links; return it with `adjacent` set.

        A neighbour whose BFD session fails (RFC 5880, section 6.8.4) is not in contact by its
        earlier messages any more.
        """
        found = tuple(links)
        detected = frozenset(link.cell for link in found if link.bfd == "up")
        for cell in self._detected & {link.cell for link in found} - detected:
            self.database.contacts.note_link_down(cell, now=now)
        self._detected = detected
        adjacent = self.database.contacts.adjacent(now=now)
        return tuple(replace(link, adjacent=link.cell in adjacent) for link in found)

    def is_overlooked(self, *, now: float) -> bool:
        """Whether a neighbour whose messages arrive advertises that those of this cell do not."""
        statuses = map(self.database.status, self.database.contacts.adjacent(now=now))
        links = (link for status in statuses if status is not None for link in status.links)
        return any(link.cell == self.cell and not link.adjacent for link in links)

    def is_watched(self, *, now: float) -> bool:
        """Whether someone watches the UVN, at the registry or at a cell that is in contact."""
        announced = self.database.registry_announcement()
        age = self.database.contact_age(REGISTRY, now=now)
        if announced is not None and announced.watched and age is not None and age <= MAX_AGE:
            return True
        watching = self.database.watching
        return bool(watching) and not self.database.in_contact(now=now).isdisjoint(watching)

    def next_flood(self, *, awaiting_confirm: bool, now: float) -> float | None:
        """Return when the queue, or what a cell has sent too fast, is due; None if neither is.

        `awaiting_confirm`: the cell itself has a pending commit.
        """
        changing = awaiting_confirm or self._is_rollout(now)
        queued = self.queue.due(members=len(self.database.members), changing=changing)
        times = (queued, self.database.waits_until(now=now))
        return min((at for at in times if at is not None), default=None)

    def _is_rollout(self, now: float) -> bool:
        announced = self.database.registry_announcement()
        # The last announcement of a registry that is gone may name a rollout that has ended.
        return bool(announced and announced.rollout) and self.registry.is_reachable(now=now)

    def flood_due(self, *, awaiting_confirm: bool, now: float) -> tuple[Command, ...]:
        """Flood the queue if it is due; accept what cells have sent too fast once it is due."""
        for envelope in self.database.take_waiting(now=now):
            self._accept(Channel(_TOPIC_OF[Kind(envelope.kind)], RELAY), envelope, now=now)
            self._commands.append(StateChanged())
        changing = awaiting_confirm or self._is_rollout(now)
        members = len(self.database.members)
        for cell in self.queue.take_due(members=members, changing=changing, now=now):
            self._relay_newest(_RELAYED_STATUSES, cell)
        return self._taken()

    def _taken(self) -> tuple[Command, ...]:
        commands = tuple(self._commands)
        self._commands.clear()
        return commands

    def _subscribe(self) -> None:
        channels = [Channel(topic, part) for topic in _FLOODED for part in (OWN, RELAY)]
        channels.append(offers_for(self.cell))
        channels.extend(offers_to_relay(link.cell) for link in self._package.plan.links)
        self._commands.extend(map(Subscribe, channels))

    def _note_presence(self, event: Presence, *, now: float) -> None:
        if event.channel != ANNOUNCEMENTS:
            return
        before = self.registry.is_present(now=now)
        self.registry.note_writers(event.alive, now=now)
        if before != self.registry.is_present(now=now):
            self._commands.append(StateChanged())

    def _receive(self, channel: Channel, envelope: Envelope, *, now: float) -> None:
        try:
            if _KIND_OF[channel.topic] != envelope.kind:
                raise Untrusted("a message is on a topic that is not its own")  # noqa: TRY301
            status = self.database.status(envelope.subject)
            is_newer = self.database.accept(envelope, now=now)
        except Untrusted as error:
            if isinstance(error, UnknownOrigin):
                self._unknown.keep(envelope, channel, now=now)
            self._complain(envelope, error, now=now)
            return
        kind = Kind(envelope.kind)
        before = self.registry.is_present(now=now), self._adjacent(now)
        if self.database.is_newest(envelope):
            self._note_newest(channel, envelope, now=now)
        if is_newer:
            self._accept(channel, envelope, now=now, before=status)
        is_advertisement = is_newer and kind not in {Kind.HELLO, Kind.HEARTBEAT}
        if is_advertisement or before != (self.registry.is_present(now=now), self._adjacent(now)):
            self._commands.append(StateChanged())

    def _adjacent(self, now: float) -> frozenset[int]:
        return self.database.contacts.adjacent(now=now)

    def _note_newest(self, channel: Channel, envelope: Envelope, *, now: float) -> None:
        """Note that the newest message of a node has come, perhaps again.

        Another cell may have relayed it first; only what is stored is verified.
        """
        kind, subject = Kind(envelope.kind), envelope.subject
        received_at = self.database.received_at(kind, subject)
        if received_at is None:
            return
        if channel.partition == OWN and kind in OF_REGISTRY:
            self.registry_contact = max(self.registry_contact, envelope.sequence)
            self.registry.note_contact(now=now)
        if channel in _SIGNS_OF_REGISTRY:
            self.registry.note_heartbeat(received_at=received_at)
        elif channel.partition == OWN and kind not in OF_REGISTRY:
            self.database.contacts.note_direct(subject, received_at=received_at)

    def _accept(
        self,
        channel: Channel,
        envelope: Envelope,
        *,
        now: float,
        before: CellStatus | None = None,
    ) -> None:
        """Process what is newer; `before` is the status that its cell had advertised."""
        kind, subject = Kind(envelope.kind), envelope.subject
        if kind is Kind.OFFER:
            self._accept_offer(channel, envelope)
            return
        if subject == self.cell:
            self._reoriginate(envelope, now=now)
            return
        self._relay_heartbeat(now)
        if kind is not Kind.HEARTBEAT:
            self._flood(channel, envelope, before, now)

    def _flood(
        self, channel: Channel, envelope: Envelope, before: CellStatus | None, now: float
    ) -> None:
        kind, subject = Kind(envelope.kind), envelope.subject
        is_unreachable = subject in self._unreachable()
        if kind in OF_REGISTRY or is_unreachable:
            self._relay(Channel(channel.topic, RELAY), envelope)
        elif kind is Kind.STATUS:
            # An acknowledgement is for the registry, which receives it from the cell itself.
            after = self.database.status(subject)
            is_urgent = after is not None and loses_neighbor(before, after)
            self.queue.put(subject, now=now, is_urgent=is_urgent)
        if kind is Kind.UVN:
            self._relay_unreachable()
        elif kind is Kind.ACTIVATION:
            self.unhandled.activation = True
        elif kind is Kind.TRUST:
            self._follow_trust()
        elif is_unreachable:
            self._relay(Channel(channel.topic, FOR_REGISTRY), envelope)
        if kind is Kind.ACK:
            self._withdraw_answered_offer(subject)

    def _relay_heartbeat(self, now: float) -> None:
        """Relay the registry's newest heartbeat, once, if a neighbour does not receive it itself.

        A neighbour whose status has not arrived may not.
        """
        newest = self.database.newest(Kind.HEARTBEAT, REGISTRY)
        if newest is None or newest.sequence <= self._heartbeat_relayed:
            return
        statuses = map(self.database.status, self._adjacent(now))
        if any(status is None or not status.registry for status in statuses):
            self._heartbeat_relayed = newest.sequence
            self._relay(_RELAYED_HEARTBEATS, newest)

    def _follow_trust(self) -> None:
        self.unhandled.trust = True
        if self.database.registry_key != self._registry_key:
            self._registry_key = self.database.registry_key
            self._commands.append(Rejoin())

    def _accept_offer(self, channel: Channel, envelope: Envelope) -> None:
        subject = envelope.subject
        if subject == self.cell:
            self.unhandled.offer = True
        elif channel == offers_to_relay(subject):
            self._relay(offers_for(subject), envelope)

    def _withdraw_answered_offer(self, subject: int) -> None:
        offer, ack = self.database.newest(Kind.OFFER, subject), self.database.ack(subject)
        if offer is not None and ack is not None and ack.offer >= offer.sequence:
            self._withdraw(offers_for(subject), subject)

    def _originate(self, body: CellStatus | Ack | HelloMessage, kind: Kind, *, now: float) -> None:
        self._follow_contacts(now)
        plain = Envelope(
            subject=self.cell,
            kind=kind,
            sequence=self._sequence.next(),
            relayed_by=self.cell,
            body=encode(body),
            signature=b"",
        )
        sign = signer(self._package.secrets[cell_signing(self.cell)])
        envelope = signed(plain, identity=self._package.plan.identity, sign=sign)
        self.database.accept(envelope, now=now)
        self._commands.append(Write(Channel(_TOPIC_OF[kind]), envelope))

    def _reoriginate(self, envelope: Envelope, *, now: float) -> None:
        """Supersede a self-originated advertisement of an earlier process (RFC 2328, 13.4).

        Neighbours have accepted later hellos of that process, and hellos are not flooded.
        """
        for seen in (envelope.sequence, envelope.sequence + MOST_UNSEEN):
            self._sequence.above(seen)
        for kind, body in tuple(self._originated.items()):
            self._originate(body, kind, now=now)

    def _reserve(self, above: int) -> range:
        reserved = block(above)
        self._commands.append(ReserveSequence(reserved[-1]))
        return reserved

    def _unreachable(self) -> tuple[int, ...]:
        announced = self.database.registry_announcement()
        return announced.unreachable_from_registry if announced else ()

    def _relay_unreachable(self) -> None:
        unreachable = self._unreachable()
        for subject in self.queue.take(unreachable):
            self._relay_newest(_RELAYED_STATUSES, subject)
        for channel in _UNREACHABLE_ONLY:
            for subject in unreachable:
                self._relay_newest(channel, subject)
            for at, subject in tuple(self._relayed):
                if at == channel and subject not in unreachable:
                    self._withdraw(channel, subject)

    def _relay_newest(self, channel: Channel, subject: int) -> None:
        newest = self.database.newest(_KIND_OF[channel.topic], subject)
        if subject != self.cell and newest is not None:
            self._relay(channel, newest)

    def _relay(self, channel: Channel, envelope: Envelope) -> None:
        self._relayed.add((channel, envelope.subject))
        self._commands.append(Write(channel, replace(envelope, relayed_by=self.cell)))

    def _withdraw(self, channel: Channel, subject: int) -> None:
        if (channel, subject) in self._relayed:
            self._relayed.discard((channel, subject))
            self._commands.append(Withdraw(channel, subject))

    def _follow_contacts(self, now: float) -> None:
        """Withdraw what cells have advertised that are gone: it must not come back later.

        The same status is flooded again once its cell is back: a path may have joined it anew.
        """
        for cell in self.database.in_contact(now=now):
            is_relayed = cell == self.cell or (_RELAYED_STATUSES, cell) in self._relayed
            if not is_relayed and self.database.newest(Kind.STATUS, cell) is not None:
                self.queue.put(cell, now=now)
        for channel, subject in tuple(self._relayed):
            if subject == REGISTRY or channel.topic is Topic.OFFER:
                continue
            lost_for = self.database.lost_for(subject, now=now)
            if lost_for is not None and lost_for > MAX_AGE:
                self._withdraw(channel, subject)

    def _complain(self, envelope: Envelope, error: Untrusted, *, now: float) -> None:
        complaint = self._complaints.note(
            envelope.relayed_by, error.what, members=self.database.members, now=now
        )
        if complaint is not None:
            self._commands.append(Warn(complaint))


def _members(package: Package) -> dict[int, Member]:
    return {member.id: member for member in package.roster.members}
