"""How a cell changes packages: confirmed commit (RFC 6241, section 8.4) as one state machine.

    staged ─▶ activated ─▶ pending commit ─┬▶ confirmed
                  │                        └▶ rolled back
                  └▶ failed

Pure. Every rule about a change of package is in this module. `step` takes the state and an event,
and returns the new state and the commands that follow from it. `agent.commit.executor` executes the
commands on the ledger, the host and the bus, and reports each result as the next event; it has no
rule of its own. A command that fails without an event of its own changes no state: the next input
event yields it again.

The cell runs only packages that it has staged, or that a person has installed, and rolls back by
itself from a package that cuts it off. All messages of the registry share one sequence. A message
with a sequence up to `handled` has had its effect, and has none again however often it arrives:
otherwise a cell that has rolled back would at once activate the same package again.

Inputs:         Started, MessagesReceived, PackageInstalled, ReachabilityObserved,
                ReconcileFailed, LansAttached, CleanupAdvanced
Results:        each command that changes packages has its own, named at the command
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TypeAlias, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from uno.agent.commit.drain_plan import DrainSchedule, schedule_of
from uno.agent.commit.reachability import Reachability, describe, have_answered, missing_after
from uno.model.messages import CONFIRM_TIMEOUT, Ack, Activation, Envelope, Phase
from uno.model.net import Network
from uno.model.status import UndonePackage

PROOF_WAIT = 10.0
"""Seconds for which a confirmation waits for a proof that the cell forwards.

