"""The newest advertisement of each kind and subject that a node has verified. Pure.

The counterpart of a link-state database (RFC 2328, section 12). A higher sequence number is newer;
of two advertisements with the same number the one with the higher signature is (RFC 2328, 13.1,
compares checksums). Which node relayed an advertisement is irrelevant, since its originator signs
it. Times are of the node's own monotonic clock, in seconds: no message carries a time.

A thief of a cell's key can use any number. So a number has an upper limit, is at most `MAX_STEP`
above the one before, and is forgotten `FORGET_AGE` after the contact with the cell was lost. Those
of the registry, whose old messages must never count again, are not forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from uno.model.messages import (
    OF_REGISTRY,
    REGISTRY,
    Ack,
    Activation,
    Envelope,
    HelloMessage,
    Kind,
    UvnAnnouncement,
    originator,
)
from uno.model.net import Network
from uno.model.network_directory import Directory
from uno.model.plan import Member
from uno.model.status import ALL_PATHS, CellStatus, CellView, UvnView
from uno.model.trust import TrustUpdate, newest_key
from uno.ports.bus import EnvelopeDigest, digest_of
from uno.statesync import bodies
from uno.statesync.admission import Admission
from uno.statesync.bodies import Body, MalformedBody
from uno.statesync.contacts import Contacts
from uno.statesync.envelope import UnknownOrigin, Untrusted, verify
from uno.statesync.sequence import LIMIT, MAX_STEP
from uno.statesync.timers import FORGET_AGE

# What a cell originates, and what of the registry's a heartbeat repeats.
_OF_CELL = (Kind.STATUS, Kind.ACK, Kind.HELLO)
_REPEATED = {Kind.HELLO: Kind.STATUS, Kind.HEARTBEAT: Kind.UVN}

# Kinds that are about the whole UVN.
_OF_ALL = OF_REGISTRY - {Kind.OFFER}


class _Entry(Struct, frozen=True):
    envelope: Envelope
    body: Body | None
    received_at: float


class StateDatabase:
    """The advertisements of the registry and the members of one UVN, as one node has them.

    Offers are stored unopened: only the cell that an offer is for has the key.
    """

    def __init__(
        self,
        *,
        identity: str,
        registry_key: str,
        members: Mapping[int, Member],
        own: int | None = None,
    ) -> None:
        """Start empty, for the UVN `identity`; `registry_key` is in base64.

        `own` is the cell that has the database, None if that is the registry.
        """
        self._own = own
        self._identity = identity
        self._registry_key = registry_key
        self._members = dict(members)
        self._entries: dict[tuple[Kind, int], _Entry] = {}
        self._admission = Admission()
        self._contacts = Contacts(own)
        # What came faster than is accepted: the first of it, and the newest, not verified yet.
        self._waiting: dict[tuple[Kind, int], _Entry] = {}
        self._candidates: dict[tuple[Kind, int], Envelope] = {}
        # Statuses as they were advertised, and as they are seen: by cell.
        self._seen: dict[int, tuple[CellStatus, CellStatus]] = {}
        # The cells at which someone watches, and all statuses, None after a change.
        self._watching: set[int] = set()
        self._statuses: Mapping[int, CellStatus] | None = None

    @property
    def members(self) -> Mapping[int, Member]:
        """The cells whose advertisements are accepted, by id."""
        return self._members

    @property
    def lans(self) -> Mapping[int, tuple[Network, ...]]:
        """The LANs of each of them."""
        return {cell: member.lans for cell, member in self._members.items()}

    @property
    def registry_key(self) -> str:
        """The key that the registry signs with, in base64."""
        return self._registry_key

    @property
    def contacts(self) -> Contacts:
        """The contacts of the node."""
        return self._contacts

    def in_contact(self, *, now: float) -> frozenset[int]:
        """Return the members that are in contact, directly or through others."""
        return self._contacts.current(self.statuses, self._members, now=now)

    def lost_for(self, cell: int, *, now: float) -> float | None:
        """Return for how many seconds a member is not in contact, None if it is."""
        self.in_contact(now=now)
        return self._contacts.lost_for(cell, now=now)

    def accept(self, envelope: Envelope, *, now: float) -> bool:
        """Store an envelope if it is newer than the stored one; return whether it was stored.

        What a cell advertises too fast waits, for `take_waiting`.

        Raises `UnknownOrigin` if its subject is not a member, and `Untrusted` if the signature or
        the content is invalid.
        """
        kind, subject = self._kind(envelope), envelope.subject
        is_silent = self._is_silent(kind, subject, now)
        # Before the costly signature: every advertisement arrives once per path.
        if not is_silent and not self._is_newer(kind, envelope):
            return False
        if self.is_newest(envelope):
            return False
        key, is_limited = (kind, subject), kind not in OF_REGISTRY and subject != self._own
        must_wait = is_limited and not self._admission.is_open(key, now=now)
        if must_wait and key in self._waiting:
            known = self._candidates.get(key, self._waiting[key].envelope)
            if envelope.sequence > known.sequence:
                self._candidates[key] = envelope
            return False
        if kind is Kind.TRUST:
            self._follow_registry_key(envelope)
        entry = self._verified(kind, envelope, now)
        if must_wait:
            self._waiting[key] = entry
            return False
        if is_silent:
            self._forget(subject)
        self._store(key, entry, now)
        return True

    def lacks(self, digest: EnvelopeDigest, *, now: float) -> bool:
        """Whether the envelope of a digest is newer than the stored one, or may be.

        Nothing is verified: who states a digest can as well send the envelope, or keep it.
        """
        try:
            kind = Kind(digest.kind)
        except ValueError:
            return False
        known = self._newest_before(kind, digest.subject)
        if known is None:
            return True
        has = digest_of(known.envelope)
        if self._is_silent(kind, digest.subject, now):
            return digest != has
        return (digest.sequence, digest.mark) > (has.sequence, has.mark)

    def take_waiting(self, *, now: float) -> tuple[Envelope, ...]:
        """Store what has waited long enough, and return it."""
        stored: list[Envelope] = []
        for key in [key for key in self._waiting if self._admission.is_open(key, now=now)]:
            entry, candidate = self._waiting.pop(key), self._candidates.pop(key, None)
            if candidate is not None:
                with suppress(Untrusted):
                    entry = self._verified(key[0], candidate, now)
            if self._is_newer(key[0], entry.envelope):
                self._store(key, entry, now)
                stored.append(entry.envelope)
        return tuple(stored)

    @property
    def has_waiting(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def waits_until(self, *, now: float) -> float | None:
        """Return when `take_waiting` is due, None if nothing waits."""
        times = (self._admission.opens_at(key, now=now) for key in self._waiting)
        return min(times, default=None)

    def _verified(self, kind: Kind, envelope: Envelope, now: float) -> _Entry:
        """Return the entry of an envelope. Raises `Untrusted`."""
        public_key = self._key(kind, envelope.subject)
        verify(envelope, identity=self._identity, public_key=public_key)
        return _Entry(envelope, _body(kind, envelope), now)

    def _store(self, key: tuple[Kind, int], entry: _Entry, now: float) -> None:
        self._admission.take(key, now=now)
        kind, subject = key
        before = self.status(subject) if kind is Kind.STATUS else None
        self._entries[key] = entry
        if kind in _OF_CELL:
            self._contacts.note_message(subject, now=now)
        if isinstance(entry.body, CellStatus):
            self._statuses = None
            (self._watching.add if entry.body.watched else self._watching.discard)(subject)
            self._contacts.note_status(before, entry.body)
        if kind in {*_REPEATED, *_REPEATED.values()}:
            self._note_named(subject, now)

    def _note_named(self, node: int, now: float) -> None:
        kind = Kind.HEARTBEAT if node == REGISTRY else Kind.HELLO
        hello, repeated = self.body(kind, node), self.newest(_REPEATED[kind], node)
        if isinstance(hello, HelloMessage):
            is_here = repeated is not None and repeated.sequence >= hello.newest
            self._contacts.note_named(node, is_here=is_here, now=now)

    def is_newest(self, envelope: Envelope) -> bool:
        """Whether an envelope is the stored one of its kind and subject, whoever relayed it."""
        known = self._entries.get((Kind(envelope.kind), envelope.subject))
        return known is not None and (
            (known.envelope.sequence, known.envelope.signature, known.envelope.body)
            == (envelope.sequence, envelope.signature, envelope.body)
        )

    def newest(self, kind: Kind, subject: int) -> Envelope | None:
        """Return the newest envelope of a kind about a subject, None if there is none."""
        found = self._entries.get((kind, subject))
        return found.envelope if found else None

    def registry_announcement(self) -> UvnAnnouncement | None:
        """Return the registry's newest announcement."""
        body = self.body(Kind.UVN, REGISTRY)
        return body if isinstance(body, UvnAnnouncement) else None

    def activation(self) -> Activation | None:
        """Return the registry's newest activation."""
        body = self.body(Kind.ACTIVATION, REGISTRY)
        return body if isinstance(body, Activation) else None

    def trust(self) -> TrustUpdate:
        """Return the registry's newest statement on trust; an empty one if there is none."""
        body = self.body(Kind.TRUST, REGISTRY)
        return body if isinstance(body, TrustUpdate) else TrustUpdate()

    def directory(self) -> Directory | None:
        """Return the registry's newest statement of its public facts."""
        body = self.body(Kind.DIRECTORY, REGISTRY)
        return body if isinstance(body, Directory) else None

    def status(self, cell: int) -> CellStatus | None:
        """Return a cell's newest status."""
        body = self.body(Kind.STATUS, cell)
        return body if isinstance(body, CellStatus) else None

    def seen(self, cell: int, *, now: float) -> CellStatus | None:
        """Return a cell's newest status with what it reaches.

        It is the same value until the status or the members change, or it has an age in it.
        """
        status = self.status(cell)
        if status is None:
            return None
        advertised_before, known = self._seen.get(cell, (None, None))
        if known is None or advertised_before is not status or status.undone is not None:
            age = self.age(Kind.STATUS, cell, now=now)
            known = seen(status, self._members.values(), cell=cell, age=age)
            self._seen[cell] = status, known
        return known

    def statuses(self) -> Mapping[int, CellStatus]:
        """Return the newest status of each member that has advertised one.

        It is the same value until one changes.
        """
        if self._statuses is None:
            found = {cell: self.status(cell) for cell in self._members}
            self._statuses = {cell: it for cell, it in found.items() if it is not None}
        return self._statuses

    @property
    def watching(self) -> Collection[int]:
        """The members by whose newest status someone watches the UVN there."""
        return self._watching

    def ack(self, cell: int) -> Ack | None:
        """Return a cell's newest acknowledgement."""
        body = self.body(Kind.ACK, cell)
        return body if isinstance(body, Ack) else None

    def body(self, kind: Kind, subject: int) -> Body | None:
        """Return the newest body of a kind about a subject; None for an offer, and if missing."""
        found = self._entries.get((kind, subject))
        return found.body if found else None

    def age(self, kind: Kind, subject: int, *, now: float) -> float | None:
        """Return the seconds since the newest envelope was first received, None if missing."""
        found = self._entries.get((kind, subject))
        return max(0.0, now - found.received_at) if found else None

    def received_at(self, kind: Kind, subject: int) -> float | None:
        """Return when the newest envelope was first received, None if missing."""
        found = self._entries.get((kind, subject))
        return found.received_at if found else None

    def contact_age(self, node: int, *, now: float) -> float | None:
        """Return the seconds since the newest message of a cell, or of the registry, arrived."""
        kinds = OF_REGISTRY if node == REGISTRY else _OF_CELL
        ages = [age for kind in kinds if (age := self.age(kind, node, now=now)) is not None]
        return min(ages, default=None)

    def highest_sequence(self, node: int) -> int:
        """Return the highest sequence number that a node has originated, 0 if none is stored.

        A node whose own counter is lower has lost state, and continues above this number.
        """
        return max(
            (
                each.envelope.sequence
                for each in self._entries.values()
                if originator(each.envelope) == node
            ),
            default=0,
        )

    def set_members(self, registry_key: str, members: Mapping[int, Member]) -> None:
        """Accept these from now on; drop what others, or other keys, have signed.

        `registry_key` may be one that the registry's current key follows.
        """
        registry_key = newest_key(registry_key, self.trust().registry_keys, identity=self._identity)
        gone = {
            (kind, subject)
            for kind, subject in (*self._entries, *self._waiting)
            if (subject != REGISTRY and subject not in members)
            or (kind in OF_REGISTRY and registry_key != self._registry_key)
            or (kind not in OF_REGISTRY and _key_of(members, subject) != self._key(kind, subject))
        }
        for key in gone:
            for kept in (self._entries, self._waiting, self._candidates):
                kept.pop(key, None)
        self._registry_key = registry_key
        self._members = dict(members)
        self._seen.clear()
        self._note_statuses()
        self._contacts.recompute()

    def _is_newer(self, kind: Kind, envelope: Envelope) -> bool:
        """Whether an envelope, if it is authentic, is newer than the stored one."""
        known = self._newest_before(kind, envelope.subject)
        if known is None:
            return True
        step = envelope.sequence - known.envelope.sequence
        if step > MAX_STEP and kind not in OF_REGISTRY and envelope.subject != self._own:
            raise Untrusted("a message has a sequence number too far above the last one")
        return step > 0 or (step == 0 and envelope.signature > known.envelope.signature)

    def _newest_before(self, kind: Kind, subject: int) -> _Entry | None:
        """Return what an envelope has to be newer than.

        A hello, or a heartbeat, is a sign of life only if nothing newer has come from its node: a
        recorded one must not count again.
        """
        if kind not in _REPEATED:
            return self._entries.get((kind, subject))
        kinds = (kind, Kind.UVN) if subject == REGISTRY else _OF_CELL
        found = (self._entries.get((each, subject)) for each in kinds)
        return max(
            (each for each in found if each is not None),
            key=lambda each: each.envelope.sequence,
            default=None,
        )

    def _is_silent(self, kind: Kind, subject: int, now: float) -> bool:
        """Whether the sequence of a cell is forgotten, as it has not been in contact for long."""
        if kind in OF_REGISTRY:
            return False
        age = self.contact_age(subject, now=now)
        if age is None or age <= FORGET_AGE:
            return False
        if subject == self._own:
            # What a thief has sent in the name of the cell.
            return True
        lost_for = self.lost_for(subject, now=now)
        return lost_for is not None and lost_for > FORGET_AGE

    def _forget(self, cell: int) -> None:
        for kind in _OF_CELL:
            self._entries.pop((kind, cell), None)
        self._note_statuses()

    def _note_statuses(self) -> None:
        """Follow statuses that are gone."""
        self._statuses = None
        self._watching = {cell for cell, status in self.statuses().items() if status.watched}

    def _kind(self, envelope: Envelope) -> Kind:
        try:
            kind = Kind(envelope.kind)
        except ValueError as error:
            raise Untrusted("a message has a kind that this version does not support") from error
        if (envelope.subject == REGISTRY) != (kind in _OF_ALL):
            raise Untrusted("a message has a subject that its kind does not allow")
        if envelope.subject != REGISTRY and envelope.subject not in self._members:
            raise UnknownOrigin("a message is about a cell that is no member")
        if not 0 < envelope.sequence < LIMIT:
            raise Untrusted("a message has a sequence number out of range")
        if len(envelope.body) > bodies.size_limit(kind, members=len(self._members)):
            raise Untrusted("a message is too large for its kind")
        if kind not in OF_REGISTRY and not self._key(kind, envelope.subject):
            raise Untrusted("a message is of a cell that has no accepted key")
        return kind

    def _follow_registry_key(self, envelope: Envelope) -> None:
        """Follow the chain of the registry's keys in a statement on trust. Raises `Untrusted`."""
        body = _body(Kind.TRUST, envelope)
        chain = body.registry_keys if isinstance(body, TrustUpdate) else ()
        key = newest_key(self._registry_key, chain, identity=self._identity)
        verify(envelope, identity=self._identity, public_key=key)
        if key != self._registry_key:
            self.set_members(key, self._members)

    def _key(self, kind: Kind, subject: int) -> str:
        return self._registry_key if kind in OF_REGISTRY else _key_of(self._members, subject)


