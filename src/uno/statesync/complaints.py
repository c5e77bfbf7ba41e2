"""Complaints about messages: each is logged once in an hour for each node and reason. Pure.

Whoever writes to the bus chooses the number of messages, and the node that they claim to come from.
So nodes that are no members count as one, and a complaint that repeats is counted rather than
logged: none is dropped for good, and the memory is bounded.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from uno.model.messages import REGISTRY

INTERVAL = 3600.0
"""Seconds between two lines about the same node and reason."""

UNKNOWN_NODE = -1
"""All nodes that are not members, as one."""


class _Repeated(Struct):
    logged_at: float
    since: int = 0


class Complaint(Struct, frozen=True):
    """A line to log: what is wrong with messages that the `node` relayed.

    `repeated` is how often that was so since the line before.
    """

    node: int
    reason: str
    repeated: int = 0

    def __str__(self) -> str:
        """Return the line."""
        if self.node == UNKNOWN_NODE:
            source = "a node that is no member"
        else:
            source = "the registry" if self.node == REGISTRY else f"cell {self.node}"
        more = f" ({self.repeated:,} more since the last report)" if self.repeated else ""
        return f"dropped a message from {source}: {self.reason}{more}"


class Complaints:
    """What a node has complained of. Times are of a monotonic clock, in seconds.

    Reasons are constant texts, without anything from a message.
    """

    def __init__(self) -> None:
        """Start without a complaint."""
        self._known: dict[tuple[int, str], _Repeated] = {}

    def note(
        self, node: int, reason: str, *, members: Collection[int], now: float
    ) -> Complaint | None:
        """Note a complaint; return it if it is to be logged."""
        node = node if node == REGISTRY or node in members else UNKNOWN_NODE
        known = self._known.get((node, reason))
        if known is not None and now - known.logged_at < INTERVAL:
            known.since += 1
            return None
        self._known[node, reason] = _Repeated(now)
        return Complaint(node, reason, known.since if known else 0)
