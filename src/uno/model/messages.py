"""What agents say to each other: one flat envelope on the wire, and what its body holds.

Envelopes are signed by whom they are about, so that anybody may pass them on. Bodies are JSON
(`model.codec`) that ignores fields it does not know, so that a newer agent talks to an older one;
an offer's body is a sealed package (`statesync.envelope`). No message holds a time of day: what is
newer is told by `sequence`, which a sender never uses twice.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import Struct

REGISTRY = 0
"""The id that stands for the registry, where cells have theirs."""

CONFIRM_TIMEOUT = 30.0
"""Seconds that a cell may be without what it reached before, until it rolls back (RFC 6241)."""


class Kind(IntEnum):
    """What an envelope holds. Numbers are on the wire, and never get another meaning."""

    UVN = 1
    STATUS = 2
    OFFER = 3
    ACTIVATION = 4
    ACK = 5


# Who signs: the registry what concerns all, each cell what concerns itself.
OF_REGISTRY = frozenset({Kind.UVN, Kind.OFFER, Kind.ACTIVATION})


class Envelope(Struct, frozen=True, kw_only=True):
    """A message as it is on the wire.

    `about` is the cell that it is about or for, `REGISTRY` for all; `sequence` grows with every
    message of the same kind and cell; `sender` is who put it on the bus, which nobody vouches for;
    `kind` is a number that a newer uno may know and this one not.
    """

    subject: int
    kind: int
    sequence: int
    relayed_by: int
    body: bytes
    signature: bytes


class UvnAnnouncement(Struct, frozen=True, kw_only=True):
    """What the registry says of the whole UVN.

    `generation` is the one that is being rolled out or in force, `cells` the generation that each
    cell's package has in it, by cell id; `silent` are the cells that the registry does not hear
    itself, whose words others should pass on to it. `rollout` is for people: what the registry is
    doing, empty at rest; `undone` is the newest generation if it was undone, `reason` why: then
    `cells` are those of the generation before.
    """

    generation: int
    cells: dict[int, int] = {}
    unreachable_from_registry: tuple[int, ...] = ()
    version: str = ""
    rollout: str = ""
    undone: int | None = None
    reason: str = ""


class Activation(Struct, frozen=True, kw_only=True):
    """The registry's word to change over: now, on receipt.

    `cells` maps each cell that is to change to the generation of its staged package;
    `confirm_timeout` is how many seconds a cell may be without contact before it rolls back. Links
    named in `batches` (`1-2`) change keys one batch after the other, each `period` seconds after
    the one before, so that there is another path meanwhile; those in `hold` keep their old keys
    until a later activation, since their other end has not staged the new ones. With `undo`, every
    cell that activated `generation` goes back to the package it had before.
    """

    generation: int
    cells: dict[int, int] = {}
    confirm_timeout: float = CONFIRM_TIMEOUT
    batches: tuple[tuple[str, ...], ...] = ()
    period: float = 4.0
    hold: tuple[str, ...] = ()
    undo: bool = False


class Phase(StrEnum):
    """How far a cell is with a package."""

    STAGED = "staged"
    REFUSED = "refused"
    APPLYING = "applying"
    APPLIED = "applied"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    REVERTED = "reverted"


class Ack(Struct, frozen=True, kw_only=True):
    """What became of the package of `generation` on a cell, which now runs that of `running`.

    `refused` and `failed` changed nothing; `reverted` was undone after it had been applied.
    `reason` is for people, empty where all is well. `offer` is the sequence of the offer that this
    answers, so that an answer to an earlier one is told from it; 0 where there was none.
    """

    generation: int
    phase: Phase
    running: int
    reason: str = ""
    offer: int = 0
