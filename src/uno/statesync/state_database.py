"""What a node has heard: the newest statement of each kind about each cell, verified.

Who passes a statement on does not matter, since it is signed by whom it is about. What is newer is
told by its sequence, and how long ago it was first heard by the clock of whoever listens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from uno.model.codec import Malformed, decode
from uno.model.messages import (
    OF_REGISTRY,
    REGISTRY,
    Ack,
    Activation,
    Envelope,
    Kind,
    UvnAnnouncement,
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
class _Heard:
    envelope: Envelope
    body: Body | None
    at: float


class StateDatabase:
    """The newest statements about each cell and the registry, as one node knows them.

    Offers are kept too, as they are: only the cell that one is for can open it.
    """

    def __init__(self, *, identity: str, registry_key: str, members: Mapping[int, Member]) -> None:
        """Believe the registry with this key (base64) and these cells of the UVN `identity`."""
        self._identity = identity
        self._registry_key = registry_key
        self._members = dict(members)
        self._heard: dict[tuple[Kind, int], _Heard] = {}

    @property
    def members(self) -> Mapping[int, Member]:
        """The cells that are believed, by id."""
        return self._members

    def accept(self, envelope: Envelope, *, now: float) -> bool:
        """Take in what came, and return whether it is newer than what was known.

        `now` is the local monotonic clock, in seconds. Raises `Untrusted` if it is not signed by
        whom it is about or holds what cannot be read, `Stranger` if that is no member.
        """
        kind = self._kind(envelope)
        known = self._heard.get((kind, envelope.subject))
        # Before the signature is looked at: every statement comes many times, once on each way.
        if known is not None and envelope.sequence <= known.envelope.sequence:
            return False
        verify(envelope, identity=self._identity, public_key=self._key(kind, envelope.subject))
        self._heard[kind, envelope.subject] = _Heard(envelope, _body(kind, envelope), now)
        return True

    def newest(self, kind: Kind, subject: int) -> Envelope | None:
        """Return the newest statement of a kind about a cell, or None if none was heard."""
        found = self._heard.get((kind, subject))
        return found.envelope if found else None

    def registry_announcement(self) -> UvnAnnouncement | None:
        """Return what the registry said last of the whole UVN."""
        body = self.body(Kind.UVN, REGISTRY)
        return body if isinstance(body, UvnAnnouncement) else None

    def activation(self) -> Activation | None:
        """Return the registry's last word to change over."""
        body = self.body(Kind.ACTIVATION, REGISTRY)
        return body if isinstance(body, Activation) else None

    def status(self, cell: int) -> CellStatus | None:
        """Return what a cell said last of itself."""
        body = self.body(Kind.STATUS, cell)
        return body if isinstance(body, CellStatus) else None

    def statuses(self) -> dict[int, CellStatus]:
        """Return what each cell said last of itself, of those that have said anything."""
        found = {cell: self.status(cell) for cell in self._members}
        return {cell: said for cell, said in found.items() if said is not None}

    def ack(self, cell: int) -> Ack | None:
        """Return what a cell said last of a package."""
        body = self.body(Kind.ACK, cell)
        return body if isinstance(body, Ack) else None

    def body(self, kind: Kind, subject: int) -> Body | None:
        """Return what the newest statement holds; None for an offer, and if none was heard."""
        found = self._heard.get((kind, subject))
        return found.body if found else None

    def age(self, kind: Kind, subject: int, *, now: float) -> float | None:
        """Return how many seconds ago the newest statement was first heard, or None."""
        found = self._heard.get((kind, subject))
        return max(0.0, now - found.at) if found else None

    def received_at(self, kind: Kind, subject: int) -> float | None:
        """Return when the newest advertisement was first received, None if there is none."""
        found = self._heard.get((kind, subject))
        return found.at if found else None

    def contact_age(self, subject: int, *, now: float) -> float | None:
        """Return how many seconds ago anything new was heard of a cell or of the registry."""
        kinds = OF_REGISTRY if subject == REGISTRY else (Kind.STATUS, Kind.ACK)
        ages = [age for kind in kinds if (age := self.age(kind, subject, now=now)) is not None]
        return min(ages, default=None)

    def highest_sequence(self, author: int) -> int:
        """Return the highest sequence that a cell, or the registry, was heard to use; 0 if none.

        Whose own words come back with a higher one than it remembers has to go on above it.
        """
        return max(
            (
                each.envelope.sequence
                for (kind, subject), each in self._heard.items()
                if (REGISTRY if kind in OF_REGISTRY else subject) == author
            ),
            default=0,
        )

    def set_members(self, registry_key: str, members: Mapping[int, Member]) -> None:
        """Believe others from now on; what those said who are no longer believed is forgotten."""
        gone = {
            (kind, subject)
            for kind, subject in self._heard
            if (subject != REGISTRY and subject not in members)
            or (kind in OF_REGISTRY and registry_key != self._registry_key)
            or (kind not in OF_REGISTRY and _key_of(members, subject) != self._key(kind, subject))
        }
        for key in gone:
            del self._heard[key]
        self._registry_key = registry_key
        self._members = dict(members)

    def _kind(self, envelope: Envelope) -> Kind:
        try:
            kind = Kind(envelope.kind)
        except ValueError as error:
            raise Untrusted("a message is of a kind that this version does not know") from error
        if (envelope.subject == REGISTRY) != (kind in {Kind.UVN, Kind.ACTIVATION}):
            raise Untrusted("a message is about one whom its kind is not for")
        if envelope.subject != REGISTRY and envelope.subject not in self._members:
            raise UnknownOrigin(f"a message is about cell {envelope.subject}, which is no member")
        return kind

    def _key(self, kind: Kind, subject: int) -> str:
        return self._registry_key if kind in OF_REGISTRY else _key_of(self._members, subject)