They count from when all that was reached before is reached again: without a link nothing is proved.
"""

# What is on disk.


class PendingCommit(Struct, frozen=True, kw_only=True):
    """A package that is applied and not confirmed: the cell may have to roll back from it.

    `before` is what the cell reached under the package of `previous`. Where it is not reached again
    for `confirm_timeout` seconds, the cell rolls back. With `needs_heartbeat`, the package changes
    what carries the registry's messages: it is confirmed only after a new one was received. With
    `keep`, a person keeps the package whatever it disconnects. `install` is as in
    `InstalledPackage`.
    """

    generation: int
    previous: int
    before: Reachability = Reachability()
    confirm_timeout: float = CONFIRM_TIMEOUT
    needs_heartbeat: bool = False
    keep: bool = False
    install: str = ""


class InstallVerdict(Struct, frozen=True, kw_only=True):
    """How the installation of a package by a person has ended.

    `install` identifies the installation, `phase` is `CONFIRMED`, `FAILED` or `REVERTED`.
    """

    install: str
    generation: int
    phase: Phase
    reason: str = ""


class UndoneChange(Struct, frozen=True, kw_only=True):
    """A package that the cell has rolled back from, or could not apply.

    `at` is in seconds since the epoch, by the host's clock.
    """

    generation: int
    running: int
    reason: str
    at: int

    def seen(self, *, now: int) -> UndonePackage:
        """Return it as a status has it; a clock that was set back makes its age 0."""
        age = max(0, now - self.at)
        return UndonePackage(generation=self.generation, reason=self.reason, age=age)


class PersistentState(Struct, frozen=True, kw_only=True):
    """What a cell keeps across restarts, beside its packages.

    `handled` is the sequence up to which the registry's messages have had their effect; `offer` is
    that of the offer that brought the staged or the running package; `ack` is the last
    acknowledgement. `lans` are the LANs of the cell that the host has been attached to: one of them
    that is missing is a fault of the host, any other is a mistake in the package. `verdict` is of
    the last package that a person installed. `undone` is the last change, if the cell has rolled
    back from it. `last_registry_messages` are the last announcement and activation: the registry
    may be absent when all cells restart, or may have lost its sequence.
    """

    handled: int = 0
    offer: int = 0
    ack: Ack | None = None
    lans: tuple[Network, ...] = ()
    verdict: InstallVerdict | None = None
    undone: UndoneChange | None = None
    last_registry_messages: tuple[Envelope, ...] = ()


class CellState(Struct, frozen=True, kw_only=True):
    """The generations of a cell's packages in its ledger.

    `previous` is None where there is no package to roll back to. With `staged_moves_control`, the
    staged package changes what carries the registry's messages. `deferred` are the links (`1-2`)
    that differ from the running package until their other ends are ready.
    """

    running: int
    previous: int | None = None
    staged: int | None = None
    staged_moves_control: bool = False
    deferred: frozenset[str] = frozenset()
    pending: PendingCommit | None = None
    persistent: PersistentState = PersistentState()


# What is in memory.


class ConfirmLimits(Struct, frozen=True, kw_only=True):
    """Times of confirmed commit, in seconds.

    `lease` is how long the bus takes to detect that a node has left; `confirm_timeout` is that of
    a package that a person installed.
    """

    lease: float = 7.0
    confirm_timeout: float = CONFIRM_TIMEOUT


class Cleanup(Enum):
    """What a change has left to remove: `LINKS` that still carry traffic, or only `FILTERS`."""

    DONE = auto()
    FILTERS = auto()
    LINKS = auto()


class ReceivedActivation(Struct, frozen=True, kw_only=True):
    """The newest activation, its sequence, and when it was received."""

    activation: Activation
    sequence: int
    received_at: float | None = None


class InstalledPackage(Struct, frozen=True, kw_only=True):
    """A package that a person has made the accepted one.

    `install` identifies the installation, empty where nothing waits for its verdict. With `keep`,
    the cell does not roll back from it, whatever it disconnects. `moves_control` is as
    `CellState.staged_moves_control`. `refusal` is why this host cannot run it, empty if it can.
    """

    generation: int
    install: str = ""
    keep: bool = False
    moves_control: bool = False
    refusal: str = ""


class CommitState(Struct, frozen=True, kw_only=True):
    """The state of a cell with respect to its packages.

    `offer` is the sequence of the newest offer received, `answered` that of the newest one that
    this process has answered. `announced` is the generation that the registry announces for the
    cell. `installed` is a package that a person has installed, until it is applied. `applied_at` is
    when the running package was applied, or taken over at a start; `registry_bytes` is how many
    bytes had been received from the registry then, None if unknown, and `registry_sequence` the
    highest sequence of its messages. `regained_at` is since when all that a pending commit requires
    is reached, None if some of it is missing.
    """

    cell: int
    ledger: CellState
    limits: ConfirmLimits = ConfirmLimits()
    offer: int = 0
    answered: int = 0
    activation: ReceivedActivation | None = None
    announced: int | None = None
    installed: InstalledPackage | None = None
    cleanup: Cleanup = Cleanup.DONE
    applied_at: float = 0.0
    registry_bytes: int | None = None
    registry_sequence: int = 0
    regained_at: float | None = None

    @property
    def persistent(self) -> PersistentState:
        """What is kept across restarts."""
        return self.ledger.persistent

    @property
    def pending(self) -> PendingCommit | None:
        """The commit that is not confirmed yet, if there is one."""
        return self.ledger.pending

    @property
    def is_under_way(self) -> bool:
        """Whether the last change is not over: not confirmed, or links are still to be removed.

        Filters that are left from the change before are removed by the next change itself.
        """
        return self.pending is not None or self.cleanup is Cleanup.LINKS


# Events: what the agent reports.


class Started(Struct, frozen=True, kw_only=True):
    """The agent has started, and the running package is applied.

    `installed` is a package that a person has installed, whose installation has no verdict yet.
    """

    now: float
    registry_bytes: int | None = None
    registry_sequence: int = 0
    installed: InstalledPackage | None = None


class MessagesReceived(Struct, frozen=True, kw_only=True):
    """The newest messages of the registry: fields are as in `CommitState`."""

    offer: int = 0
    activation: ReceivedActivation | None = None
    announced: int | None = None


class PackageInstalled(Struct, frozen=True, kw_only=True):
    """A person has made a package the accepted one."""

    installed: InstalledPackage


class ReachabilityObserved(Struct, frozen=True, kw_only=True):
    """What the cell reaches `now`.

    `planned` are the neighbours in the running package, and `answered` has for each link of the
    host when the newest probe that was answered was sent, None if none was. `detection` is how many
    seconds after a change a link that it broke is known to be down. `registry_elsewhere` is whether
    a cell that this one reaches reaches the registry. `registry_bytes` came from the registry
    through WireGuard, which counts authentic bytes only; `registry_is_local`: it runs on this host;
    `registry_sequence` is the highest sequence of its messages, and `registry_contact` that of
    those that came directly. `had_registry`: it was reached less than a lease ago. `unforwarded`
    are LANs of its own that it is proved not to forward for, by a proof that was begun at
    `proved_at`; None if it proves nothing. `names` are those of cells, for messages.
    """

    now: float
    reachability: Reachability
    planned: frozenset[int] = frozenset()
    answered: Mapping[int, float | None] = field(default_factory=dict)
    detection: float = 0.0
    registry_elsewhere: bool = False
    registry_bytes: int | None = None
    registry_is_local: bool = False
    registry_sequence: int = 0
    registry_contact: int = 0
    had_registry: bool = False
    unforwarded: frozenset[Network] = frozenset()
    proved_at: float | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def before(self) -> Reachability:
        """What a change of the registry's way must not cost: also what is interrupted just now."""
        reached = self.reachability
        return replace(reached, registry=reached.registry or self.had_registry)


