"""Single turns of a roll-out; `tests/property/test_rollout.py` has what must always hold."""

from __future__ import annotations

from dataclasses import replace

from uno.controller import rollout as rolling
from uno.controller.release_record import Release, ReleasedPackage
from uno.controller.rollout import LIMITS, Heard, Rollout, step
from uno.model.messages import Ack, Phase
from uno.model.status import CellStatus

ONE = ReleasedPackage(name="one", generation=7, content="x")
TWO = ReleasedPackage(name="two", generation=7, content="y")
RELEASE = Release(generation=7, cells={1: ONE, 2: TWO}, attempt=100)
START = Rollout(release=RELEASE, listening=0.0, began=0.0, newest=7)
OLD = Heard(alive=True, status=CellStatus(generation=6), said=1)


def after(heard: Heard, phase: Phase, *, running: int = 6, offer: int = 0) -> Heard:
    ack = Ack(generation=7, phase=phase, running=running, offer=offer, reason="because")
    return replace(heard, ack=ack, acked=heard.said + 1)


STAGED = after(OLD, Phase.STAGED, offer=100)
DONE = after(OLD, Phase.CONFIRMED, running=7)


def test_a_package_is_offered_to_who_is_heard_and_runs_another() -> None:
    heard = {1: OLD, 2: DONE}

    assert rolling.offers(START, heard) == {1}
    assert rolling.offers(START, {1: replace(OLD, alive=False)}) == frozenset()


def test_all_change_over_as_soon_as_all_have_staged() -> None:
    waiting = step(START, {1: STAGED, 2: OLD}, now=1.0)
    ready = step(waiting, {1: STAGED, 2: STAGED}, now=1.1)

    assert waiting.activated == {}
    assert ready.activated == {1: 7, 2: 7}


def test_who_is_not_heard_is_waited_for_and_then_left_behind() -> None:
    heard = {1: STAGED}

    assert step(START, heard, now=LIMITS.absent - 1).activated == {}
    assert step(START, heard, now=LIMITS.absent).activated == {1: 7}


def test_who_is_heard_and_does_not_stage_is_waited_for_longer() -> None:
    heard = {1: STAGED, 2: OLD}

    assert step(START, heard, now=LIMITS.busy - 1).activated == {}
    assert step(START, heard, now=LIMITS.busy).activated == {1: 7}


def test_what_was_staged_of_an_earlier_attempt_does_not_count() -> None:
    earlier = after(OLD, Phase.STAGED, offer=99)

    assert step(START, {1: earlier, 2: DONE}, now=1000.0).activated == {}
    assert rolling.offers(START, {1: earlier, 2: DONE}) == {1}


def test_a_refusal_of_an_earlier_attempt_does_not_count_even_without_the_offers_number() -> None:
    earlier = after(OLD, Phase.REFUSED)
    asked = step(START, {1: earlier, 2: DONE}, now=1.0)
    again = replace(earlier, acked=5)

    assert not asked.failed
    assert step(asked, {1: again, 2: DONE}, now=2.0).failed == "one refused its package: because"


def test_a_package_of_the_same_generation_and_other_content_is_another() -> None:
    status = CellStatus(generation=7, content="other")
    diverged = Heard(alive=True, status=status, said=1)

    assert rolling.offers(START, {1: diverged, 2: DONE}) == {1}
    assert not rolling.is_done(ONE, diverged)


def test_one_that_comes_late_and_goes_back_is_left_alone_by_the_others() -> None:
    settled = step(START, {1: DONE}, now=LIMITS.absent)
    late = step(settled, {1: DONE, 2: STAGED}, now=100.0)
    reverted = {1: DONE, 2: after(OLD, Phase.REVERTED)}
    at_last = step(late, reverted, now=140.0)

    assert settled.settled
    assert late.activated == {2: 7}
    assert not at_last.failed
    assert rolling.offers(at_last, reverted) == frozenset()


def test_cells_that_run_what_was_never_made_here_stop_it() -> None:
    newer = Heard(alive=True, status=CellStatus(generation=9), said=1)
    heard = {1: newer, 2: STAGED}

    assert rolling.ahead(START, heard) == "one runs generation 9"
    assert step(START, heard, now=1000.0).activated == {}
    # What somebody installed by hand before it was released is no sign of that.
    assert rolling.ahead(replace(START, newest=9), heard) == ""


def test_it_says_how_far_it_is() -> None:
    changing = replace(START, activated={1: 7, 2: 7})

    assert rolling.doing(START, {1: STAGED, 2: OLD}) == (
        "staging generation 7: 1 of 2 cells have it"
    )
    assert rolling.doing(changing, {1: DONE, 2: STAGED}) == (
        "changing over to generation 7: 1 of 2 cells have confirmed"
    )
    assert rolling.doing(step(changing, {1: DONE, 2: DONE}, now=1.0), {1: DONE, 2: DONE}) == ""


def test_one_that_is_lost_in_the_middle_is_given_up_after_a_while() -> None:
    changing = replace(START, activated={1: 7, 2: 7}, activated_at=0.0)
    heard = {1: DONE, 2: replace(STAGED, alive=False)}

    assert not step(changing, heard, now=LIMITS.lost - 1).settled
    assert step(changing, heard, now=LIMITS.lost).settled
    assert not changing.may_end(LIMITS.confirm_timeout)
    assert changing.may_end(LIMITS.confirm_timeout + 30)
