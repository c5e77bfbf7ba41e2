"""Receives the advertisements of cells, directly and relayed, and verifies them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from uno.controller.rollout import CellObservation
from uno.model.messages import REGISTRY, Kind
from uno.ports.bus import FOR_REGISTRY, OWN, RELAY, Channel, Received, Topic
from uno.render import package_file
from uno.render.package_file import PackageRejected
from uno.statesync.complaints import Complaints
from uno.statesync.contacts import reached
from uno.statesync.envelope import UnknownOrigin, Untrusted
from uno.statesync.state_database import StateDatabase
from uno.statesync.unknown_origins import UnknownOrigins

if TYPE_CHECKING:
    from uno.model.messages import Envelope
    from uno.model.plan import Member
    from uno.model.status import CellStatus
    from uno.ports.bus import BusEvent

_log = logging.getLogger(__name__)

# The messages of cells, direct and relayed; and those of the registry itself as cells relay them,
# since a restored registry does not have its newest ones.
CHANNELS = (
    *(
        Channel(topic, part)
        for topic in (Topic.STATUS, Topic.ACK, Topic.HELLO)
        for part in (OWN, FOR_REGISTRY)
    ),
    *(
        Channel(topic, RELAY)
        for topic in (
            Topic.UVN,
            Topic.HEARTBEAT,
            Topic.ACTIVATION,
            Topic.TRUST,
            Topic.DIRECTORY,
        )
    ),
)

# Seconds after which a cell from which hellos came directly counts as silent, and those that it has
# to advertise for the first time.
_DIRECT_TIMEOUT = 45.0
_FIRST_TIMEOUT = 5.0

_OLD_KEY = (
    "cells trust a newer key of this registry than it has, and no message of it: restore a backup"
    " from after `uno rekey registry`"
)


class Receiver:
    """The registry's end of the bus. Times are of a monotonic clock, in seconds."""

    def __init__(
        self, *, identity: str, registry_key: str, members: Mapping[int, Member], since: float
    ) -> None:
        """Accept advertisements of the cells `members`, from the time `since` on."""
        self.database = StateDatabase(identity=identity, registry_key=registry_key, members=members)
        self._unknown = UnknownOrigins[Received]()
        self._identity = identity
        self._registry_key = registry_key
        self._since = since
        self._received_directly: dict[int, float] = {}
        # When the first relayed advertisement of a cell arrived, and the cells with later ones.
        self._first_relayed: dict[int, float] = {}
        self._verified: set[int] = set()
        self._complaints = Complaints()

    def trust(self, members: Mapping[int, Member], *, registry_key: str, now: float) -> None:
        """Accept the advertisements of these cells, also those that were received before.

        `registry_key` is the registry's own, in base64.
        """
        self._registry_key = registry_key
        self.database.set_members(self._registry_key, members)
        for _, event in self._unknown.take(members, now=now):
            self.receive(event, now=now)

    def receive(self, event: BusEvent, *, now: float) -> bool:
        """Process an event of the bus, and return whether it is news of a cell.

        Warns once of an advertisement that is not authentic.
        """
        if not isinstance(event, Received):
            return False
        received = event.envelope
        if received.subject == REGISTRY and event.channel.partition != RELAY:
            return False
        try:
            is_new = self.database.accept(received, now=now)
        except Untrusted as error:
            if isinstance(error, UnknownOrigin):
                self._unknown.keep(received, event, now=now)
            self.complain(received.relayed_by, error.what, now=now)
            return False
        if self.database.registry_key != self._registry_key:
            self.complain(REGISTRY, _OLD_KEY, now=now)
        # A hello is no news, unless its cell was silent.
        is_news = is_new and received.kind != Kind.HELLO
        if event.channel.partition != OWN:
            self._note_relayed(received.subject, is_new=is_new, now=now)
            return is_news
        # Any cell can repeat there what another one has advertised before.
        if not self.database.is_newest(received):
            return is_news
        self._note_direct(received)
        before = self._received_directly.get(received.subject, -inf)
        self._received_directly[received.subject] = now
        return is_news or now - before >= _DIRECT_TIMEOUT

    def _note_direct(self, received: Envelope) -> None:
        received_at = self.database.received_at(Kind(received.kind), received.subject)
        if received_at is not None:
            self.database.contacts.note_direct(received.subject, received_at=received_at)

    def _note_relayed(self, cell: int, *, is_new: bool, now: float) -> None:
        if is_new and now - self._first_relayed.setdefault(cell, now) > _FIRST_TIMEOUT:
            self._verified.add(cell)

    def accept_waiting(self, *, now: float) -> None:
        """Accept what cells have advertised too fast, once it is due."""
        self.database.take_waiting(now=now)

    def observations(self, *, now: float) -> dict[int, CellObservation]:
        """Return what was received from each cell."""
        return {cell: self._observation(cell, now) for cell in self.database.members}

    def unreachable_from_registry(self, *, now: float) -> tuple[int, ...]:
        """Return the cells from which nothing is received directly, relayed or not."""
        return tuple(
            cell for cell in sorted(self.database.members) if not self._is_direct(cell, now)
        )

    def silent_since(self, moment: float) -> frozenset[int]:
        """Return the cells from which nothing was received directly since `moment`."""
        return frozenset(
            cell
            for cell in self.database.members
            if self._received_directly.get(cell, moment - 1) < moment
        )

    def unreachable(self, *, now: float) -> frozenset[int]:
        """Return the cells that are not in contact, directly or through others."""
        ages = {cell: self._age(cell, now) for cell in self.database.members}
        near = {c for c, age in ages.items() if age is not None and age <= _DIRECT_TIMEOUT}
        return frozenset(ages) - reached(near, self.database.statuses(), own=None)

    def received_since(self, moment: float, *, now: float) -> frozenset[int]:
        """Return the cells that have advertised something new since `moment`."""
        ages = {cell: self._age(cell, now) for cell in self.database.members}
        return frozenset(
            cell for cell, age in ages.items() if age is not None and now - age >= moment
        )

    def complain(self, relayed_by: int, reason: str, *, now: float) -> None:
        """Log a warning about messages that a node relayed, unless it was logged lately."""
        complaint = self._complaints.note(
            relayed_by, reason, members=self.database.members, now=now
        )
        if complaint is not None:
            _log.warning("%s", complaint)

    def own_sequence(self) -> int:
        """Return the highest sequence of this registry that cells have relayed; 0 if none."""
        return self.database.highest_sequence(REGISTRY)

    def _observation(self, cell: int, now: float) -> CellObservation:
        database = self.database
        status, ack = database.newest(Kind.STATUS, cell), database.newest(Kind.ACK, cell)
        return CellObservation(
            alive=cell in database.in_contact(now=now),
            verified=cell in self._received_directly or cell in self._verified,
            status=database.status(cell),
            status_sequence=status.sequence if status else 0,
            ack=database.ack(cell),
            ack_sequence=ack.sequence if ack else 0,
            proven=self._proven(cell, database.status(cell), now),
        )

    def _proven(self, cell: int, status: CellStatus | None, now: float) -> int | None:
        """Return the generation of the package that a cell has proved to run."""
        if status is None or status.proof is None:
            return None
        try:
            manifest = package_file.read_proven(status.proof, registry_key=self._registry_key)
        except PackageRejected as error:
            self.complain(cell, error.what, now=now)
            return None
        is_its_own = (manifest.identity, manifest.cell) == (self._identity, cell)
        return manifest.generation if is_its_own else None

    def _age(self, cell: int, now: float) -> float | None:
        return self.database.contact_age(cell, now=now)

    def _is_direct(self, cell: int, now: float) -> bool:
        if cell in self._received_directly:
            return now - self._received_directly[cell] <= _DIRECT_TIMEOUT
        return now - self._since < _FIRST_TIMEOUT