class ReconcileFailed(Struct, frozen=True, kw_only=True):
    """The host cannot be reconciled with the running package when the agent starts."""

    reason: str
    registry_sequence: int = 0


class LansAttached(Struct, frozen=True, kw_only=True):
    """The host is attached to all LANs of the cell."""

    lans: tuple[Network, ...]


class CleanupAdvanced(Struct, frozen=True, kw_only=True):
    """A step of removing what the previous package needed was taken; `cleanup` is left."""

    cleanup: Cleanup


# Events: results of commands.


class OfferStaged(Struct, frozen=True, kw_only=True):
    """The offer's package is staged, or `is_running` already."""

    sequence: int
    generation: int
    is_running: bool
    ledger: CellState


class OfferRefused(Struct, frozen=True, kw_only=True):
    """The offer's package cannot be staged; `generation` is None where it could not be read."""

    sequence: int
    reason: str
    generation: int | None = None


class Discarded(Struct, frozen=True, kw_only=True):
    """The staged package is removed, because of the activation with this sequence."""

    sequence: int
    ledger: CellState


class Activated(Struct, frozen=True, kw_only=True):
    """The staged package is the accepted one in the ledger, with a pending commit."""

    command: Activate


class ActivationFailed(Struct, frozen=True, kw_only=True):
    """The staged package cannot be made the accepted one."""

    command: Activate
    reason: str


class PendingPut(Struct, frozen=True, kw_only=True):
    """The accepted package has a pending commit in the ledger."""

    pending: PendingCommit


class Applied(Struct, frozen=True, kw_only=True):
    """The accepted package is in force on the host; `cleanup` remains to be removed."""

    now: float
    cleanup: Cleanup
    ledger: CellState
    registry_bytes: int | None = None
    registry_sequence: int = 0


class ApplyFailed(Struct, frozen=True, kw_only=True):
    """The accepted package cannot be applied.

    The host runs the one before it; with `host_changed`, it has to be changed back.
    """

    generation: int
    reason: str
    host_changed: bool = False


class Confirmed(Struct, frozen=True, kw_only=True):
    """The pending commit is removed from the ledger."""

    ledger: CellState


class RolledBack(Struct, frozen=True, kw_only=True):
    """The previous package is the accepted one in the ledger again.

    `at` is in seconds since the epoch.
    """

    command: RollBack
    ledger: CellState
    at: int = 0


class LinksReleased(Struct, frozen=True, kw_only=True):
    """Links that were deferred are changed to the running package, but for those still held."""

    cleanup: Cleanup
    ledger: CellState


CommitEvent: TypeAlias = (
    Started
    | MessagesReceived
    | PackageInstalled
    | ReachabilityObserved
    | ReconcileFailed
    | LansAttached
    | CleanupAdvanced
    | OfferStaged
    | OfferRefused
    | Discarded
    | Activated
    | ActivationFailed
    | PendingPut
    | Applied
    | ApplyFailed
    | Confirmed
    | RolledBack
    | LinksReleased
)