def view(  # noqa: PLR0913 - what the viewer alone knows comes by name
    statements: StateDatabase,
    *,
    uvn: str,
    viewer: int,
    now: float,
    registry: bool | None = None,
    generation: int | None = None,
    packages: Mapping[int, int] | None = None,
    rollout: str | None = None,
    undone: int | None = None,
    reason: str | None = None,
) -> UvnView:
    """Return the whole UVN as the node `viewer` knows it at `now`.

    What is not given is as the registry last announced it. `registry` tells whether the viewer
    hears the registry, `packages` the generation that each cell should run, by its id.
    """
    said = statements.registry_announcement() or UvnAnnouncement(generation=0)
    if registry is None:
        registry = _fresh(statements.contact_age(REGISTRY, now=now))
    should = said.cells if packages is None else packages
    return UvnView(
        uvn=uvn,
        viewer=viewer,
        generation=said.generation if generation is None else generation,
        cells=tuple(
            _cell(statements, member, package=should.get(member.id), now=now)
            for member in sorted(statements.members.values(), key=lambda each: each.id)
        ),
        registry=registry,
        rollout=said.rollout if rollout is None else rollout,
        undone=said.undone if undone is None else undone,
        reason=said.reason if reason is None else reason,
    )


def _cell(
    statements: StateDatabase, member: Member, *, package: int | None, now: float
) -> CellView:
    heard = statements.contact_age(member.id, now=now)
    return CellView(
        id=member.id,
        name=member.name,
        package=package,
        status=statements.status(member.id),
        ack=statements.ack(member.id),
        heard=heard,
        alive=_fresh(heard),
    )


def _fresh(age: float | None) -> bool:
    return age is not None and age <= MAX_AGE


def _key_of(members: Mapping[int, Member], cell: int) -> str:
    member = members.get(cell)
    return member.sign_key if member else ""


def _body(kind: Kind, envelope: Envelope) -> Body | None:
    shape = _BODIES.get(kind)
    if shape is None:
        return None
    try:
        return decode(envelope.body, shape)
    except Malformed as error:
        raise Untrusted("a message holds what this version cannot read") from error
