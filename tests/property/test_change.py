"""In whatever order messages arrive and agents crash: no cell runs what it did not stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from uno.agent.commit.commit_machine import (
    Acknowledge,
    Activate,
    Activated,
    Applied,
    Apply,
    ApplyFailed,
    CellState,
    Cleanup,
    CommitCommand,
    CommitEvent,
    CommitState,
    CommitVerdict,
    Confirm,
    Confirmed,
    Discard,
    Discarded,
    InstalledPackage,
    MessagesReceived,
    Observe,
    OfferStaged,
    PackageInstalled,
    PendingCommit,
    PendingPut,
    Persist,
    PutPending,
    ReachabilityObserved,
    ReceivedActivation,
    RecordPending,
    RollBack,
    RolledBack,
    Stage,
    Started,
    evaluate,
    step,
)
from uno.agent.commit.reachability import Reachability, missing_after
from uno.model.messages import Activation, Phase

CELL = 7
NEIGHBOURS = frozenset({1, 2, 3})

EVERYTHING = Reachability(registry=True, neighbours=NEIGHBOURS)

reached = st.builds(
    Reachability,
    registry=st.booleans(),
    neighbours=st.frozensets(st.sampled_from(sorted(NEIGHBOURS))),
)


@given(before=reached, now=reached, elsewhere=st.booleans())
def test_nothing_is_missing_that_was_not_reached_before(
    *, before: Reachability, now: Reachability, elsewhere: bool
) -> None:
    missing = missing_after(before, now, planned=NEIGHBOURS, registry_elsewhere=elsewhere)

    assert missing.neighbours == before.neighbours - now.neighbours
    assert not missing.registry or (before.registry and not now.registry)


@given(before=reached, now=reached, planned=st.frozensets(st.sampled_from(sorted(NEIGHBOURS))))
def test_only_neighbours_that_are_still_planned_can_be_missing(
    before: Reachability, now: Reachability, planned: frozenset[int]
) -> None:
    missing = missing_after(before, now, planned=planned, registry_elsewhere=True)

    assert missing.neighbours <= planned


@given(before=reached, now=reached)
def test_a_registry_that_no_cell_reaches_is_not_missing_while_a_neighbour_is_reached(
    before: Reachability, now: Reachability
) -> None:
    missing = missing_after(before, now, planned=NEIGHBOURS, registry_elsewhere=False)

    assert not (missing.registry and now.neighbours)


@given(
    before=reached,
    now=reached,
    elapsed=st.floats(10, 100),
    elsewhere=st.booleans(),
    contact=st.booleans(),
)
def test_a_pending_commit_ends_within_its_timeout_one_way_or_the_other(
    *, before: Reachability, now: Reachability, elapsed: float, elsewhere: bool, contact: bool
) -> None:
    pending = PendingCommit(generation=2, previous=1, before=before, confirm_timeout=30)
    state = CommitState(cell=CELL, ledger=CellState(running=2, previous=1, pending=pending))
    seen = ReachabilityObserved(
        now=elapsed,
        reachability=now,
        planned=NEIGHBOURS,
        registry_elsewhere=elsewhere,
        registry_contact=1 if contact else 0,
    )
    is_unproved = before.registry and now.registry and not contact

    verdict, missing = evaluate(state, pending, seen)

    is_lacking = bool(missing) or is_unproved
    assert (verdict is CommitVerdict.CONFIRM) == (not is_lacking or not before)
    assert (verdict is CommitVerdict.ROLL_BACK) == (is_lacking and bool(before) and elapsed >= 30)


@given(
    before=reached,
    now=reached,
    elapsed=st.floats(0, 100),
    contact=st.integers(0, 2),
    elsewhere=st.booleans(),
    sequence=st.integers(0, 2),
)
def test_a_moved_control_path_is_confirmed_after_a_heartbeat_alone_and_else_rolled_back(
    *,
    before: Reachability,
    now: Reachability,
    elapsed: float,
    contact: int,
    elsewhere: bool,
    sequence: int,
) -> None:
    pending = PendingCommit(
        generation=2, previous=1, before=before, confirm_timeout=30, needs_heartbeat=True
    )
    ledger = CellState(running=2, previous=1, pending=pending)
    state = CommitState(cell=CELL, ledger=ledger, applied_at=10, registry_sequence=1)
    seen = ReachabilityObserved(
        now=10 + elapsed,
        reachability=now,
        planned=NEIGHBOURS,
        registry_elsewhere=elsewhere,
        registry_contact=contact,
        registry_sequence=sequence,
    )
    has_heartbeat = contact > 1 if before.registry else sequence > 1

    verdict, missing = evaluate(state, pending, seen)

    assert has_heartbeat or missing.registry
    assert has_heartbeat or verdict is not CommitVerdict.CONFIRM
    assert has_heartbeat or elapsed < 30 or verdict is CommitVerdict.ROLL_BACK
    assert evaluate(state, replace(pending, keep=True), seen)[0] is CommitVerdict.CONFIRM


class Crash(Exception):
    """The process ends before it executes a command."""


@dataclass
class Node:
    """A ledger, a host and a bus of the least that commands need, and no rule of a change."""

    disk: CellState = field(default_factory=lambda: CellState(running=1))
    offered: dict[int, int] = field(default_factory=dict)
    reachability: Reachability = EVERYTHING
    now: float = 0.0
    newest: int = 0
    fails: bool = False
    hears: bool = True
    moving: set[int] = field(default_factory=set)
    request: InstalledPackage | None = None
    crash_after: int | None = None
    executed: list[CommitCommand] = field(default_factory=list)

    def execute(  # noqa: C901, PLR0911, PLR0912 - one case for each command
        self, command: CommitCommand
    ) -> CommitEvent | None:
        if self.crash_after is not None:
            if self.crash_after == 0:
                raise Crash
            self.crash_after -= 1
        self.executed.append(command)
        match command:
            case Observe():
                return self.observed()
            case Stage():
                return self._stage(command)
            case Discard():
                self.disk = replace(self.disk, staged=None)
                return Discarded(sequence=command.sequence, ledger=self.disk)
            case Activate():
                pending = command.pending
                assert pending.generation == self.disk.staged
                assert pending.previous == self.disk.running
                assert self.disk.pending is None
                self.disk = replace(
                    self.disk,
                    running=pending.generation,
                    previous=self.disk.running,
                    staged=None,
                    pending=pending,
                )
                return Activated(command=command)
            case Apply(generation=generation):
                assert generation == self.disk.running
                if self.fails:
                    return ApplyFailed(generation=generation, reason="it was told to")
                # What is received at the moment of the change may be from before.
                self.now += 0.1
                return Applied(
                    now=self.now,
                    cleanup=Cleanup.DONE,
                    ledger=self.disk,
                    registry_sequence=self.newest,
                )
            case PutPending(pending=pending):
                assert pending.generation == self.disk.running
                self.disk = replace(self.disk, pending=pending)
                return PendingPut(pending=pending)
            case RecordPending(pending=pending):
                self.disk = replace(self.disk, pending=pending)
            case Confirm():
                pending = self.disk.pending
                assert pending is not None
                # Without direct contact before, what another cell relays is proof enough.
                direct = pending.needs_heartbeat and pending.before.registry
                assert self.hears or pending.keep or not direct
                self.disk = replace(self.disk, pending=None)
                return Confirmed(ledger=self.disk)
            case RollBack(reason=reason):
                assert self.disk.previous is not None
                is_kept = self.disk.pending is not None and self.disk.pending.keep
                assert not is_kept or self.fails or "undone" in reason
                running = self.disk.previous
                self.disk = replace(self.disk, running=running, previous=None, pending=None)
                return RolledBack(command=command, ledger=self.disk)
            case Persist(state=persistent):
                self.disk = replace(self.disk, persistent=persistent)
            case _:
                pass
        return None

    def observed(self) -> ReachabilityObserved:
        # The registry refreshes its announcement.
        self.newest += 1
        return ReachabilityObserved(
            now=self.now,
            reachability=self.reachability,
            planned=NEIGHBOURS,
            answered=dict.fromkeys(NEIGHBOURS, self.now),
            registry_elsewhere=True,
            registry_sequence=self.newest,
            registry_contact=self.newest if self.hears else 0,
        )

    def unanswered(self) -> InstalledPackage | None:
        """The installation of the running package, if it has no verdict."""
        request, verdict = self.request, self.disk.persistent.verdict
        if request is None or request.generation != self.disk.running:
            return None
        return None if verdict and verdict.install == request.install else request

    def _stage(self, command: Stage) -> CommitEvent:
        generation = self.offered[command.sequence]
        is_newer = generation > self.disk.running
        if is_newer:
            moves = generation in self.moving
            self.disk = replace(self.disk, staged=generation, staged_moves_control=moves)
        return OfferStaged(
            sequence=command.sequence,
            generation=generation,
            is_running=not is_newer,
            ledger=self.disk,
        )


class Changes(RuleBasedStateMachine):
    """A registry that offers, activates and undoes, and a cell that may receive it repeatedly."""

    def __init__(self) -> None:
        super().__init__()
        self.node = Node()
        self.generation = 1
        self.staged = {1}
        self.offers: list[int] = []
        self.activations: list[ReceivedActivation] = []
        self.start()

    def start(self) -> None:
        """Start the agent on what is on disk."""
        self.state = CommitState(cell=CELL, ledger=self.node.disk)
        self.report(
            Started(
                now=self.node.now,
                registry_sequence=self.node.newest,
                installed=self.node.unanswered(),
            )
        )

    def report(self, event: CommitEvent) -> None:
        """Report an event, and execute all that follows from it."""
        self.state, commands = step(self.state, event)
        for command in commands:
            result = self.node.execute(command)
            if result is not None:
                self.report(result)
        if self.node.disk.staged is not None:
            self.staged.add(self.node.disk.staged)

    def receive(self, *, offer: int = 0, activation: ReceivedActivation | None = None) -> None:
        self.report(MessagesReceived(offer=offer, activation=activation))

    def next_sequence(self) -> int:
        self.node.newest += 1
        return self.node.newest

    @rule(moves=st.booleans())
    def release(self, *, moves: bool) -> None:
        self.generation += 1
        if moves:
            self.node.moving.add(self.generation)

    @precondition(lambda self: self.node.disk.pending is None)
    @rule(keep=st.booleans(), moves=st.booleans(), noticed=st.booleans())
    def a_person_installs_a_package(self, *, keep: bool, moves: bool, noticed: bool) -> None:
        self.generation += 1
        disk, node = self.node.disk, self.node
        node.request = InstalledPackage(
            generation=self.generation,
            install=f"install {self.generation}",
            keep=keep,
            moves_control=moves,
        )
        staged = disk.staged if disk.staged and disk.staged > self.generation else None
        node.disk = replace(disk, running=self.generation, previous=disk.running, staged=staged)
        self.staged.add(self.generation)
        if noticed:
            self.report(PackageInstalled(installed=node.request))
        else:
            self.start()

    @precondition(lambda self: self.node.disk.pending is not None)
    @rule()
    def a_person_keeps_the_package_on_trial(self) -> None:
        running = self.node.disk.running
        self.node.request = InstalledPackage(
            generation=running, install=f"again {running} {self.node.now}", keep=True
        )
        self.report(PackageInstalled(installed=self.node.request))
        self.node.reachability = Reachability()
        self.report(self.node.observed())
        assert self.node.disk.running == running
        assert self.node.disk.pending is None

    @rule(hears=st.booleans())
    def messages_of_the_registry_come_over_the_new_way(self, *, hears: bool) -> None:
        self.node.hears = hears

    @rule(received=st.booleans())
    def offers_the_newest(self, *, received: bool) -> None:
        sequence = self.next_sequence()
        self.node.offered[sequence] = self.generation
        self.offers.append(sequence)
        if received:
            self.receive(offer=sequence)

    @precondition(lambda self: self.offers)
    @rule(choice=st.integers(0, 100))
    def an_old_offer_arrives_again(self, choice: int) -> None:
        self.receive(offer=self.offers[choice % len(self.offers)])

    @rule(undo=st.booleans(), received=st.booleans())
    def activates(self, *, undo: bool, received: bool) -> None:
        made = Activation(generation=self.generation, cells={CELL: self.generation}, undo=undo)
        self.activations.append(ReceivedActivation(activation=made, sequence=self.next_sequence()))
        if received:
            self.receive(activation=self.activations[-1])

    @precondition(lambda self: self.activations)
    @rule()
    def the_newest_activation_arrives_again(self) -> None:
        self.receive(activation=self.activations[-1])

    @precondition(lambda self: self.activations)
    @rule()
    def what_was_received_once_has_its_effect_once(self) -> None:
        self.receive(activation=self.activations[-1])
        # What else was waiting has its turn, also for the registry to be discovered.
        self.time_passes(10.0)
        self.receive()
        self.receive()
        disk, done = self.node.disk, len(self.node.executed)
        self.receive(activation=self.activations[-1])
        assert self.node.disk == disk
        assert self.node.executed[done:] == []

    @rule(reachability=reached)
    def reachability_changes(self, reachability: Reachability) -> None:
        self.node.reachability = reachability

    @rule(fails=st.booleans())
    def the_host_fails_or_recovers(self, *, fails: bool) -> None:
        self.node.fails = fails

    @rule(seconds=st.sampled_from([1.0, 10.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.node.now += seconds
        self.report(self.node.observed())

    @rule()
    def the_agent_restarts(self) -> None:
        self.start()

    @precondition(lambda self: self.activations)
    @rule(after=st.integers(0, 6))
    def the_agent_crashes_between_two_commands(self, after: int) -> None:
        self.node.crash_after = after
        try:
            self.receive(
                offer=self.offers[-1] if self.offers else 0, activation=self.activations[-1]
            )
            self.report(self.node.observed())
        except Crash:
            pass
        self.node.crash_after = None
        if self.node.disk.staged is not None:
            self.staged.add(self.node.disk.staged)
        self.start()

    @rule()
    def a_cell_that_stays_cut_off_rolls_back(self) -> None:
        pending = self.node.disk.pending
        self.node.reachability = Reachability()
        self.node.now += 31
        self.report(self.node.observed())
        if pending is not None and pending.before and not pending.keep:
            assert self.node.disk.running == pending.previous
            offers = len(self.offers)
            self.receive(activation=self.activations[-1] if self.activations else None)
            assert self.node.disk.running == pending.previous or len(self.offers) > offers

    @invariant()
    def it_runs_what_it_staged(self) -> None:
        assert self.node.disk.running in self.staged

    @invariant()
    def it_stages_nothing_that_it_runs(self) -> None:
        disk = self.node.disk
        assert disk.staged is None or disk.staged > disk.running
        assert disk.pending is None or disk.pending.generation == disk.running

    @invariant()
    def what_it_acknowledges_is_on_disk(self) -> None:
        sent = [each.ack for each in self.node.executed if isinstance(each, Acknowledge)]
        assert not sent or self.node.disk.persistent.ack is not None
        if sent and sent[-1].phase in {Phase.CONFIRMED, Phase.REVERTED, Phase.FAILED}:
            assert sent[-1].running in self.staged

    @invariant()
    def every_installation_that_is_over_has_its_verdict(self) -> None:
        assert self.node.disk.pending is not None or self.node.unanswered() is None

    @invariant()
    def it_is_as_its_disk(self) -> None:
        assert self.state.ledger.running == self.node.disk.running
        assert self.state.ledger.staged == self.node.disk.staged
        assert self.state.ledger.pending == self.node.disk.pending


TestChanges = Changes.TestCase