# Commands.


class Observe(Struct, frozen=True, kw_only=True):
    """Observe links and routes now. Result: `ReachabilityObserved`."""


class RestoreMessages(Struct, frozen=True, kw_only=True):
    """Accept and flood the registry's messages from before the restart."""

    messages: tuple[Envelope, ...]


class Stage(Struct, frozen=True, kw_only=True):
    """Verify the package of the offer and stage it. Result: `OfferStaged` or `OfferRefused`."""

    sequence: int


class Discard(Struct, frozen=True, kw_only=True):
    """Remove the staged package from the ledger. Result: `Discarded`."""

    sequence: int


class Activate(Struct, frozen=True, kw_only=True):
    """Make the staged package the accepted one. Result: `Activated` or `ActivationFailed`.

    Links in the schedule's `hold` are deferred.
    """

    pending: PendingCommit
    sequence: int
    schedule: DrainSchedule


class PutPending(Struct, frozen=True, kw_only=True):
    """Put a pending commit for the accepted package into the ledger. Result: `PendingPut`."""

    pending: PendingCommit


class RecordPending(Struct, frozen=True, kw_only=True):
    """Replace the pending commit of the accepted package in the ledger.

    A failure is logged: this process goes on with it.
    """

    pending: PendingCommit


class Apply(Struct, frozen=True, kw_only=True):
    """Change the host to the accepted package. Result: `Applied` or `ApplyFailed`."""

    generation: int
    schedule: DrainSchedule


class Confirm(Struct, frozen=True, kw_only=True):
    """Remove the pending commit from the ledger. Result: `Confirmed`."""

    generation: int


class RollBack(Struct, frozen=True, kw_only=True):
    """Make the previous package the accepted one in the ledger again. Result: `RolledBack`.

    The disk comes first, so that after a crash the previous package is applied. `phase` is how the
    change of `generation` ends: `FAILED` where the host has not changed, else `REVERTED`.
    """

    generation: int
    phase: Phase
    reason: str
    handled: int = 0


class RevertHost(Struct, frozen=True, kw_only=True):
    """Change the host back to the accepted package at once.

    A failure is logged: the agent reconciles the host with the accepted package anyway.
    """


class ReleaseLinks(Struct, frozen=True, kw_only=True):
    """Change links that are deferred, but for those in the schedule's `hold`.

    Result: `LinksReleased`, also after a failure: the agent then reconciles the host.
    """

    generation: int
    schedule: DrainSchedule


class Persist(Struct, frozen=True, kw_only=True):
    """Write the persistent state.

    A failure is logged: this process goes on, and the next one may handle a message again.
    """

    state: PersistentState


class Acknowledge(Struct, frozen=True, kw_only=True):
    """Advertise an acknowledgement."""

    ack: Ack


CommitCommand: TypeAlias = (
    Observe
    | RestoreMessages
    | Stage
    | Discard
    | Activate
    | PutPending
    | RecordPending
    | Apply
    | Confirm
    | RollBack
    | RevertHost
    | ReleaseLinks
    | Persist
    | Acknowledge
)

Transition: TypeAlias = tuple[CommitState, tuple[CommitCommand, ...]]


def step(state: CommitState, event: CommitEvent) -> Transition:  # noqa: PLR0911 - one for each event
    """Return the state after an event, and the commands to execute, in this order."""
    match event:
        case Started():
            return _start(state, event)
        case MessagesReceived():
            return _decide(
                replace(
                    state,
                    offer=max(state.offer, event.offer),
                    activation=event.activation or state.activation,
                    announced=event.announced,
                )
            )
        case PackageInstalled():
            return _installed(state, event.installed)
        case ReachabilityObserved():
            return _observed(state, event)
        case ReconcileFailed():
            return state, _roll_back(state, event.reason, event.registry_sequence)
        case LansAttached():
            return _attached(state, event.lans)
        case CleanupAdvanced():
            return replace(state, cleanup=event.cleanup), ()
        case _:
            return _result(state, event)