def view(
    database: StateDatabase,
    announced: UvnAnnouncement,
    *,
    uvn: str,
    viewer: int,
    registry: bool,
    now: float,
) -> UvnView:
    """Return the whole UVN as the node `viewer` has it at `now`.

    `announced` gives the generation that each cell should run; `registry`: whether the registry is
    present.
    """
    return UvnView(
        uvn=uvn,
        viewer=viewer,
        generation=announced.generation,
        cells=tuple(
            _cell(database, member, announced=announced, now=now)
            for member in sorted(database.members.values(), key=lambda each: each.id)
        ),
        registry=registry,
        rollout=announced.rollout,
        undone=announced.undone,
        reason=announced.reason,
        waiting=announced.waiting,
        package_format=announced.package_format,
    )


def _cell(
    database: StateDatabase, member: Member, *, announced: UvnAnnouncement, now: float
) -> CellView:
    age = database.contact_age(member.id, now=now)
    lost_for = database.lost_for(member.id, now=now)
    status_age = database.age(Kind.STATUS, member.id, now=now)
    return CellView(
        id=member.id,
        name=member.name,
        package=announced.cells.get(member.id),
        status=database.seen(member.id, now=now),
        ack=database.ack(member.id),
        age=age if age is None or lost_for is None else lost_for,
        status_age=status_age,
        alive=age is not None and lost_for is None,
        unproven=member.id in announced.unproven,
    )


