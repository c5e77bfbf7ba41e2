"""Messages between agents: one flat envelope on the wire, and the values in its body.

The originator signs an envelope, so that any node can relay it. Bodies are JSON (`model.codec`);
unknown fields are ignored, so that a newer version interoperates with an older one. The body of
an offer is a sealed package (`statesync.envelope`). No message carries a time: the highest
`sequence` is the newest, and an originator uses each number once.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import Struct

from uno.model.package_formats import FIRST

REGISTRY = 0
"""The id of the registry, beside the ids of cells."""

BODY_LIMIT = 8 << 20
"""The largest body of any kind, in bytes: that of an offer."""

SIGNATURE_SIZE = 64
"""The bytes of an Ed25519 signature (RFC 8032, section 5.1.6)."""

CONFIRM_TIMEOUT = 30.0
"""Seconds without what a cell reached before, after which it rolls back (RFC 6241, 8.4)."""


class Kind(IntEnum):
    """The type of a body. The numbers are on the wire and are never reused."""

    UVN = 1
    STATUS = 2
    OFFER = 3
    ACTIVATION = 4
    ACK = 5
    TRUST = 6
    DIRECTORY = 7
    HELLO = 8
    HEARTBEAT = 9


# Kinds that the registry originates. A cell originates its status, its acknowledgements and hellos.
OF_REGISTRY = frozenset(
    {Kind.UVN, Kind.OFFER, Kind.ACTIVATION, Kind.TRUST, Kind.DIRECTORY, Kind.HEARTBEAT}
)


class Envelope(Struct, frozen=True, kw_only=True):
    """A message as it is on the wire.

    `subject` is the cell that the message describes or is for, `REGISTRY` if that is the whole UVN.
    `kind` may be a number that this version does not support. `sequence` grows with every message
    of the originator. `relayed_by` is the node that wrote the envelope to the bus; it is not
    signed.
    """

    subject: int
    kind: int
    sequence: int
    relayed_by: int
    body: bytes
    signature: bytes


def originator(envelope: Envelope) -> int:
    """Return the node that signs an envelope (the advertising router of RFC 2328, 12.1.4)."""
    return REGISTRY if envelope.kind in OF_REGISTRY else envelope.subject


class UvnAnnouncement(Struct, frozen=True, kw_only=True):
    """The state of the whole UVN, as the registry announces it.

    `generation` is being rolled out or in force; `cells` maps each cell id to the generation of the
    cell's package. Other cells relay to the registry what the cells in `unreachable_from_registry`
    originate. Those in `unproven` claim to run generations that the registry has not made, without
    its signature. `rollout` describes the step of a rollout for people, empty at rest. If the
    newest generation was rolled back, `undone` is its number and `reason` the cause, and
    `generation` and `cells` are those of the one before. `waiting` counts the changes that are not
    released. `package_format` is the newest format of packages that the registry writes. `watched`:
    someone watches the UVN at the registry, so that cells advertise what they measure.
    """

    generation: int
    cells: dict[int, int] = {}
    unreachable_from_registry: tuple[int, ...] = ()
    unproven: tuple[int, ...] = ()
    version: str = ""
    rollout: str = ""
    undone: int | None = None
    reason: str = ""
    waiting: int = 0
    package_format: int = FIRST
    watched: bool = False


class HelloMessage(Struct, frozen=True, kw_only=True):
    """A sign of life, of a cell (RFC 2328, 9.5) or of the registry: it has nothing to advertise.

    `newest` is the sequence of its newest status, or announcement: a node without it has lost it.
    """

    newest: int = 0


class Activation(Struct, frozen=True, kw_only=True):
    """The order to activate staged packages, on receipt.

    `cells` maps each cell that activates to the generation of its staged package. A cell rolls back
    after `confirm_timeout` seconds without contact. Links named in `batches` (`1-2`) change keys
    one batch after the other, each `period` seconds after the one before, so that another path is
    up meanwhile. Links in `hold` keep their keys until a later activation, since the cell at the
    other end has not staged the new ones. With `undo`, every cell that activated `generation` rolls
    back.
    """

    generation: int
    cells: dict[int, int] = {}
    confirm_timeout: float = CONFIRM_TIMEOUT
    batches: tuple[tuple[str, ...], ...] = ()
    period: float = 4.0
    hold: tuple[str, ...] = ()
    undo: bool = False


class Phase(StrEnum):
    """The state of a package on a cell."""

    STAGED = "staged"
    REFUSED = "refused"
    APPLYING = "applying"
    APPLIED = "applied"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REVERTED = "reverted"


class Ack(Struct, frozen=True, kw_only=True):
    """A cell's acknowledgement: the state of the package of `generation`; `running` runs now.

    `refused` and `failed` changed nothing; `reverted` was applied and rolled back. `reason` is for
    people, empty without a fault. `offer` is the sequence of the acknowledged offer, 0 without
    one; an earlier offer has another.
    """

    generation: int
    phase: Phase
    running: int
    reason: str = ""
    offer: int = 0