# Inputs.


def _start(state: CommitState, event: Started) -> Transition:
    """Begin the whole confirm timeout of a pending commit again, and repeat the last answer.

    An installation that the process before has not taken note of is in force now.
    """
    messages = state.persistent.last_registry_messages
    state = replace(
        state,
        applied_at=event.now,
        registry_bytes=event.registry_bytes,
        # What is restored is not new.
        registry_sequence=max([event.registry_sequence, *(each.sequence for each in messages)]),
    )
    ack = state.persistent.ack
    restore = RestoreMessages(messages=messages)
    commands = (restore,) if ack is None else (restore, Acknowledge(ack=ack))
    if event.installed is None:
        return state, commands
    state, more = _installed(state, event.installed)
    return state, (*commands, *more)


def _installed(state: CommitState, installed: InstalledPackage) -> Transition:
    """Put an installed package on trial, unless it is the one that runs."""
    if installed.generation != state.ledger.running:
        state = replace(state, installed=installed)
        if installed.refusal:
            return state, (_refuse_installed(installed),)
        return _decide(state)
    if state.pending is None:
        state = _with_verdict(state, installed.install, Phase.CONFIRMED)
        return state, (Persist(state=state.persistent),)
    keep = state.pending.keep or installed.keep
    pending = replace(state.pending, keep=keep, install=installed.install)
    state = replace(state, ledger=replace(state.ledger, pending=pending))
    return state, (RecordPending(pending=pending),)


def _refuse_installed(installed: InstalledPackage) -> CommitCommand:
    """Return to the package that runs: the host has not changed."""
    return RollBack(generation=installed.generation, phase=Phase.FAILED, reason=installed.refusal)


def _decide(state: CommitState) -> Transition:
    """Return what the state requires, without an observation.

    A pending commit defers all but its undo until it has ended. A cell whose package is staged may
    be activated, and all cells are to begin together: so it stages none before it can begin.
    """
    if state.pending is None:
        if state.installed is not None and state.cleanup is Cleanup.DONE:
            return state, (Observe(),)
        if _wants_offer(state) and not state.is_under_way:
            return replace(state, answered=state.offer), (Stage(sequence=state.offer),)
    return _activation(state, None)


def _observed(state: CommitState, event: ReachabilityObserved) -> Transition:
    if state.pending is not None:
        verdict, missing = evaluate(state, state.pending, event)
        generation = state.pending.generation
        state = replace(state, regained_at=None if missing else _regained_at(state, event))
        if verdict is CommitVerdict.CONFIRM:
            return state, (Confirm(generation=generation),)
        if verdict is CommitVerdict.ROLL_BACK and state.ledger.previous is None:
            # The keys of the package before are revoked, so that it reaches nothing either.
            return state, (Confirm(generation=generation),)
        if verdict is CommitVerdict.ROLL_BACK:
            reason = f"it lost {describe(missing, event.names)}"
            return state, _roll_back(state, reason, event.registry_sequence)
        return state, ()
    if state.installed is not None and state.cleanup is Cleanup.DONE:
        before = event.before if state.installed.moves_control else event.reachability
        return state, (_put_pending(state, state.installed, before),)
    return _activation(state, event)


def _put_pending(
    state: CommitState, installed: InstalledPackage, before: Reachability
) -> CommitCommand:
    pending = PendingCommit(
        generation=installed.generation,
        previous=state.ledger.running,
        before=before,
        confirm_timeout=state.limits.confirm_timeout,
        # A person also installs packages while the registry is off.
        needs_heartbeat=installed.moves_control and before.registry,
        keep=installed.keep,
        install=installed.install,
    )
    return PutPending(pending=pending)


def _wants_offer(state: CommitState) -> bool:
    """Whether the newest offer is one that the cell has neither handled nor answered."""
    persistent = state.persistent
    return state.offer > max(persistent.handled, persistent.offer, state.answered)


