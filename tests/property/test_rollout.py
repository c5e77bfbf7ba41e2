"""Whatever cells say, and whenever the registry is killed: what a roll-out never does.

Cells are played by a few rules. The registry's agent is played by a loop that keeps what it must
keep, and forgets the rest when it is killed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from uno.controller import rollout as rollouts
from uno.controller.release_record import Release, ReleasedPackage
from uno.controller.rollout import LIMITS, CellObservation, Rollout, is_confirmed, step
from uno.model.messages import Ack, Phase
from uno.model.status import CellStatus

OLD, NEW = 1, 2


@dataclass
class Cell:
    """What a cell does, and what the registry has heard of it."""

    running: int = OLD
    staged: bool = False
    trial: bool = False
    alive: bool = False
    works: bool = True
    sequence: int = 0
    staged_ever: bool = False
    went_wrong: int = 0
    heard: CellObservation = field(default_factory=CellObservation)

    def says(self, phase: Phase | None = None, offer: int = 0) -> None:
        """Be heard."""
        self.sequence += 1
        self.alive = True
        if phase is None:
            status = CellStatus(generation=self.running)
            self.heard = replace(
                self.heard, alive=True, status=status, status_sequence=self.sequence
            )
        else:
            ack = Ack(generation=NEW, phase=phase, running=self.running, offer=offer)
            self.heard = replace(self.heard, alive=True, ack=ack, ack_sequence=self.sequence)

    def falls_silent(self) -> None:
        self.alive = False
        self.heard = replace(self.heard, alive=False)


class RolloutMachine(RuleBasedStateMachine):
    """One release, any number of attempts."""

    @initialize(
        here=st.lists(st.booleans(), min_size=1, max_size=4),
        uptime=st.sampled_from([0.0, 20.0, 1000.0]),
    )
    def begin(self, here: list[bool], uptime: float) -> None:
        self.cells = {number: Cell() for number, _ in enumerate(here, start=1)}
        for cell, is_here in zip(self.cells.values(), here, strict=True):
            if is_here:
                cell.says()
        packages = {
            number: ReleasedPackage(name=f"c{number}", generation=NEW, content="x")
            for number in self.cells
        }
        self.now = 1000.0
        self.sequence = 1
        self.started = self.now
        self.undone = 0
        self.attempts = 1
        self.rollout = Rollout(
            release=Release(generation=NEW, cells=packages, attempt=1),
            receiving_since=self.now - uptime,
            started_at=self.now,
            newest_generation=NEW,
        )

    def heard(self) -> dict[int, CellObservation]:
        return {number: cell.heard for number, cell in self.cells.items()}

    def look(self) -> None:
        """The agent's step, and what must be true of each."""
        before, heard = self.rollout, self.heard()
        after = step(before, heard, now=self.now)
        for cell in after.activated.keys() - before.activated.keys():
            ack = heard[cell].ack
            assert ack is not None
            assert ack.phase is Phase.STAGED
            assert self.cells[cell].staged_ever
        if after.activated and not before.activated:
            self.is_time(heard, after)
        if before.failure:
            assert after == before
        if after.failure and not before.failure:
            self.undone += 1
            assert self.undone <= self.attempts
            assert after.activated == before.activated
            assert not before.settled
            assert any(self.is_wrong(number) for number in self.cells)
        self.rollout = after

    def is_wrong(self, number: int) -> bool:
        """Whether a cell said in this attempt that it will not go on."""
        ack = self.cells[number].heard.ack
        if ack is None or ack.phase is Phase.REFUSED:
            return ack is not None and ack.offer >= self.rollout.release.attempt
        return ack.phase is Phase.REVERTED and number in self.rollout.activated

    def is_time(self, heard: dict[int, CellObservation], after: Rollout) -> None:
        left = {
            cell: one
            for cell, one in heard.items()
            if cell not in after.activated and not is_confirmed(after.release.cells[cell], one)
        }
        if any(one.alive for one in left.values()):
            assert self.now - after.started_at >= LIMITS.staging
        elif left:
            assert self.now - after.receiving_since >= LIMITS.discovery

    @rule(seconds=st.sampled_from([1, 20, 40, 400, 86400]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    @rule(data=st.data())
    def a_cell_says_how_it_is(self, data: st.DataObject) -> None:
        self.one(data).says()
        self.look()

    @rule(data=st.data())
    def a_cell_falls_silent(self, data: st.DataObject) -> None:
        self.one(data).falls_silent()
        self.look()

    @rule(data=st.data(), refuses=st.sampled_from([False, False, False, True]))
    def a_cell_gets_an_offer(self, data: st.DataObject, refuses: bool) -> None:  # noqa: FBT001
        number = data.draw(st.sampled_from(sorted(self.cells)))
        cell = self.cells[number]
        if number not in rollouts.cells_to_offer(self.rollout, self.heard()) or cell.trial:
            return
        self.sequence += 1
        if refuses:
            cell.says(Phase.REFUSED, self.sequence)
        else:
            cell.staged = cell.staged_ever = True
            cell.says(Phase.STAGED, self.sequence)
        self.look()

    @rule(data=st.data(), works=st.sampled_from([True, True, True, False]))
    def a_cell_changes_over(self, data: st.DataObject, works: bool) -> None:  # noqa: FBT001
        number = data.draw(st.sampled_from(sorted(self.cells)))
        cell = self.cells[number]
        if number not in self.rollout.activated or not cell.staged or self.rollout.failure:
            return
        assert cell.running == OLD
        cell.running, cell.staged, cell.trial, cell.works = NEW, False, True, works
        cell.says(Phase.APPLIED)
        self.look()

    @rule(data=st.data())
    def a_trial_ends(self, data: st.DataObject) -> None:
        cell = self.one(data)
        if not cell.trial:
            return
        cell.trial = False
        if cell.works:
            cell.says(Phase.CONFIRMED)
        else:
            cell.running, cell.went_wrong = OLD, cell.went_wrong + 1
            cell.says(Phase.REVERTED)
        self.look()

    @rule()
    def the_undo_is_heard(self) -> None:
        if not self.rollout.failure:
            return
        for number, cell in self.cells.items():
            if number in self.rollout.activated and cell.running == NEW:
                cell.running, cell.trial = OLD, False
                cell.says(Phase.REVERTED)
            cell.staged = False
        self.look()

    @rule()
    def the_registry_is_killed(self) -> None:
        """What is in the store stays, and what cells say is heard again."""
        kept = self.rollout
        self.rollout = Rollout(
            release=kept.release,
            receiving_since=self.now,
            started_at=self.now,
            newest_generation=NEW,
            activated=kept.activated,
            activated_at=self.now,
            settled=kept.settled,
            failure=kept.failure,
        )
        for cell in self.cells.values():
            cell.heard = replace(cell.heard, alive=False)
        self.look()

    @precondition(lambda self: self.rollout.failure)
    @rule()
    def a_person_tries_again(self) -> None:
        self.the_undo_is_heard()
        self.attempts += 1
        self.sequence += 1
        release = Release(generation=NEW, cells=self.rollout.release.cells, attempt=self.sequence)
        self.rollout = Rollout(
            release=release, receiving_since=self.now, started_at=self.now, newest_generation=NEW
        )
        self.look()

    @invariant()
    def nothing_is_on_offer_that_failed(self) -> None:
        if self.rollout.failure:
            assert rollouts.cells_to_offer(self.rollout, self.heard()) == frozenset()
        for number in rollouts.cells_to_offer(self.rollout, self.heard()):
            assert not self.is_wrong(number)

    @invariant()
    def nobody_runs_what_nobody_was_told_to(self) -> None:
        for number, cell in self.cells.items():
            assert cell.running == OLD or number in self.rollout.activated or self.rollout.failure

    def teardown(self) -> None:
        """Left alone, with all cells there and well, it comes to an end and says who is not."""
        if not hasattr(self, "cells"):
            return
        for _ in range(20):
            for cell in self.cells.values():
                cell.says()
                cell.works = True
            self.now += 10
            self.look()
            for number in sorted(rollouts.cells_to_offer(self.rollout, self.heard())):
                self.sequence += 1
                self.cells[number].staged = self.cells[number].staged_ever = True
                self.cells[number].says(Phase.STAGED, self.sequence)
            self.look()
            for number, cell in self.cells.items():
                if number in self.rollout.activated and cell.staged and not self.rollout.failure:
                    cell.running, cell.staged, cell.trial = NEW, False, True
                    cell.says(Phase.APPLIED)
                if cell.trial:
                    cell.trial = False
                    cell.says(Phase.CONFIRMED)
            if self.rollout.failure:
                self.the_undo_is_heard()
            self.look()
        heard = self.heard()
        assert not rollouts.progress(self.rollout, heard)
        if not self.rollout.failure:
            packages = self.rollout.release.cells
            left = {cell for cell, it in packages.items() if not is_confirmed(it, heard[cell])}
            # Who went wrong alone, after all others had confirmed, is not asked again.
            said = {cell: heard[cell].ack for cell in left}
            wrong = {Phase.REVERTED, Phase.REFUSED, Phase.FAILED}
            assert all(ack is not None and ack.phase in wrong for ack in said.values())

    def one(self, data: st.DataObject) -> Cell:
        return self.cells[data.draw(st.sampled_from(sorted(self.cells)))]


RolloutMachine.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestRollout = RolloutMachine.TestCase
