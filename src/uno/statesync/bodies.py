"""The bodies of messages: the one place where what another machine wrote becomes values. Pure.

A body is bounded in size by its kind before it is parsed, and every text and number in it is safe
to show and to store (`model.untrusted_text`).
"""

from __future__ import annotations

from typing import TypeAlias

from uno.model.codec import MalformedJson, decode
from uno.model.messages import BODY_LIMIT, Ack, Activation, HelloMessage, Kind, UvnAnnouncement
from uno.model.network_directory import MAX_SIZE, Directory
from uno.model.status import CellStatus
from uno.model.trust import TrustUpdate
from uno.model.untrusted_text import made_safe

Body: TypeAlias = (
    UvnAnnouncement | Activation | CellStatus | Ack | TrustUpdate | Directory | HelloMessage
)

_TYPES: dict[Kind, type[Body]] = {
    Kind.UVN: UvnAnnouncement,
    Kind.STATUS: CellStatus,
    Kind.ACTIVATION: Activation,
    Kind.ACK: Ack,
    Kind.TRUST: TrustUpdate,
    Kind.DIRECTORY: Directory,
    Kind.HELLO: HelloMessage,
    Kind.HEARTBEAT: HelloMessage,
}

# What the registry announces grows with the cells of the UVN, an activation with the links too. A
# status has a fixed part, with particles and texts, and one for each cell.
_LIMITS = {
    Kind.UVN: 1 << 20,
    Kind.STATUS: 128 << 10,
    Kind.OFFER: BODY_LIMIT,
    Kind.ACTIVATION: 1 << 20,
    Kind.ACK: 16 << 10,
    # 64 keys, and 1,000 revocations.
    Kind.TRUST: 64 << 10,
    # A newer registry may write more than this version would.
    Kind.DIRECTORY: 2 * MAX_SIZE,
    Kind.HELLO: 1 << 10,
    Kind.HEARTBEAT: 1 << 10,
}
_STATUS_PER_MEMBER = 1 << 10


class MalformedBody(ValueError):
    """A body that is too large for its kind, or cannot be parsed."""


def size_limit(kind: Kind, *, members: int) -> int:
    """Return the largest body of a kind, in bytes, in a UVN with so many cells."""
    return _LIMITS[kind] + (_STATUS_PER_MEMBER * members if kind is Kind.STATUS else 0)


def parse(kind: Kind, body: bytes) -> Body | None:
    """Return the value of a body, None for an offer, which is sealed. Raises `MalformedBody`."""
    expected = _TYPES.get(kind)
    if expected is None:
        return None
    try:
        return made_safe(decode(body, expected))
    except (MalformedJson, ValueError) as error:
        raise MalformedBody(str(error)) from error
