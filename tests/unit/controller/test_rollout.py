"""Single steps of a rollout; `tests/property/test_rollout.py` has what must always hold."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from uno.controller import rollout as rollouts
from uno.controller.release_record import Release, ReleasedPackage
from uno.controller.rollout import LIMITS, CellObservation, Rollout, step
from uno.model.messages import CONFIRM_TIMEOUT, Ack, Phase
from uno.model.status import CellStatus

ONE = ReleasedPackage(name="one", generation=7, content="x")
TWO = ReleasedPackage(name="two", generation=7, content="y")
RELEASE = Release(generation=7, cells={1: ONE, 2: TWO}, attempt=100)
# The agent has run for a while when the rollout starts.
START = Rollout(release=RELEASE, receiving_since=-1000.0, started_at=0.0, newest_generation=7)
OLD = CellObservation(alive=True, status=CellStatus(generation=6), status_sequence=1)


def acked(
    phase: Phase, *, running: int = 6, offer: int = 0, base: CellObservation = OLD
) -> CellObservation:
    ack = Ack(generation=7, phase=phase, running=running, offer=offer, reason="because")
    return replace(base, ack=ack, ack_sequence=base.status_sequence + 1)


STAGED = acked(Phase.STAGED, offer=100)
DONE = acked(Phase.CONFIRMED, running=7)
REVERTED = acked(Phase.REVERTED)
ACTIVATING = replace(START, activated={1: 7, 2: 7}, activated_at=0.0)


def silent(observation: CellObservation) -> CellObservation:
    return replace(observation, alive=False)


def test_a_package_is_offered_to_a_reachable_cell_that_runs_another() -> None:
    assert rollouts.cells_to_offer(START, {1: OLD, 2: DONE}) == {1}
    assert rollouts.cells_to_offer(START, {1: silent(OLD)}) == frozenset()
    assert rollouts.cells_to_offer(START, {1: CellObservation(alive=True)}) == frozenset()


@pytest.mark.parametrize("phase", [Phase.APPLYING, Phase.APPLIED])
def test_a_cell_with_a_pending_commit_gets_no_offer_and_has_not_confirmed(phase: Phase) -> None:
    pending = acked(phase, running=7)

    assert rollouts.cells_to_offer(ACTIVATING, {1: pending}) == frozenset()
    assert rollouts.cells_to_offer(ACTIVATING, {1: acked(phase)}) == frozenset()
    assert not rollouts.is_confirmed(ONE, pending)
    assert not step(ACTIVATING, {1: pending, 2: DONE}, now=1.0).settled


def test_all_cells_are_activated_as_soon_as_all_have_staged() -> None:
    waiting = step(START, {1: STAGED, 2: OLD}, now=1.0)
    ready = step(waiting, {1: STAGED, 2: STAGED}, now=1.5)

    assert waiting.activated == {}
    assert ready.activated == {1: 7, 2: 7}
    assert ready.activated_at == 1.5


def test_a_cell_is_activated_once() -> None:
    ready = step(START, {1: STAGED, 2: STAGED}, now=1.5)

    assert step(ready, {1: STAGED, 2: STAGED}, now=9.0).activated_at == 1.5


def test_a_release_of_which_no_cell_has_staged_activates_none() -> None:
    assert step(START, {1: OLD, 2: OLD}, now=10000.0).activated == {}


def test_an_unreachable_cell_is_waited_for_from_the_start_of_the_agent() -> None:
    fresh = replace(START, receiving_since=0.0)

    assert step(fresh, {1: STAGED}, now=LIMITS.discovery - 0.1).activated == {}
    assert step(fresh, {1: STAGED}, now=LIMITS.discovery).activated == {1: 7}
    # An agent that has run for long knows that the cell is away.
    assert step(START, {1: STAGED}, now=0.1).activated == {1: 7}
    assert step(START, {1: STAGED, 2: silent(OLD)}, now=0.1).activated == {1: 7}


def test_a_reachable_cell_that_does_not_stage_is_waited_for_from_the_start_of_the_rollout() -> None:
    observed = {1: STAGED, 2: OLD}

    assert step(START, observed, now=1.0).activated == {}
    assert step(START, observed, now=LIMITS.staging - 0.1).activated == {}
    assert step(START, observed, now=LIMITS.staging).activated == {1: 7}


def test_a_cell_known_from_one_relayed_advertisement_alone_is_not_waited_for() -> None:
    relayed = replace(OLD, verified=False)

    assert step(START, {1: STAGED, 2: relayed}, now=0.1).activated == {1: 7}
    assert rollouts.cells_to_offer(START, {2: relayed}) == {2}


def test_a_cell_that_stages_later_is_activated_alone_and_at_once() -> None:
    first = step(START, {1: STAGED}, now=1.0)
    second = step(first, {1: DONE, 2: STAGED}, now=50.0)

    assert second.activated == {1: 7, 2: 7}
    assert second.activated_at == 50.0


def test_a_cell_that_has_staged_and_gone_is_not_activated() -> None:
    assert step(START, {1: STAGED, 2: silent(STAGED)}, now=1000.0).activated == {1: 7}


def test_what_was_staged_of_an_earlier_attempt_does_not_count() -> None:
    earlier = acked(Phase.STAGED, offer=99)

    assert step(START, {1: earlier, 2: DONE}, now=1000.0).activated == {}
    assert rollouts.cells_to_offer(START, {1: earlier, 2: DONE}) == {1}


def test_an_ack_of_another_generation_does_not_count() -> None:
    other = replace(STAGED, ack=Ack(generation=6, phase=Phase.STAGED, running=5, offer=100))

    assert step(START, {1: other, 2: DONE}, now=1000.0).activated == {}


def test_a_rejection_fails_the_release_before_the_activation_alone() -> None:
    rejected = acked(Phase.REFUSED, offer=100)

    failed = step(START, {1: rejected, 2: STAGED}, now=1.0)

    assert failed.failure == "one rejected its package: because"
    assert failed.activated == {}
    assert rollouts.cells_to_offer(failed, {2: OLD}) == frozenset()
    assert step(failed, {1: STAGED, 2: STAGED}, now=2.0) == failed
    assert not step(replace(START, activated={2: 7}), {1: rejected, 2: DONE}, now=1.0).failure
    assert not step(START, {1: silent(rejected), 2: OLD}, now=1.0).failure


def test_a_rejection_of_an_earlier_attempt_does_not_count_even_without_an_offer_number() -> None:
    earlier = acked(Phase.REFUSED)
    offered = step(START, {1: earlier, 2: DONE}, now=1.0)
    same = step(offered, {1: earlier, 2: DONE}, now=1.5)
    again = replace(earlier, ack_sequence=5)

    assert not offered.failure
    assert offered.acks_before_offer == {1: 2}
    assert not same.failure
    assert step(same, {1: again, 2: DONE}, now=2.0).failure == "one rejected its package: because"


def test_a_rejection_without_an_offer_number_needs_an_offer() -> None:
    away = step(START, {1: silent(OLD), 2: DONE}, now=1.0)

    assert away.acks_before_offer == {}
    assert not step(away, {1: acked(Phase.REFUSED)}, now=2.0).failure


def test_what_was_acknowledged_before_the_offer_is_noted_once_for_each_cell() -> None:
    first = step(START, {1: OLD, 2: silent(OLD)}, now=1.0)
    second = step(first, {1: replace(OLD, ack_sequence=9), 2: OLD}, now=2.0)

    assert first.acks_before_offer == {1: 0}
    assert second.acks_before_offer == {1: 0, 2: 0}


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (Phase.REVERTED, "one rolled back to generation 6: because"),
        (Phase.FAILED, "one could not apply its package: because"),
    ],
)
def test_an_activated_cell_that_goes_wrong_fails_the_release(phase: Phase, text: str) -> None:
    wrong = acked(phase)

    failed = step(ACTIVATING, {1: wrong, 2: DONE}, now=1.0)

    assert failed.failure == text
    assert failed.activated == ACTIVATING.activated
    # Without an activation in this attempt it is about an earlier one.
    assert not step(START, {1: wrong, 2: DONE}, now=1.0).failure
    assert rollouts.cells_to_offer(START, {1: wrong, 2: DONE}) == {1}
    assert rollouts.rejecting_cells(ACTIVATING, {1: wrong, 2: DONE}) == {1}
    assert rollouts.rejecting_cells(START, {1: wrong, 2: DONE}) == frozenset()


def test_all_reasons_of_a_failure_are_named_and_an_empty_reason_is_left_out() -> None:
    bare = replace(REVERTED, ack=Ack(generation=7, phase=Phase.REVERTED, running=6))

    assert step(ACTIVATING, {1: REVERTED, 2: bare}, now=1.0).failure == (
        "one rolled back to generation 6: because; two rolled back to generation 6"
    )


def test_a_package_of_the_same_generation_and_other_content_is_another() -> None:
    status = CellStatus(generation=7, content="other")
    diverged = CellObservation(alive=True, status=status, status_sequence=1)

    assert rollouts.cells_to_offer(START, {1: diverged, 2: DONE}) == {1}
    assert not rollouts.is_confirmed(ONE, diverged)
    assert rollouts.is_confirmed(ONE, replace(diverged, status=replace_content(status, "x")))
    assert rollouts.is_confirmed(ONE, replace(diverged, status=replace_content(status, "")))


def replace_content(status: CellStatus, content: str) -> CellStatus:
    return CellStatus(generation=status.generation, content=content)


def test_the_later_of_status_and_ack_has_the_generation_that_a_cell_runs() -> None:
    ack = Ack(generation=7, phase=Phase.CONFIRMED, running=7)
    both = replace(OLD, ack=ack)

    assert replace(both, ack_sequence=2).running == 7
    assert replace(both, ack_sequence=1).running == 6
    assert replace(both, status=None, ack_sequence=0).running is None
    assert CellObservation().running is None


def test_a_cell_that_comes_later_and_rolls_back_leaves_the_others_alone() -> None:
    settled = step(START, {1: DONE}, now=1.0)
    late = step(settled, {1: DONE, 2: STAGED}, now=100.0)
    reverted = {1: DONE, 2: REVERTED}
    at_last = step(late, reverted, now=140.0)

    assert settled.settled
    assert late.activated == {2: 7}
    assert rollouts.progress(late, {1: DONE, 2: STAGED}) == "two switching to generation 7"
    assert rollouts.progress(late, {1: DONE, 2: silent(STAGED)}) == ""
    assert not at_last.failure
    assert rollouts.progress(at_last, reverted) == ""
    assert rollouts.cells_to_offer(at_last, reverted) == frozenset()


def test_a_rollout_settles_without_a_cell_that_has_rejected_alone() -> None:
    rejecting = {1: DONE, 2: acked(Phase.REFUSED, offer=100)}

    assert step(replace(START, activated={1: 7}), rejecting, now=1.0).settled
    assert rollouts.rejecting_cells(START, rejecting) == {2}


def test_a_rollout_settles_once_unreachable_cells_had_time_to_connect() -> None:
    fresh = replace(START, receiving_since=0.0)

    assert not step(fresh, {1: DONE}, now=LIMITS.discovery - 0.1).settled
    assert step(fresh, {1: DONE}, now=LIMITS.discovery).settled
    assert step(fresh, {1: DONE, 2: DONE}, now=0.1).settled
    assert not step(START, {1: DONE, 2: OLD}, now=10000.0).settled


def test_cells_that_run_unknown_generations_stop_the_rollout() -> None:
    newer = CellObservation(
        alive=True, status=CellStatus(generation=9), status_sequence=1, proven=9
    )
    observed = {1: newer, 2: STAGED}

    assert rollouts.cells_ahead(START, observed) == "one runs generation 9"
    assert step(START, observed, now=1000.0).activated == {}
    assert rollouts.cells_to_offer(START, {1: newer, 2: OLD}) == frozenset()
    assert rollouts.progress(START, observed) == ""
    assert rollouts.cells_ahead(START, {1: silent(newer)}) == ""
    assert rollouts.cells_ahead(START, {1: newer, 2: newer}).endswith(", two runs generation 9")
    # A package that a person installed by hand before its release is no sign of that.
    assert rollouts.cells_ahead(replace(START, newest_generation=9), observed) == ""
    assert rollouts.cells_ahead(replace(START, newest_generation=6), {1: DONE}) == ""


@pytest.mark.feature("G53")
@pytest.mark.parametrize("proven", [None, 6, 7])
def test_a_cell_that_claims_an_unknown_generation_without_proof_is_left_out(
    proven: int | None,
) -> None:
    liar = CellObservation(
        alive=True, status=CellStatus(generation=9), status_sequence=1, proven=proven
    )
    observed = {1: liar, 2: STAGED}
    fresh = replace(START, receiving_since=0.0)

    assert rollouts.cells_ahead(START, observed) == ""
    assert rollouts.unproven_cells(START, observed) == {1}
    assert rollouts.unproven_cells(START, {1: silent(liar)}) == frozenset()
    assert rollouts.unproven_cells(replace(START, newest_generation=9), observed) == frozenset()
    assert rollouts.cells_to_offer(START, {1: liar, 2: OLD}) == {2}
    # A registry that was restored from a backup gets the proof meanwhile.
    assert step(fresh, observed, now=LIMITS.proof - 0.1) == fresh
    activated = step(fresh, observed, now=LIMITS.proof)
    assert activated.activated == {2: 7}
    assert not step(activated, {1: liar, 2: STAGED}, now=LIMITS.proof + 1).settled
    assert step(activated, {1: liar, 2: DONE}, now=LIMITS.proof + 1).settled


def test_nothing_is_settled_while_a_cell_may_still_prove_what_it_claims() -> None:
    liar = CellObservation(alive=True, status=CellStatus(generation=9), status_sequence=1)

    assert not step(START, {1: liar, 2: DONE}, now=LIMITS.proof - 0.1).settled
    assert step(START, {1: liar, 2: DONE}, now=LIMITS.proof).settled


def test_the_progress_counts_cells() -> None:
    assert rollouts.progress(START, {1: STAGED, 2: OLD}) == (
        "staging generation 7: 1 of 2 cells have it"
    )
    assert rollouts.progress(START, {1: STAGED, 2: DONE}) == (
        "staging generation 7: 2 of 2 cells have it"
    )
    assert rollouts.progress(ACTIVATING, {1: DONE, 2: STAGED}) == (
        "activating generation 7: 1 of 2 cells have confirmed"
    )
    assert rollouts.progress(replace(START, activated={2: 7}), {1: DONE, 2: STAGED}) == (
        "activating generation 7: 0 of 1 cells have confirmed"
    )
    settled = step(ACTIVATING, {1: DONE, 2: DONE}, now=1.0)
    assert rollouts.progress(settled, {1: DONE, 2: DONE}) == ""
    failed = replace(START, failure="why")
    assert rollouts.progress(failed, {1: STAGED, 2: OLD}) == ""


def test_an_activated_cell_that_is_unreachable_is_given_up_after_a_while() -> None:
    observed = {1: DONE, 2: silent(STAGED)}

    assert not step(ACTIVATING, observed, now=LIMITS.unreachable - 0.1).settled
    assert step(ACTIVATING, observed, now=LIMITS.unreachable).settled


def test_a_settled_rollout_stays_settled() -> None:
    settled = replace(ACTIVATING, settled=True)

    assert step(settled, {1: DONE, 2: OLD}, now=1.0).settled
    assert not step(settled, {1: REVERTED, 2: DONE}, now=1.0).failure


def test_a_rollout_is_replaceable_unless_a_commit_may_be_pending() -> None:
    pending = CONFIRM_TIMEOUT + 30

    assert START.is_replaceable(0.0)
    assert replace(ACTIVATING, settled=True).is_replaceable(0.0)
    assert replace(ACTIVATING, failure="why").is_replaceable(0.0)
    assert not ACTIVATING.is_replaceable(pending - 0.1)
    assert ACTIVATING.is_replaceable(pending)
    assert not replace(ACTIVATING, activated_at=5.0).is_replaceable(pending)
    batches = replace(ACTIVATING, activation_duration=8.0)
    assert not batches.is_replaceable(pending + 7.9)
    assert batches.is_replaceable(pending + 8)