def _activation(state: CommitState, seen: ReachabilityObserved | None) -> Transition:
    """Return what the newest activation requires; `seen` is what the cell reaches now, if known.

    An activation that cannot take effect yet is kept: its package may not be staged, or the last
    change not be over.
    """
    received, ledger = state.activation, state.ledger
    if received is None or received.sequence <= state.persistent.handled:
        return state, ()
    activation, sequence = received.activation, received.sequence
    if activation.undo:
        return state, _undo(state, activation, sequence)
    wanted = activation.cells.get(state.cell)
    if wanted is None or state.is_under_way:
        return state, ()
    if wanted == ledger.running and ledger.deferred - frozenset(activation.hold):
        schedule = schedule_of(activation, started_at=received.received_at)
        state, persist = _persist(state, handled=sequence)
        return state, (persist, ReleaseLinks(generation=wanted, schedule=schedule))
    if wanted == ledger.staged:
        return state, _activate(state, received, seen)
    return state, ()


def _activate(
    state: CommitState, received: ReceivedActivation, seen: ReachabilityObserved | None
) -> tuple[CommitCommand, ...]:
    if seen is None:
        return (Observe(),)
    if state.ledger.staged_moves_control and _may_be_discovering(state, seen):
        return ()
    activation = received.activation
    pending = PendingCommit(
        generation=activation.cells[state.cell],
        previous=state.ledger.running,
        before=seen.before if state.ledger.staged_moves_control else seen.reachability,
        confirm_timeout=activation.confirm_timeout,
        needs_heartbeat=state.ledger.staged_moves_control,
    )
    schedule = schedule_of(activation, started_at=received.received_at)
    return (Activate(pending=pending, sequence=received.sequence, schedule=schedule),)


def _may_be_discovering(state: CommitState, seen: ReachabilityObserved) -> bool:
    """Whether the cell has had no time yet to discover the registry on the bus that it has joined.

    Such a cell cannot record whether the registry reaches it.
    """
    return not seen.before.registry and seen.now - state.applied_at < state.limits.lease


def _undo(state: CommitState, activation: Activation, sequence: int) -> tuple[CommitCommand, ...]:
    undone = activation.cells.get(state.cell, activation.generation)
    if undone == state.ledger.running and state.ledger.previous is not None:
        return _roll_back(state, "it was undone for all", sequence)
    # What was offered after the undo is another attempt.
    if undone == state.ledger.staged and state.persistent.offer < sequence:
        return (Discard(sequence=sequence),)
    return ()


def _roll_back(state: CommitState, reason: str, handled: int) -> tuple[CommitCommand, ...]:
    return (
        RollBack(
            generation=state.ledger.running, phase=Phase.REVERTED, reason=reason, handled=handled
        ),
    )


def _attached(state: CommitState, lans: tuple[Network, ...]) -> Transition:
    if set(lans) == set(state.persistent.lans):
        return state, ()
    persistent = replace(state.persistent, lans=lans)
    return _with_persistent(state, persistent), (Persist(state=persistent),)


# Whether a pending commit is confirmed.


class CommitVerdict(Enum):
    """What an observation means for a pending commit."""

    WAIT = auto()
    CONFIRM = auto()
    ROLL_BACK = auto()


def evaluate(
    state: CommitState, pending: PendingCommit, seen: ReachabilityObserved
) -> tuple[CommitVerdict, Reachability]:
    """Return what an observation means for a pending commit, and what is not reached again.

    A cell that reached nothing before has nothing to lose. A package that changes what carries the
    registry's messages may make all cells lose the registry at once, which does not show that the
    registry has failed: so a new message is required.
    """
    missing = missing_after(
        pending.before,
        seen.reachability,
        planned=seen.planned,
        registry_elsewhere=seen.registry_elsewhere,
        unforwarded=seen.unforwarded,
    )
    if pending.needs_heartbeat and not _has_heartbeat(state, pending.before, seen):
        missing = replace(missing, registry=True)
    if pending.keep:
        return CommitVerdict.CONFIRM, missing
    has_nothing_to_lose = not pending.before and not pending.needs_heartbeat
    if has_nothing_to_lose or (not missing and _is_settled(state, pending.before, seen)):
        return CommitVerdict.CONFIRM, missing
    if seen.now - state.applied_at < pending.confirm_timeout:
        return CommitVerdict.WAIT, missing
    if not missing and not _is_contact_proved(state, pending.before, seen):
        missing = Reachability(registry=True)
    return CommitVerdict.ROLL_BACK if missing else CommitVerdict.WAIT, missing


