"""A cell's part in making every statement known to every cell, with the registry gone, too.

As in a link-state protocol: what is verified and newer than what was known is passed on, to the
neighbours by the bus and by them to theirs. What the registry does not hear itself is passed on to
it, and packages to neighbours that it cannot reach. How others are goes out together with what
comes soon after; all that a change waits for goes at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from uno.model.codec import encode
from uno.model.key_ids import cell_signing
from uno.model.messages import OF_REGISTRY, REGISTRY, Envelope, Kind
from uno.ports.bus import (
    LOST,
    OWN,
    RELAY,
    Bus,
    BusEvent,
    Channel,
    Presence,
    Received,
    Topic,
    offers_for,
    offers_near,
)
from uno.statesync.envelope import Stranger, Untrusted, signed, signer
from uno.statesync.flood_queue import Outbox
from uno.statesync.state_database import Statements
from uno.statesync.unknown_origins import Strangers

if TYPE_CHECKING:
    from uno.agent.state_sync.sequence_file import Sequence
    from uno.model.messages import Ack
    from uno.model.package import Package
    from uno.model.plan import Member
    from uno.model.status import CellStatus

_log = logging.getLogger(__name__)

_TOPICS = {
    Topic.UVN: Kind.UVN,
    Topic.STATUS: Kind.STATUS,
    Topic.OFFER: Kind.OFFER,
    Topic.ACTIVATION: Kind.ACTIVATION,
    Topic.ACK: Kind.ACK,
}
_TOPIC_OF = {kind: topic for topic, kind in _TOPICS.items()}
_FLOODED = (Topic.UVN, Topic.ACTIVATION, Topic.STATUS, Topic.ACK)

# Where everybody's status is.
_RELAYED = Channel(Topic.STATUS, RELAY)

# Where there is something only of cells that the registry does not hear itself.
_OF_LOST = (
    Channel(Topic.STATUS, LOST),
    Channel(Topic.ACK, LOST),
    Channel(Topic.ACK, RELAY),
)

# Of so many senders and reasons it is remembered that they were complained about.
_COMPLAINTS = 1000


@dataclass(slots=True, kw_only=True)
class News:
    """What has come since this was last looked at."""

    offer: bool = False
    activation: bool = False
    statement: bool = False


class Flood:
    """What a cell hears on the bus, passes on, and says of itself. For one event loop."""

    def __init__(
        self,
        bus: Bus,
        bundle: Package,
        *,
        sequence: Sequence,
        clock: Callable[[], float],
        grace: float = 0.0,
    ) -> None:
        """Believe whom `bundle` names; `clock` is monotonic, in seconds.

        A registry that was there counts as heard for `grace` after it has gone, in seconds:
        `missed_from` is when that ends.
        """
        self.registry_present = False
        self.missed_from: float | None = None
        self.registry_said_at: float | None = None
        self.news = News()
        self.outbox = Outbox()
        self._bus = bus
        self._bundle = bundle
        self._sequence = sequence
        self._clock = clock
        self._grace = grace
        self._strangers = Strangers[Channel]()
        self._complained: set[tuple[int, str]] = set()
        self._relayed: set[tuple[Channel, int]] = set()
        self._said: dict[Kind, CellStatus | Ack] = {}
        self.statements = Statements(
            identity=bundle.plan.identity,
            registry_key=bundle.manifest.registry_key,
            members=_members(bundle),
        )

    @property
    def cell(self) -> int:
        """The id of the cell itself."""
        return self._bundle.plan.cell

    @property
    def registry_heard(self) -> bool:
        """Whether the registry is there, or was a moment ago: what is only slow is no news."""
        missed = self.missed_from
        return self.registry_present or (missed is not None and self._clock() < missed)

    @property
    def activation_heard_at(self) -> float | None:
        """When the registry's last word to change over was first heard, None if there is none."""
        age = self.statements.age(Kind.ACTIVATION, REGISTRY, now=self._clock())
        return None if age is None else self._clock() - age

    def listen(self) -> None:
        """Subscribe to all that concerns the cell and its neighbours."""
        for topic in _FLOODED:
            for partition in (OWN, RELAY):
                self._bus.subscribe(Channel(topic, partition))
        self._bus.subscribe(offers_for(self.cell))
        for link in self._bundle.plan.links:
            self._bus.subscribe(offers_near(link.cell))

    def follow(self, bundle: Package) -> None:
        """Work for the cell as `bundle` has it from now on; who left is not believed any more."""
        self._bundle = bundle
        self.statements.trust(bundle.manifest.registry_key, _members(bundle))
        for channel, about in tuple(self._relayed):
            if about != REGISTRY and about not in self.statements.members:
                self._withdraw(channel, about)
        self.listen()
        known = self._strangers.among(self.statements.members, now=self._clock())
        for envelope, channel in known:
            self.receive(Received(channel, envelope))

    def recall(self, words: Iterable[Envelope]) -> None:
        """Know, and pass on, what the registry said before this process began."""
        for envelope in words:
            try:
                newer = self.statements.hear(envelope, now=self._clock())
            except Untrusted as error:
                self._complain(envelope, error)
                continue
            if newer:
                self._relay(Channel(_TOPIC_OF[Kind(envelope.kind)], RELAY), envelope)

    def words(self) -> tuple[Envelope, ...]:
        """Return what is worth to be recalled: the registry's last words to all."""
        kinds = (Kind.UVN, Kind.ACTIVATION)
        found = (self.statements.newest(kind, REGISTRY) for kind in kinds)
        return tuple(each for each in found if each is not None)

    def receive(self, event: BusEvent) -> bool:
        """Take in what came on the bus, pass it on, and return whether it is news."""
        if isinstance(event, Presence):
            return self._see(event)
        channel, envelope = event.channel, event.envelope
        try:
            if _TOPICS[channel.topic] != envelope.kind:
                raise Untrusted("a message is on a topic that is not its own")  # noqa: TRY301
            newer = self.statements.hear(envelope, now=self._clock())
        except Untrusted as error:
            if isinstance(error, Stranger):
                self._strangers.keep(envelope, channel, now=self._clock())
            self._complain(envelope, error)
            return False
        if channel.partition == OWN and envelope.kind in OF_REGISTRY:
            self.registry_said_at = self._clock()
        if newer:
            self._take(channel, envelope)
        return newer

    def say(self, body: CellStatus | Ack, kind: Kind) -> None:
        """Say something of the cell itself, to all."""
        self._said[kind] = body
        plain = Envelope(
            about=self.cell,
            kind=kind,
            sequence=self._sequence.next(),
            sender=self.cell,
            body=encode(body),
            signature=b"",
        )
        sign = signer(self._bundle.secrets[cell_signing(self.cell)])
        envelope = signed(plain, identity=self._bundle.plan.identity, sign=sign)
        self.statements.hear(envelope, now=self._clock())
        self._bus.write(Channel(_TOPIC_OF[kind]), envelope)

    def pass_on(self, *, on_trial: bool) -> float | None:
        """Pass on what waits if it is due, and return when the rest is, None if nothing is left.

        `on_trial` tells whether the cell itself is in the middle of a change.
        """
        now, said = self._clock(), self.statements.announcement()
        # Of a registry that is gone the last word stands, whatever it was about to do.
        busy = on_trial or bool(said and said.rollout and self.registry_heard)
        due = self.outbox.due(members=len(self.statements.members), busy=busy)
        if due is None or due > now:
            return due
        for cell in self.outbox.empty(now=now):
            self._relay_newest(_RELAYED, cell)
        return None

    def _see(self, event: Presence) -> bool:
        if event.channel != Channel(Topic.UVN, OWN):
            return False
        before, self.registry_present = self.registry_present, event.alive > 0
        if self.registry_present:
            self.missed_from = None
        elif before:
            self.missed_from = self._clock() + self._grace
        return before != self.registry_present

    def _take(self, channel: Channel, envelope: Envelope) -> None:
        kind, about = Kind(envelope.kind), envelope.about
        self.news.statement = True
        if kind is Kind.OFFER:
            self._take_offer(channel, envelope)
            return
        if about == self.cell:
            self._reclaim(envelope)
            return
        is_lost = about in self._silent()
        if kind in OF_REGISTRY or is_lost:
            self._relay(Channel(channel.topic, RELAY), envelope)
        elif kind is Kind.STATUS:
            # Acks are for the registry, which hears them itself but of cells that are lost to it.
            self.outbox.put(about, now=self._clock())
        if kind is Kind.UVN:
            self._tell_what_is_lost()
        elif kind is Kind.ACTIVATION:
            self.news.activation = True
        elif is_lost:
            self._relay(Channel(channel.topic, LOST), envelope)
        if kind is Kind.ACK:
            self._drop_answered_offer(about)

    def _take_offer(self, channel: Channel, envelope: Envelope) -> None:
        about = envelope.about
        if about == self.cell:
            self.news.offer = True
        elif channel == offers_near(about):
            self._relay(offers_for(about), envelope)

    def _drop_answered_offer(self, about: int) -> None:
        offer, ack = self.statements.newest(Kind.OFFER, about), self.statements.ack(about)
        if offer is not None and ack is not None and ack.offer >= offer.sequence:
            self._withdraw(offers_for(about), about)

    def _reclaim(self, envelope: Envelope) -> None:
        """Others know a later word of ours than we do: what was kept here is lost, or older."""
        self._sequence.above(envelope.sequence)
        for kind, body in tuple(self._said.items()):
            self.say(body, kind)

    def _silent(self) -> tuple[int, ...]:
        said = self.statements.announcement()
        return said.silent if said else ()

    def _tell_what_is_lost(self) -> None:
        silent = self._silent()
        for about in self.outbox.drop(silent):
            self._relay_newest(_RELAYED, about)
        for channel in _OF_LOST:
            for about in silent:
                self._relay_newest(channel, about)
            for at, about in tuple(self._relayed):
                if at == channel and about not in silent:
                    self._withdraw(channel, about)

    def _relay_newest(self, channel: Channel, about: int) -> None:
        newest = self.statements.newest(_TOPICS[channel.topic], about)
        if about != self.cell and newest is not None:
            self._relay(channel, newest)

    def _relay(self, channel: Channel, envelope: Envelope) -> None:
        self._relayed.add((channel, envelope.about))
        self._bus.write(channel, replace(envelope, sender=self.cell))

    def _withdraw(self, channel: Channel, about: int) -> None:
        if (channel, about) in self._relayed:
            self._relayed.discard((channel, about))
            self._bus.withdraw(channel, about)

    def _complain(self, envelope: Envelope, error: Untrusted) -> None:
        complaint = (envelope.sender, error.what)
        if complaint in self._complained or len(self._complained) >= _COMPLAINTS:
            return
        self._complained.add(complaint)
        _log.warning("dropped what came from %s: %s", _sender(envelope.sender), error.what)


def _sender(sender: int) -> str:
    return "the registry" if sender == REGISTRY else f"cell {sender}"


def _members(bundle: Package) -> dict[int, Member]:
    return {member.id: member for member in bundle.roster.members}
