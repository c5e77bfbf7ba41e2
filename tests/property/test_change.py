"""However messages come and whatever crashes: no cell runs what it did not stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from uno.agent.commit.decisions import (
    CellState,
    CommitVerdict,
    Order,
    PendingCommit,
    PersistentState,
    judge,
    order,
    wants_offer,
)
from uno.agent.commit.reachability import Reachability, lost
from uno.model.messages import Activation

CELL = 7
NEIGHBOURS = frozenset({1, 2, 3})

IN_CONTACT = Reachability(registry=True, neighbours=NEIGHBOURS)

contacts = st.builds(
    Reachability,
    registry=st.booleans(),
    neighbours=st.frozensets(st.sampled_from(sorted(NEIGHBOURS))),
)


@given(before=contacts, now=contacts, elsewhere=st.booleans())
def test_nothing_is_lost_that_was_not_there_before(
    *, before: Reachability, now: Reachability, elsewhere: bool
) -> None:
    missing = lost(before, now, planned=NEIGHBOURS, registry_elsewhere=elsewhere)

    assert missing.neighbours == before.neighbours - now.neighbours
    assert not missing.registry or (before.registry and not now.registry)


@given(before=contacts, now=contacts, planned=st.frozensets(st.sampled_from(sorted(NEIGHBOURS))))
def test_only_neighbours_that_are_still_planned_can_be_lost(
    before: Reachability, now: Reachability, planned: frozenset[int]
) -> None:
    missing = lost(before, now, planned=planned, registry_elsewhere=True)

    assert missing.neighbours <= planned


@given(before=contacts, now=contacts)
def test_a_registry_that_nobody_hears_is_not_missed_while_a_neighbour_is_there(
    before: Reachability, now: Reachability
) -> None:
    missing = lost(before, now, planned=NEIGHBOURS, registry_elsewhere=False)

    assert not (missing.registry and now.neighbours)


@given(before=contacts, now=contacts, elapsed=st.floats(0, 100), elsewhere=st.booleans())
def test_a_trial_ends_within_its_window_one_way_or_the_other(
    *, before: Reachability, now: Reachability, elapsed: float, elsewhere: bool
) -> None:
    trial = PendingCommit(generation=2, previous=1, before=before, confirm_timeout=30)

    verdict, missing = judge(
        trial,
        now,
        elapsed=elapsed,
        settled=True,
        planned=NEIGHBOURS,
        registry_elsewhere=elsewhere,
    )

    assert (verdict is CommitVerdict.CONFIRMED) == (not missing or not before)
    assert (verdict is CommitVerdict.LOST) == (bool(missing) and bool(before) and elapsed >= 30)


@dataclass
class Cell:
    """The daemon's part of a change, without a network: what `agent.commit.executor` does."""

    disk: CellState = field(default_factory=lambda: CellState(running=1))
    contact: Reachability = IN_CONTACT
    since: float = 0.0

    def offer(self, generation: int, sequence: int) -> None:
        if wants_offer(self.disk.memory, sequence) and generation > self.disk.running:
            memory = replace(self.disk.memory, offer=sequence)
            self.disk = replace(self.disk, staged=generation, memory=memory)

    def hear(self, activation: Activation, sequence: int, now: float) -> Order:
        asked = order(self.disk, activation, cell=CELL, sequence=sequence)
        handled = replace(self.disk.memory, handled=sequence)
        if asked is Order.ACTIVATE:
            assert self.disk.staged is not None
            trial = PendingCommit(
                generation=self.disk.staged, previous=self.disk.running, before=self.contact
            )
            self.disk = CellState(
                running=self.disk.staged, previous=self.disk.running, trial=trial, memory=handled
            )
            self.since = now
        elif asked is Order.GO_BACK:
            self.roll_back(sequence)
        elif asked is Order.DISCARD:
            self.disk = replace(self.disk, staged=None, memory=handled)
        return asked

    def roll_back(self, handled: int) -> None:
        assert self.disk.previous is not None
        memory = replace(self.disk.memory, handled=max(handled, self.disk.memory.handled))
        self.disk = CellState(running=self.disk.previous, staged=self.disk.staged, memory=memory)

    def tick(self, now: float, newest: int) -> None:
        if self.disk.trial is None:
            return
        verdict, _ = judge(
            self.disk.trial,
            self.contact,
            elapsed=now - self.since,
            settled=True,
            planned=NEIGHBOURS,
            registry_elsewhere=True,
        )
        if verdict is CommitVerdict.CONFIRMED:
            self.disk = replace(self.disk, trial=None)
        elif verdict is CommitVerdict.LOST:
            self.roll_back(newest)