def _has_heartbeat(state: CommitState, before: Reachability, seen: ReachabilityObserved) -> bool:
    """Whether a message of the registry has come since the change, in the way it came before."""
    if not before.registry:
        return seen.registry_sequence > state.registry_sequence
    return _has_contact(state, seen)


def _has_contact(state: CommitState, seen: ReachabilityObserved) -> bool:
    """Whether a message of the registry has come directly that is newer than the change."""
    return seen.registry_contact > state.registry_sequence


def _is_settled(state: CommitState, before: Reachability, seen: ReachabilityObserved) -> bool:
    """Whether nothing that is observed can be from before the change."""
    elapsed = seen.now - state.applied_at
    if elapsed < seen.detection and not have_answered(
        before.neighbours, seen.answered, since=state.applied_at
    ):
        return False
    if before.lans and not _is_proved(state, seen):
        return False
    if before.registry and not seen.reachability.registry:
        return elapsed >= state.limits.lease
    return _is_contact_proved(state, before, seen)


def _is_contact_proved(
    state: CommitState, before: Reachability, seen: ReachabilityObserved
) -> bool:
    """Whether the registry was in contact since the change, if it counts.

    Any cell can relay what the registry has signed; WireGuard's bytes come from the registry alone.
    A registry on the cell's own host is reached without WireGuard, and nobody can stand in for it.
    """
    if not before.registry or not seen.reachability.registry:
        return True
    if seen.registry_is_local:
        return seen.now - state.applied_at >= state.limits.lease
    if seen.registry_bytes is not None and state.registry_bytes is not None:
        return seen.registry_bytes not in {0, state.registry_bytes}
    return _has_contact(state, seen)


def _is_proved(state: CommitState, seen: ReachabilityObserved) -> bool:
    """Whether forwarding was proved or disproved since the change, or nothing will be soon."""
    if seen.proved_at is not None and seen.proved_at >= state.applied_at:
        return True
    return seen.now - _regained_at(state, seen) >= PROOF_WAIT


def _regained_at(state: CommitState, seen: ReachabilityObserved) -> float:
    """Return since when nothing is missing, where nothing is."""
    return seen.now if state.regained_at is None else state.regained_at


# Results of commands.


def _result(  # noqa: C901, PLR0911 - one for each result
    state: CommitState,
    event: OfferStaged
    | OfferRefused
    | Discarded
    | Activated
    | ActivationFailed
    | PendingPut
    | Applied
    | ApplyFailed
    | Confirmed
    | RolledBack
    | LinksReleased,
) -> Transition:
    match event:
        case OfferStaged():
            return _staged(_with_ledger(state, event.ledger), event)
        case OfferRefused():
            generation = event.generation or state.announced or state.ledger.running
            return _answer(state, Phase.REFUSED, generation, event.reason, offer=event.sequence)
        case Discarded():
            state, persist = _persist(_with_ledger(state, event.ledger), handled=event.sequence)
            return state, (persist,)
        case Activated():
            sequence, generation = event.command.sequence, event.command.pending.generation
            state, answer = _answer(state, Phase.APPLYING, generation, handled=sequence)
            return state, (*answer, Apply(generation=generation, schedule=event.command.schedule))
        case ActivationFailed():
            sequence, generation = event.command.sequence, event.command.pending.generation
            return _answer(state, Phase.FAILED, generation, event.reason, handled=sequence)
        case PendingPut():
            apply = Apply(generation=event.pending.generation, schedule=DrainSchedule())
            state = replace(
                state, installed=None, ledger=replace(state.ledger, pending=event.pending)
            )
            return state, (apply,)
        case Applied():
            state = replace(
                _with_ledger(state, event.ledger),
                cleanup=event.cleanup,
                applied_at=event.now,
                registry_bytes=event.registry_bytes,
                registry_sequence=event.registry_sequence,
                regained_at=None,
            )
            return _answer(state, Phase.APPLIED, state.ledger.running)
        case ApplyFailed():
            phase = Phase.REVERTED if event.host_changed else Phase.FAILED
            generation = event.generation
            return state, (RollBack(generation=generation, phase=phase, reason=event.reason),)
        case Confirmed():
            return _confirmed(state, event.ledger)
        case RolledBack():
            return _rolled_back(state, event)
        case LinksReleased():
            return replace(_with_ledger(state, event.ledger), cleanup=event.cleanup), ()
        case _:
            assert_never(event)


