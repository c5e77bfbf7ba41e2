"""When the registry falls back to earlier keys of the root VPN, and switches to new ones."""

from __future__ import annotations

import pytest

from uno.controller.root_key_fallback import FallbackSchedule, KeyPhase, fall_back, switch_to

SCHEDULE = FallbackSchedule(
    first_after=20, length=15, max_length=60, interval=70, slow_interval=300, frequent_phases=2
)
START = KeyPhase(current=5, since=100.0)
FALLBACK = KeyPhase(current=5, fallback=4, since=0.0, fallbacks=1)


def later(
    phase: KeyPhase,
    now: float,
    *,
    unreachable: tuple[int, ...] = (3,),
    answering: bool = False,
    pending: bool = False,
    earlier: tuple[int, ...] = (4, 2),
) -> KeyPhase:
    return fall_back(
        phase,
        earlier=earlier,
        unreachable=unreachable,
        answering=answering,
        pending=pending,
        now=now,
        schedule=SCHEDULE,
    )


def test_earlier_keys_are_used_in_phases_one_after_the_other() -> None:
    waiting = later(START, 119.9)
    first = later(waiting, 120.0)
    going_on = later(first, 134.9)
    pause = later(first, 135.0)
    second = later(pause, 205.0)

    assert waiting == START
    assert first == KeyPhase(current=5, fallback=4, since=120.0, fallbacks=1)
    assert first.generation == 4
    assert going_on == first
    assert pause == KeyPhase(current=5, fallback=None, since=135.0, fallbacks=1)
    assert pause.generation == 5
    assert later(pause, 204.9) == pause
    assert second == KeyPhase(current=5, fallback=2, since=205.0, fallbacks=2)


def test_a_phase_is_prolonged_while_a_cell_answers_up_to_its_maximum() -> None:
    assert later(FALLBACK, 59.9, answering=True) == FALLBACK
    assert later(FALLBACK, 60.0, answering=True).fallback is None


def test_a_phase_ends_if_there_are_no_earlier_keys_any_more() -> None:
    assert later(FALLBACK, 1.0, earlier=()) == KeyPhase(current=5, since=1.0, fallbacks=1)


def test_no_phase_begins_while_a_commit_may_be_pending() -> None:
    assert later(START, 125.0, pending=True) == START
    assert later(START, 150.0).fallback == 4
    assert later(FALLBACK, 14.9, pending=True) == FALLBACK
    assert later(FALLBACK, 15.0, pending=True).fallback is None


def test_phases_become_rare() -> None:
    often = KeyPhase(current=5, since=0.0, fallbacks=2)

    assert later(often, 299.9) == often
    assert later(often, 300.0) == KeyPhase(current=5, fallback=4, since=300.0, fallbacks=3)


def test_phases_begin_anew_once_all_cells_are_reachable() -> None:
    often = KeyPhase(current=5, since=0.0, fallbacks=2)

    assert later(often, 1.0, unreachable=()) == KeyPhase(current=5, since=1.0)
    assert later(START, 1000.0, unreachable=()) == START
    assert later(START, 1000.0, earlier=()) == START


def test_a_phase_goes_on_when_all_cells_are_reachable_through_it() -> None:
    assert later(FALLBACK, 14.0, unreachable=()) == FALLBACK


def test_new_keys_become_current_once_the_activation_has_reached_the_cells() -> None:
    switching = switch_to(START, 6, now=110.0)

    assert switching == KeyPhase(current=5, since=110.0, switch_at=111.0)
    assert switch_to(switching, 6, now=110.9) == switching
    assert switch_to(switching, 6, now=111.0) == KeyPhase(current=6, since=110.0)


def test_a_switch_is_cancelled_if_the_current_keys_are_wanted_again() -> None:
    switching = switch_to(START, 6, now=110.0)

    assert switch_to(switching, 5, now=110.5) == KeyPhase(current=5, since=110.0)
    assert switch_to(START, 5, now=110.0) == START


def test_a_phase_ends_before_a_switch_and_leaves_time_for_handshakes() -> None:
    phase = later(START, 120.0)
    switching = switch_to(phase, 6, now=125.0)

    assert switching == KeyPhase(current=5, since=125.0, fallbacks=1, switch_at=135.0)
    assert switching.generation == 5
    assert switch_to(switching, 6, now=134.9) == switching
    assert switch_to(switching, 6, now=135.0).generation == 6


@pytest.mark.parametrize("phase", [START, FALLBACK])
def test_no_phase_begins_while_a_switch_is_due(phase: KeyPhase) -> None:
    switching = switch_to(phase, 6, now=500.0)

    assert later(switching, 100000.0) == switching