class Changes(RuleBasedStateMachine):
    """A registry that offers, activates and undoes, and a cell that hears it more than once."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()
        self.now = 0.0
        self.sequence = 0
        self.generation = 1
        self.staged = {1}
        self.undone: set[int] = set()
        self.offers: list[tuple[int, int]] = []
        self.activations: list[tuple[Activation, int]] = []

    @initialize()
    def _starts(self) -> None:
        self.cell = Cell()

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def _hear(self, activation: Activation, sequence: int) -> None:
        before = self.cell.disk
        asked = self.cell.hear(activation, sequence, self.now)
        if asked is Order.ACTIVATE:
            assert before.staged == activation.cells[CELL]
            assert before.trial is None

    @rule()
    def release(self) -> None:
        self.generation += 1

    @rule(heard=st.booleans())
    def offers_the_newest(self, *, heard: bool) -> None:
        self.offers.append((self.generation, self._next()))
        if heard:
            self._offer(self.offers[-1])

    @precondition(lambda self: self.offers)
    @rule(choice=st.integers(0, 100))
    def an_old_offer_comes_again(self, choice: int) -> None:
        self._offer(self.offers[choice % len(self.offers)])

    def _offer(self, offer: tuple[int, int]) -> None:
        before = self.cell.disk
        self.cell.offer(*offer)
        if self.cell.disk.staged is not None:
            self.staged.add(self.cell.disk.staged)
        if self.cell.disk != before:
            self.undone.discard(offer[0])

    @rule(undo=st.booleans(), heard=st.booleans())
    def activates(self, *, undo: bool, heard: bool) -> None:
        said = Activation(generation=self.generation, cells={CELL: self.generation}, undo=undo)
        self.activations.append((said, self._next()))
        if heard:
            self._hear(said, self.sequence)

    @precondition(lambda self: self.activations)
    @rule()
    def the_newest_activation_comes_again(self) -> None:
        self._hear(*self.activations[-1])

    @precondition(lambda self: self.activations)
    @rule()
    def what_was_heard_once_has_its_effect_once(self) -> None:
        self._hear(*self.activations[-1])
        after = self.cell.disk
        self._hear(*self.activations[-1])
        assert self.cell.disk == after

    @rule(contact=contacts)
    def contact_changes(self, contact: Reachability) -> None:
        self.cell.contact = contact

    @rule(seconds=st.sampled_from([1.0, 10.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.cell.tick(self.now, self.sequence)

    @rule()
    def the_agent_crashes_and_starts_again(self) -> None:
        self.cell = Cell(disk=self.cell.disk, contact=self.cell.contact, since=self.now)

    @rule()
    def a_cell_that_stays_cut_off_goes_back(self) -> None:
        trial = self.cell.disk.trial
        self.cell.contact = Reachability()
        self.now += 31
        self.cell.tick(self.now, self.sequence)
        if trial is not None and trial.before:
            assert self.cell.disk.running == trial.previous
            self._hear(*self.activations[-1])
            assert self.cell.disk.running == trial.previous

    @invariant()
    def it_runs_what_it_staged(self) -> None:
        assert self.cell.disk.running in self.staged

    @invariant()
    def it_waits_for_nothing_that_it_runs(self) -> None:
        disk = self.cell.disk
        assert disk.staged is None or disk.staged > disk.running
        assert disk.trial is None or disk.trial.generation == disk.running


TestChanges = Changes.TestCase


def test_what_was_offered_after_it_was_undone_is_another_attempt() -> None:
    undo = Activation(generation=2, cells={CELL: 2}, undo=True)
    standing = CellState(running=1, staged=2, memory=PersistentState(offer=9))

    assert order(standing, undo, cell=CELL, sequence=8) is Order.NOTHING
    assert order(standing, undo, cell=CELL, sequence=10) is Order.DISCARD


def test_a_confirmed_package_is_gone_back_from_when_it_is_undone_for_all() -> None:
    undo = Activation(generation=2, undo=True)
    standing = CellState(running=2, previous=1, memory=PersistentState(handled=4))

    assert order(standing, undo, cell=CELL, sequence=5) is Order.GO_BACK