def advertised(status: CellStatus, *, watched: bool) -> CellStatus:
    """Return what a cell advertises of its status: without a row for each LAN and cell of the UVN.

    What the cell reaches is derived from what it does not (`seen`). Its probes of other cells are
    for people alone, and left out unless the UVN is `watched`; of more than `ALL_PATHS` cells it
    advertises those that lose probes or do not answer.
    """
    paths = status.paths if watched else ()
    if len(paths) > ALL_PATHS:
        paths = tuple(path for path in paths if not path.answers or path.loss)
    return replace(status, paths=paths, reachable=())


def seen(
    status: CellStatus, members: Iterable[Member], *, cell: int, age: float | None = None
) -> CellStatus:
    """Return the status that `cell` has advertised `age` seconds ago, with what it reaches."""
    lost = frozenset(status.unreachable)
    undone = status.undone
    return replace(
        status,
        reachable=tuple(_reachable(members, lost, cell)),
        undone=undone and replace(undone, age=undone.age + int(age or 0)),
    )


def _reachable(members: Iterable[Member], lost: frozenset[Network], cell: int) -> Iterable[Network]:
    others = sorted((each for each in members if each.id != cell), key=lambda each: each.id)
    return (lan for each in others for lan in each.lans if not lost or lan not in lost)


def _key_of(members: Mapping[int, Member], cell: int) -> str:
    member = members.get(cell)
    return member.sign_key if member else ""


def _body(kind: Kind, envelope: Envelope) -> Body | None:
    try:
        return bodies.parse(kind, envelope.body)
    except MalformedBody as error:
        raise Untrusted("a message has a body that this version cannot parse") from error
