"""When the agent's loop reconciles and observes."""

from __future__ import annotations

import pytest

from uno.agent.loop_timers import AgentIntervals, LoopTimers

INTERVALS = AgentIntervals(
    reconcile_every=60,
    reconcile_spacing=1,
    observe_every=5,
    observe_fast=0.5,
    fast_for=10,
    routing_retry=4,
)
START = 100.0


@pytest.fixture
def timers() -> LoopTimers:
    return LoopTimers(INTERVALS, now=START)


def next_due(timers: LoopTimers, *, now: float = START, cleanup_due: float | None = None) -> float:
    return timers.next_due(now=now, cleanup_due=cleanup_due, poll=0.1)


def at_rest(timers: LoopTimers, *, now: float = START) -> None:
    assert timers.begin_reconcile(now=now, cleanup_due=None)
    timers.begin_observe()
    timers.end_observe(now=now, fast=False)


def test_both_are_due_at_the_start(timers: LoopTimers) -> None:
    assert timers.is_reconcile_due(now=START)
    assert timers.is_observe_due(now=START)
    assert next_due(timers) == START


def test_at_rest_each_has_its_interval(timers: LoopTimers) -> None:
    at_rest(timers)

    assert not timers.is_observe_due(now=START + 4.9)
    assert timers.is_observe_due(now=START + 5)
    assert not timers.is_reconcile_due(now=START + 59.9)
    assert timers.is_reconcile_due(now=START + 60)
    assert next_due(timers) == START + 5


def test_sessions_are_compared_often_only_while_some_are_down_and_something_has_changed(
    timers: LoopTimers,
) -> None:
    at_rest(timers)
    timers.await_sessions(now=START, missing=True)
    assert next_due(timers) == START + 5

    timers.expect_sessions(now=START)
    timers.await_sessions(now=START, missing=False)
    assert next_due(timers) == START + 5

    timers.await_sessions(now=START, missing=True)
    assert next_due(timers) == START + INTERVALS.sessions_every
    assert not timers.are_sessions_due(now=START + INTERVALS.sessions_every - 0.01)
    assert timers.are_sessions_due(now=START + INTERVALS.sessions_every)

    timers.await_sessions(now=START + INTERVALS.fast_for, missing=True)
    assert not timers.are_sessions_due(now=START + 1000)


def test_a_change_has_sessions_compared_often(timers: LoopTimers) -> None:
    at_rest(timers)

    timers.poll_faster(now=START)
    timers.await_sessions(now=START, missing=True)

    assert next_due(timers) == START + INTERVALS.sessions_every


def test_two_passes_are_spaced(timers: LoopTimers) -> None:
    at_rest(timers)

    timers.request_reconcile(now=START + 0.2)

    assert not timers.begin_reconcile(now=START + 0.2, cleanup_due=None)
    assert next_due(timers) == START + 1
    assert timers.begin_reconcile(now=START + 1, cleanup_due=None)


def test_no_pass_begins_before_the_previous_package_is_removed(timers: LoopTimers) -> None:
    assert not timers.begin_reconcile(now=START, cleanup_due=START + 3)
    assert not timers.is_reconcile_due(now=START + 2.9)
    assert timers.is_reconcile_due(now=START + 3)

    assert not timers.begin_reconcile(now=START + 4, cleanup_due=START + 3)
    assert timers.is_reconcile_due(now=START + 4.5)
    assert not timers.is_reconcile_due(now=START + 4.4)


def test_a_step_of_the_clean_up_wakes_the_loop_and_is_polled_when_it_is_late(
    timers: LoopTimers,
) -> None:
    at_rest(timers)

    assert next_due(timers, cleanup_due=START + 2) == START + 2
    assert next_due(timers, now=START + 3, cleanup_due=START + 2) == START + 3.1
    assert next_due(timers, cleanup_due=START + 9) == START + 5


def test_a_change_during_an_observation_requests_another(timers: LoopTimers) -> None:
    timers.begin_observe()
    timers.request_observe(now=START + 0.1)

    timers.end_observe(now=START + 0.2, fast=False)

    assert timers.is_observe_due(now=START + 0.2)


def test_after_a_change_it_observes_fast_for_a_while(timers: LoopTimers) -> None:
    at_rest(timers)

    timers.poll_faster(now=START)

    assert timers.is_observe_due(now=START + 0.5)
    for now, pause in ((START + 9.9, 0.5), (START + 10, 5.0)):
        timers.begin_observe()
        timers.end_observe(now=now, fast=False)
        assert next_due(timers) == now + pause


def test_it_observes_fast_where_asked_and_at_the_times_to_come(timers: LoopTimers) -> None:
    at_rest(timers)
    timers.begin_observe()
    timers.end_observe(now=START, fast=True)
    assert next_due(timers) == START + 0.5

    timers.begin_observe()
    timers.end_observe(now=START, fast=False, also_at=(None, START - 1, START, START + 2))

    assert next_due(timers) == START + 2


def test_dead_routing_is_reconciled_soon(timers: LoopTimers) -> None:
    at_rest(timers)

    timers.retry_routing(now=START + 0.5)

    assert timers.is_reconcile_due(now=START + 4.5)
    assert not timers.is_reconcile_due(now=START + 4.4)


def test_silent_routing_is_reconciled_soon_after_the_last_pass(timers: LoopTimers) -> None:
    at_rest(timers)

    timers.routing_is_silent()
    timers.routing_is_silent()

    assert timers.is_reconcile_due(now=START + 4)
    assert not timers.is_reconcile_due(now=START + 3.9)


def test_after_a_failure_it_observes_after_a_pause(timers: LoopTimers) -> None:
    timers.begin_observe()

    timers.observe_within(5.0, now=START + 1)
    timers.observe_within(5.0, now=START + 2)

    assert timers.is_observe_due(now=START + 6)
    assert not timers.is_observe_due(now=START + 5.9)
