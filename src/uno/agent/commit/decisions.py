"""How a cell changes packages: staged, activated, pending commit, confirmed or rolled back.

Pure: `agent.commit.executor` carries out what is decided here, and the cell's directory
(`agent.commit.ledger`) holds what must survive a crash. A cell runs only what it has staged, and
rolls back by itself from what cuts it off.

The registry's messages have one sequence for all kinds. Those up to `handled` have had their
effect, and bring nothing about a second time, however often they come: else a cell that went back
would change over again at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from msgspec import Struct

from uno.agent.commit.reachability import Reachability, lost
from uno.model.messages import CONFIRM_TIMEOUT, Ack, Activation, Envelope
from uno.model.net import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds that seeing takes: what is seen sooner after a change may be from before it.

    `lease` is how long the bus takes to see that a node is gone. `confirm_timeout` is that of a
    package that was installed by hand.
    """

    lease: float = 7.0
    confirm_timeout: float = CONFIRM_TIMEOUT


class PendingCommit(Struct, frozen=True, kw_only=True):
    """A package that is applied, and not confirmed: the cell may have to go back from it.

    `before` is whom the cell was in contact with under the package of `previous`, and
    `confirm_timeout` how many seconds it may be without them.
    """

    generation: int
    previous: int
    before: Reachability = Reachability()
    confirm_timeout: float = CONFIRM_TIMEOUT


class PersistentState(Struct, frozen=True, kw_only=True):
    """What a cell remembers: the sequence up to which it has `handled` the registry's messages.

    `offer` is the sequence of the offer that brought the staged package, or the one that runs, and
    `ack` what the cell last answered. `lans` are those of its LANs that it was in at least once: if
    such a one is missing it is a fault, and no mistake. `words` are what the registry said last to
    all: it may be gone when all cells start again, or have forgotten how far it has counted.
    """

    handled: int = 0
    offer: int = 0
    ack: Ack | None = None
    lans: tuple[Network, ...] = ()
    words: tuple[Envelope, ...] = ()


class CellState(Struct, frozen=True, kw_only=True):
    """How a cell stands: the generations of its packages, and what it remembers.

    `previous` is None where there is no package to go back to. `held` are the links (`1-2`) that
    are not as in the running package yet.
    """

    running: int
    previous: int | None = None
    staged: int | None = None
    held: frozenset[str] = frozenset()
    trial: PendingCommit | None = None
    memory: PersistentState = PersistentState()


class Order(Enum):
    """What an activation asks of a cell. `RELEASE`: links that were held are to be as planned."""

    NOTHING = auto()
    ACTIVATE = auto()
    RELEASE = auto()
    GO_BACK = auto()
    DISCARD = auto()


class CommitVerdict(Enum):
    """What became of a trial."""

    WAIT = auto()
    CONFIRMED = auto()
    LOST = auto()


def order(standing: CellState, activation: Activation, *, cell: int, sequence: int) -> Order:
    """Return what an activation with this sequence asks of `cell`.

    While a package is on trial nothing new is begun: to be asked again when that has ended.
    """
    if sequence <= standing.memory.handled:
        return Order.NOTHING
    if activation.undo:
        return _undo(standing, activation.cells.get(cell, activation.generation), sequence)
    wanted = activation.cells.get(cell)
    if wanted is None or standing.trial is not None:
        return Order.NOTHING
    if wanted == standing.running and standing.held - frozenset(activation.hold):
        return Order.RELEASE
    return Order.ACTIVATE if wanted == standing.staged else Order.NOTHING


def judge(
    trial: PendingCommit,
    now: Reachability,
    *,
    elapsed: float,
    settled: bool,
    planned: frozenset[int],
    registry_elsewhere: bool,
) -> tuple[CommitVerdict, Reachability]:
    """Return what has become of a trial, and what is not regained yet.

    `elapsed` is how many seconds ago the package was applied, or the agent started if it is running
    since; `settled` tells that what is seen `now` cannot be from before that.
    """
    missing = lost(trial.before, now, planned=planned, registry_elsewhere=registry_elsewhere)
    if not trial.before:
        return CommitVerdict.CONFIRMED, missing
    if not missing and settled:
        return CommitVerdict.CONFIRMED, missing
    if missing and elapsed >= trial.confirm_timeout:
        return CommitVerdict.LOST, missing
    return CommitVerdict.WAIT, missing


def wants_offer(memory: PersistentState, sequence: int) -> bool:
    """Whether an offer of this sequence is one that the cell has not dealt with."""
    return sequence > max(memory.handled, memory.offer)


def _undo(standing: CellState, undone: int, sequence: int) -> Order:
    if undone == standing.running and standing.previous is not None:
        return Order.GO_BACK
    # What was offered after it was undone is another attempt.
    if undone == standing.staged and standing.memory.offer < sequence:
        return Order.DISCARD
    return Order.NOTHING
