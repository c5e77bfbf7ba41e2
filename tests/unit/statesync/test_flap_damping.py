"""What flaps is advertised seldom, and nothing of it is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.statesync.flap_damping import AT_ONCE, INTERVAL, FlapDamping

pytestmark = pytest.mark.feature("G57")


def played(changes: list[float], *, observed: float = 0.0) -> list[tuple[float, int]]:
    """Return when what was advertised, by number, of changes that come after so many seconds."""
    damping, found, now = FlapDamping(), list[tuple[float, int]](), observed
    due: float | None = None
    for number, pause in enumerate([*changes, 10 * AT_ONCE * INTERVAL]):
        now += pause
        if due is not None and due <= now:
            found.append((due, number - 1))
            damping.note_advertised(now=due)
            due = None
        if number == len(changes):
            break
        due = damping.opens_at(now=now)
        if due <= now:
            found.append((now, number))
            damping.note_advertised(now=now)
            due = None
    return found


pauses = st.lists(st.floats(0.05, 4 * INTERVAL), min_size=1, max_size=400)


@given(changes=pauses)
def test_the_last_change_is_advertised_and_soon(changes: list[float]) -> None:
    found = played(changes)

    at, number = found[-1]
    assert number == len(changes) - 1
    assert sum(changes) <= at <= sum(changes) + INTERVAL + 1e-6


@given(changes=pauses)
def test_what_is_advertised_in_any_minutes_is_bounded(changes: list[float]) -> None:
    times = [at for at, _ in played(changes)]

    for start in times:
        within = [at for at in times if start <= at < start + 300]
        assert len(within) <= AT_ONCE + 300 / INTERVAL + 1


def test_a_link_that_flaps_for_minutes_is_advertised_every_five_seconds() -> None:
    found = played([0.5] * 2400)

    assert [number for _, number in found[:AT_ONCE]] == list(range(AT_ONCE))
    late = [at for at, _ in found if at >= 600]
    assert {later - earlier for earlier, later in pairwise(late)} == {INTERVAL}


def test_after_quiet_minutes_changes_are_advertised_at_once_again() -> None:
    found = played([0.5] * 200 + [AT_ONCE * INTERVAL] + [0.5] * AT_ONCE)

    assert [number for _, number in found[-AT_ONCE:]] == list(range(201, 201 + AT_ONCE))


def test_what_people_cause_holds_what_flaps_no_longer() -> None:
    damping = FlapDamping()
    for _ in range(10 * AT_ONCE):
        damping.note_advertised(now=100.0)

    assert damping.opens_at(now=100.0) == 100.0 + INTERVAL


def test_a_clock_that_is_behind_holds_nothing() -> None:
    damping = FlapDamping()
    for _ in range(AT_ONCE):
        damping.note_advertised(now=100.0)

    assert damping.opens_at(now=101.0) == 105.0
    assert damping.opens_at(now=50.0) == 50.0
