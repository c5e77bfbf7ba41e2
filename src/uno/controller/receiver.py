"""What the registry hears: of whom, whether from themselves, and who says what he should not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from uno.controller.rollout import Heard
from uno.model.messages import REGISTRY, Kind
from uno.ports.bus import FOR_REGISTRY, OWN, RELAY, Channel, Received, Topic
from uno.statesync.envelope import UnknownOrigin, Untrusted
from uno.statesync.state_database import StateDatabase
from uno.statesync.timers import MAX_AGE
from uno.statesync.unknown_origins import UnknownOrigins

if TYPE_CHECKING:
    from uno.model.plan import Member
    from uno.ports.bus import BusEvent

_log = logging.getLogger(__name__)

# What cells say of themselves, what others pass on, and what the registry itself said before: it
# may have forgotten that, if it was restored.
CHANNELS = (
    *(Channel(topic, part) for topic in (Topic.STATUS, Topic.ACK) for part in (OWN, FOR_REGISTRY)),
    *(Channel(topic, RELAY) for topic in (Topic.UVN, Topic.ACTIVATION)),
)

# A cell repeats its status more often than that. One that was never heard has this long.
_DIRECT_FOR = 45.0
_FIRST_WORDS = 5.0


class Ear:
    """What was heard of each cell. Times are of a monotonic clock, in seconds."""

    def __init__(
        self, *, identity: str, registry_key: str, members: Mapping[int, Member], since: float
    ) -> None:
        """Listen `since` then to the cells `members`."""
        self.statements = StateDatabase(
            identity=identity, registry_key=registry_key, members=members
        )
        self._strangers = UnknownOrigins[Received]()
        self._registry_key = registry_key
        self._since = since
        self._direct: dict[int, float] = {}
        # When others first passed on what a cell said, and the cells that said more later.
        self._first: dict[int, float] = {}
        self._sure: set[int] = set()
        self._complaints: set[tuple[int, str]] = set()

    def trust(self, members: Mapping[int, Member], *, now: float) -> None:
        """Listen to these cells from now on, and to what new ones have said before."""
        self.statements.set_members(self._registry_key, members)
        for _, event in self._strangers.take(members, now=now):
            self.hear(event, now=now)

    def hear(self, event: BusEvent, *, now: float) -> None:
        """Take in what came; what cannot be believed is told once."""
        if not isinstance(event, Received):
            return
        said = event.envelope
        if said.subject == REGISTRY and event.channel.partition != RELAY:
            return
        try:
            is_news = self.statements.accept(said, now=now)
        except Untrusted as error:
            if isinstance(error, UnknownOrigin):
                self._strangers.keep(said, event, now=now)
            self.complain(said.relayed_by, error.what)
            return
        if event.channel.partition == OWN:
            self._direct[said.subject] = now
        elif is_news and now - self._first.setdefault(said.subject, now) > _FIRST_WORDS:
            self._sure.add(said.subject)

    def heard(self, *, now: float) -> dict[int, Heard]:
        """Return what is known of each cell."""
        return {cell: self._heard(cell, now) for cell in self.statements.members}

    def unreachable_from_registry(self, *, now: float) -> tuple[int, ...]:
        """Return the cells that are not heard themselves, whoever passes on what they say."""
        return tuple(
            cell for cell in sorted(self.statements.members) if not self._is_near(cell, now)
        )

    def unheard(self, *, now: float) -> frozenset[int]:
        """Return the cells of which nothing is heard, from nobody."""
        ages = {cell: self._age(cell, now) for cell in self.statements.members}
        return frozenset(cell for cell, age in ages.items() if age is None or age > _DIRECT_FOR)

    def since(self, moment: float, *, now: float) -> frozenset[int]:
        """Return the cells of which something new was heard since `moment`."""
        ages = {cell: self._age(cell, now) for cell in self.statements.members}
        return frozenset(
            cell for cell, age in ages.items() if age is not None and now - age >= moment
        )

    def complain(self, relayed_by: int, what: str) -> None:
        """Say once what is wrong with what a cell says, or what is said to it."""
        if (relayed_by, what) not in self._complaints:
            self._complaints.add((relayed_by, what))
            place = f"cell {relayed_by}" if relayed_by else "the registry"
            _log.warning("%s: %s", place, what)

    def own_sequence(self) -> int:
        """Return the highest sequence that this registry was heard to have used; 0 if none."""
        return self.statements.highest_sequence(REGISTRY)

    def _heard(self, cell: int, now: float) -> Heard:
        known = self.statements
        status, ack = known.newest(Kind.STATUS, cell), known.newest(Kind.ACK, cell)
        age = self._age(cell, now)
        return Heard(
            alive=age is not None and age <= MAX_AGE,
            sure=cell in self._direct or cell in self._sure,
            status=known.status(cell),
            said=status.sequence if status else 0,
            ack=known.ack(cell),
            acked=ack.sequence if ack else 0,
        )

    def _age(self, cell: int, now: float) -> float | None:
        return self.statements.contact_age(cell, now=now)

    def _is_near(self, cell: int, now: float) -> bool:
        if cell in self._direct:
            return now - self._direct[cell] <= _DIRECT_FOR
        return now - self._since < _FIRST_WORDS