def _staged(state: CommitState, event: OfferStaged) -> Transition:
    if not event.is_running:
        phase = Phase.STAGED
    else:
        phase = Phase.APPLIED if state.pending is not None else Phase.CONFIRMED
    persistent = replace(state.persistent, offer=event.sequence)
    return _answer(_with_persistent(state, persistent), phase, event.generation)


def _rolled_back(state: CommitState, event: RolledBack) -> Transition:
    command = event.command
    generation, reason = command.generation, command.reason
    install = _install_of(state, generation)
    state = replace(_with_ledger(state, event.ledger), installed=None)
    undone = UndoneChange(
        generation=generation, running=state.ledger.running, reason=reason, at=event.at
    )
    state = _with_persistent(state, replace(state.persistent, undone=undone))
    state = _with_verdict(state, install, command.phase, generation=generation, reason=reason)
    if command.phase is Phase.FAILED:
        return _answer(state, Phase.FAILED, generation, reason)
    state, persist = _persist(replace(state, cleanup=Cleanup.DONE), handled=command.handled)
    state, answer = _answer(state, command.phase, generation, reason)
    return state, (persist, RevertHost(), *answer)


def _confirmed(state: CommitState, ledger: CellState) -> Transition:
    install = _install_of(state, ledger.running)
    state = _with_ledger(state, ledger)
    state = _with_persistent(state, replace(state.persistent, undone=None))
    state = _with_verdict(state, install, Phase.CONFIRMED)
    return _answer(state, Phase.CONFIRMED, ledger.running)


def _install_of(state: CommitState, generation: int) -> str:
    """Return what identifies the installation of this generation, empty if no person waits."""
    for each in (state.pending, state.installed):
        if each is not None and each.generation == generation:
            return each.install
    return ""


def _with_verdict(
    state: CommitState,
    install: str,
    phase: Phase,
    *,
    generation: int | None = None,
    reason: str = "",
) -> CommitState:
    """Return the state with the verdict on an installation, if there was one."""
    if not install:
        return state
    verdict = InstallVerdict(
        install=install,
        generation=state.ledger.running if generation is None else generation,
        phase=phase,
        reason=reason,
    )
    return _with_persistent(state, replace(state.persistent, verdict=verdict))


def _with_ledger(state: CommitState, ledger: CellState) -> CommitState:
    """Return the state with the packages of the ledger; what is persistent is that in memory."""
    return replace(state, ledger=replace(ledger, persistent=state.persistent))


def _with_persistent(state: CommitState, persistent: PersistentState) -> CommitState:
    return replace(state, ledger=replace(state.ledger, persistent=persistent))


def _answer(
    state: CommitState,
    phase: Phase,
    generation: int,
    reason: str = "",
    *,
    offer: int | None = None,
    handled: int = 0,
) -> Transition:
    """Return the commands that advertise how far a change is, once that is on disk."""
    ack = Ack(
        generation=generation,
        phase=phase,
        running=state.ledger.running,
        reason=reason,
        offer=state.persistent.offer if offer is None else offer,
    )
    persistent = replace(state.persistent, ack=ack)
    state, persist = _persist(_with_persistent(state, persistent), handled=handled)
    return state, (persist, Acknowledge(ack=ack))


def _persist(state: CommitState, *, handled: int) -> tuple[CommitState, Persist]:
    """Return the command that writes the persistent state. `handled` never decreases."""
    persistent = replace(state.persistent, handled=max(handled, state.persistent.handled))
    return _with_persistent(state, persistent), Persist(state=persistent)
