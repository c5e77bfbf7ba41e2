"""What a rollout never does, whatever cells advertise and whenever the registry is killed.

A few rules stand for the cells. For the registry's agent stands a loop that keeps what is in the
store, and loses the rest when it is killed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from uno.controller import rollout as rollouts
from uno.controller.release_record import Release, ReleasedPackage
from uno.controller.rollout import LIMITS, CellObservation, Rollout, is_confirmed, step
from uno.model.messages import Ack, Phase
from uno.model.status import CellStatus

OLD, NEW = 1, 2


@dataclass
class Cell:
    """A cell, and what the registry has received from it."""

    running: int = OLD
    staged: bool = False
    pending: bool = False
    alive: bool = False
    works: bool = True
    sequence: int = 0
    staged_ever: bool = False
    went_wrong: int = 0
    observation: CellObservation = field(default_factory=CellObservation)

    def advertise(self, phase: Phase | None = None, offer: int = 0) -> None:
        """Advertise a status, or with `phase` an ack."""
        self.sequence += 1
        self.alive = True
        if phase is None:
            status = CellStatus(generation=self.running)
            self.observation = replace(
                self.observation, alive=True, status=status, status_sequence=self.sequence
            )
        else:
            ack = Ack(generation=NEW, phase=phase, running=self.running, offer=offer)
            self.observation = replace(
                self.observation, alive=True, ack=ack, ack_sequence=self.sequence
            )

    def disconnect(self) -> None:
        self.alive = False
        self.observation = replace(self.observation, alive=False)


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
                cell.advertise()
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

    def observed(self) -> dict[int, CellObservation]:
        return {number: cell.observation for number, cell in self.cells.items()}

    def take_step(self) -> None:
        """Take a step of the agent, and check it."""
        before, observed = self.rollout, self.observed()
        after = step(before, observed, now=self.now)
        for cell in after.activated.keys() - before.activated.keys():
            ack = observed[cell].ack
            assert ack is not None
            assert ack.phase is Phase.STAGED
            assert self.cells[cell].staged_ever
        if after.activated and not before.activated:
            self.check_waited(observed, after)
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
        """Whether a cell rejected its package, or rolled back, in this attempt."""
        ack = self.cells[number].observation.ack
        if ack is None or ack.phase is Phase.REFUSED:
            return ack is not None and ack.offer >= self.rollout.release.attempt
        return ack.phase is Phase.REVERTED and number in self.rollout.activated

    def check_waited(self, observed: dict[int, CellObservation], after: Rollout) -> None:
        left = {
            cell: one
            for cell, one in observed.items()
            if cell not in after.activated and not is_confirmed(after.release.cells[cell], one)
        }
        if any(one.alive for one in left.values()):
            assert self.now - after.started_at >= LIMITS.staging
        elif left:
            assert self.now - after.receiving_since >= LIMITS.discovery

    @rule(seconds=st.sampled_from([1, 20, 40, 400, 86400]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.take_step()

    @rule(data=st.data())
    def a_cell_advertises_its_status(self, data: st.DataObject) -> None:
        self.one(data).advertise()
        self.take_step()

    @rule(data=st.data())
    def a_cell_disconnects(self, data: st.DataObject) -> None:
        self.one(data).disconnect()
        self.take_step()

    @rule(data=st.data(), refuses=st.sampled_from([False, False, False, True]))
    def a_cell_gets_an_offer(self, data: st.DataObject, refuses: bool) -> None:  # noqa: FBT001
        number = data.draw(st.sampled_from(sorted(self.cells)))
        cell = self.cells[number]
        if number not in rollouts.cells_to_offer(self.rollout, self.observed()) or cell.pending:
            return
        self.sequence += 1
        if refuses:
            cell.advertise(Phase.REFUSED, self.sequence)
        else:
            cell.staged = cell.staged_ever = True
            cell.advertise(Phase.STAGED, self.sequence)
        self.take_step()

    @rule(data=st.data(), works=st.sampled_from([True, True, True, False]))
    def a_cell_applies(self, data: st.DataObject, works: bool) -> None:  # noqa: FBT001
        number = data.draw(st.sampled_from(sorted(self.cells)))
        cell = self.cells[number]
        if number not in self.rollout.activated or not cell.staged or self.rollout.failure:
            return
        assert cell.running == OLD
        cell.running, cell.staged, cell.pending, cell.works = NEW, False, True, works
        cell.advertise(Phase.APPLIED)
        self.take_step()

    @rule(data=st.data())
    def a_pending_commit_ends(self, data: st.DataObject) -> None:
        cell = self.one(data)
        if not cell.pending:
            return
        cell.pending = False
        if cell.works:
            cell.advertise(Phase.CONFIRMED)
        else:
            cell.running, cell.went_wrong = OLD, cell.went_wrong + 1
            cell.advertise(Phase.REVERTED)
        self.take_step()

    @rule()
    def the_undo_is_received(self) -> None:
        if not self.rollout.failure:
            return
        for number, cell in self.cells.items():
            if number in self.rollout.activated and cell.running == NEW:
                cell.running, cell.pending = OLD, False
                cell.advertise(Phase.REVERTED)
            cell.staged = False
        self.take_step()

    @rule()
    def the_registry_is_killed(self) -> None:
        """The store is kept, and what cells advertise is received again."""
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
            cell.observation = replace(cell.observation, alive=False)
        self.take_step()

    @precondition(lambda self: self.rollout.failure)
    @rule()
    def a_person_tries_again(self) -> None:
        self.the_undo_is_received()
        self.attempts += 1
        self.sequence += 1
        release = Release(generation=NEW, cells=self.rollout.release.cells, attempt=self.sequence)
        self.rollout = Rollout(
            release=release, receiving_since=self.now, started_at=self.now, newest_generation=NEW
        )
        self.take_step()

    @invariant()
    def no_failed_package_is_offered(self) -> None:
        if self.rollout.failure:
            assert rollouts.cells_to_offer(self.rollout, self.observed()) == frozenset()
        for number in rollouts.cells_to_offer(self.rollout, self.observed()):
            assert not self.is_wrong(number)

    @invariant()
    def no_cell_runs_what_was_not_activated(self) -> None:
        for number, cell in self.cells.items():
            assert cell.running == OLD or number in self.rollout.activated or self.rollout.failure

    def teardown(self) -> None:
        """With all cells reachable and well, the rollout ends."""
        if not hasattr(self, "cells"):
            return
        for _ in range(20):
            for cell in self.cells.values():
                cell.advertise()
                cell.works = True
            self.now += 10
            self.take_step()
            for number in sorted(rollouts.cells_to_offer(self.rollout, self.observed())):
                self.sequence += 1
                self.cells[number].staged = self.cells[number].staged_ever = True
                self.cells[number].advertise(Phase.STAGED, self.sequence)
            self.take_step()
            for number, cell in self.cells.items():
                if number in self.rollout.activated and cell.staged and not self.rollout.failure:
                    cell.running, cell.staged, cell.pending = NEW, False, True
                    cell.advertise(Phase.APPLIED)
                if cell.pending:
                    cell.pending = False
                    cell.advertise(Phase.CONFIRMED)
            if self.rollout.failure:
                self.the_undo_is_received()
            self.take_step()
        observed = self.observed()
        assert not rollouts.progress(self.rollout, observed)
        if not self.rollout.failure:
            packages = self.rollout.release.cells
            left = {cell for cell, it in packages.items() if not is_confirmed(it, observed[cell])}
            # A cell that rolled back alone, after the others had confirmed, gets no offer.
            acks = {cell: observed[cell].ack for cell in left}
            wrong = {Phase.REVERTED, Phase.REFUSED, Phase.FAILED}
            assert all(ack is not None and ack.phase in wrong for ack in acks.values())

    def one(self, data: st.DataObject) -> Cell:
        return self.cells[data.draw(st.sampled_from(sorted(self.cells)))]


RolloutMachine.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestRollout = RolloutMachine.TestCase
