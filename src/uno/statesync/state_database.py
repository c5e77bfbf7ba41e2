"""The newest advertisement of each kind and subject that a node has verified. Pure.

The counterpart of a link-state database (RFC 2328, section 12). A higher sequence number is newer;
which node relayed an advertisement is irrelevant, since its originator signs it. Times are of the
node's own monotonic clock, in seconds: no message carries a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from uno.model.codec import MalformedJson, decode
from uno.model.messages import (
    OF_REGISTRY,
    REGISTRY,
    Ack,
    Activation,
    Envelope,
    Kind,
    UvnAnnouncement,
    originator,
)
from uno.model.plan import Member
from uno.model.status import CellStatus, CellView, UvnView
from uno.statesync.envelope import UnknownOrigin, Untrusted, verify
from uno.statesync.timers import MAX_AGE

Body: TypeAlias = UvnAnnouncement | Activation | CellStatus | Ack

_BODIES: dict[Kind, type[Body]] = {
    Kind.UVN: UvnAnnouncement,
    Kind.STATUS: CellStatus,
    Kind.ACTIVATION: Activation,
    Kind.ACK: Ack,
}


@dataclass(frozen=True, slots=True)
class _Entry:
    envelope: Envelope
    body: Body | None
    received_at: float


class StateDatabase:
    """The advertisements of the registry and the members of one UVN, as one node has them.

    Offers are stored unopened: only the cell that an offer is for has the key.
    """

    def __init__(self, *, identity: str, registry_key: str, members: Mapping[int, Member]) -> None:
        """Start empty, for the UVN `identity`; `registry_key` is in base64."""
        self._identity = identity
        self._registry_key = registry_key
        self._members = dict(members)
        self._entries: dict[tuple[Kind, int], _Entry] = {}

    @property
    def members(self) -> Mapping[int, Member]:
        """The cells whose advertisements are accepted, by id."""
        return self._members

    def accept(self, envelope: Envelope, *, now: float) -> bool:
        """Store an envelope if it is newer than the stored one; return whether it is.

        Raises `UnknownOrigin` if its subject is not a member, and `Untrusted` if the signature or
        the content is invalid.
        """
        kind = self._kind(envelope)
        known = self._entries.get((kind, envelope.subject))
        # Before the costly signature: every advertisement arrives once per path.
        if known is not None and envelope.sequence <= known.envelope.sequence:
            return False
        verify(envelope, identity=self._identity, public_key=self._key(kind, envelope.subject))
        self._entries[kind, envelope.subject] = _Entry(envelope, _body(kind, envelope), now)
        return True

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

    def status(self, cell: int) -> CellStatus | None:
        """Return a cell's newest status."""
        body = self.body(Kind.STATUS, cell)
        return body if isinstance(body, CellStatus) else None

    def statuses(self) -> dict[int, CellStatus]:
        """Return the newest status of each member that has advertised one."""
        found = {cell: self.status(cell) for cell in self._members}
        return {cell: status for cell, status in found.items() if status is not None}

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
        kinds = OF_REGISTRY if node == REGISTRY else (Kind.STATUS, Kind.ACK)
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
        """Accept these from now on; drop what others, or other keys, have signed."""
        gone = {
            (kind, subject)
            for kind, subject in self._entries
            if (subject != REGISTRY and subject not in members)
            or (kind in OF_REGISTRY and registry_key != self._registry_key)
            or (kind not in OF_REGISTRY and _key_of(members, subject) != self._key(kind, subject))
        }
        for key in gone:
            del self._entries[key]
        self._registry_key = registry_key
        self._members = dict(members)

    def _kind(self, envelope: Envelope) -> Kind:
        try:
            kind = Kind(envelope.kind)
        except ValueError as error:
            raise Untrusted("a message has a kind that this version does not support") from error
        if (envelope.subject == REGISTRY) != (kind in {Kind.UVN, Kind.ACTIVATION}):
            raise Untrusted("a message has a subject that its kind does not allow")
        if envelope.subject != REGISTRY and envelope.subject not in self._members:
            raise UnknownOrigin(f"a message is about cell {envelope.subject}, which is no member")
        return kind

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
            _cell(database, member, package=announced.cells.get(member.id), now=now)
            for member in sorted(database.members.values(), key=lambda each: each.id)
        ),
        registry=registry,
        rollout=announced.rollout,
        undone=announced.undone,
        reason=announced.reason,
    )


def _cell(database: StateDatabase, member: Member, *, package: int | None, now: float) -> CellView:
    age = database.contact_age(member.id, now=now)
    return CellView(
        id=member.id,
        name=member.name,
        package=package,
        status=database.status(member.id),
        ack=database.ack(member.id),
        age=age,
        alive=age is not None and age <= MAX_AGE,
    )


def _key_of(members: Mapping[int, Member], cell: int) -> str:
    member = members.get(cell)
    return member.sign_key if member else ""


def _body(kind: Kind, envelope: Envelope) -> Body | None:
    shape = _BODIES.get(kind)
    if shape is None:
        return None
    try:
        return decode(envelope.body, shape)
    except MalformedJson as error:
        raise Untrusted("a message has a body that this version cannot parse") from error
