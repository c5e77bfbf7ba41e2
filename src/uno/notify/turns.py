"""Which cell sends a notice, without an election. Pure.

Each sender derives it from its own view, so that senders with the same view agree, and each half of
a divided UVN reports the other. The first sender that is alive sends at once; those after it wait,
and send what the ones before have not delivered. A cell counts as having reported a condition after
a target has accepted the notice, so that a sender without an uplink passes its turn on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from uno.notify.policy import Notice, NoticeKind

# Seconds that a sender waits for the one before it.
TURN = 30.0


class Senders(Struct, frozen=True, kw_only=True):
    """The cells that may send, as the cell `own` sees them.

    `alive` maps those that are alive, `own` among them, to the ids of the conditions that each has
    reported.
    """

    own: int
    alive: Mapping[int, AbstractSet[str]]

    @property
    def before(self) -> Sequence[int]:
        """The senders that are alive and come before `own`, the first one first."""
        return sorted(cell for cell in self.alive if cell < self.own)


def delay(senders: Senders, notice: Notice) -> float:
    """Return how long `own` waits before it sends a notice, in seconds.

    That something works again is sent by the cell that reported its loss.
    """
    if notice.kind is NoticeKind.FOUND and notice.condition.id in senders.alive[senders.own]:
        return 0.0
    return TURN * len(senders.before)


def is_settled(senders: Senders, notice: Notice) -> bool:
    """Whether another sender has delivered a notice, or is the one that has to.

    After `delay`, a notice that is not settled is sent.
    """
    id_, own = notice.condition.id, senders.own
    others = [cell for cell in senders.alive if cell != own and id_ in senders.alive[cell]]
    if notice.kind is not NoticeKind.FOUND:
        return any(cell < own for cell in others)
    if id_ in senders.alive[own]:
        return False
    return bool(others) or bool(senders.before)
