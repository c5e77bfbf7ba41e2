"""What flaps is advertised seldom, and nothing of it is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.statesync.flap_damping import AT_ONCE, MAX_HOLD, QUIET, FlapDamping

pytestmark = pytest.mark.feature("G57")


def played(changes: list[float], *, observed: float = 0.0) -> list[tuple[float, int]]:
    """Return when what was advertised, by number, of changes that come after so many seconds."""
    damping, found, now = FlapDamping(), list[tuple[float, int]](), observed
    due: float | None = None
    for number, pause in enumerate([*changes, 10 * QUIET]):
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


pauses = st.lists(st.floats(0.05, 2 * QUIET), min_size=1, max_size=200)


@given(changes=pauses)
def test_the_last_change_is_advertised_and_soon(changes: list[float]) -> None:
    found = played(changes)

    at, number = found[-1]
    assert number == len(changes) - 1
    assert sum(changes) <= at <= sum(changes) + MAX_HOLD


@given(changes=pauses)
def test_what_is_advertised_in_any_minutes_is_bounded(changes: list[float]) -> None:
    times = [at for at, _ in played(changes)]

    for start in times:
        within = [at for at in times if start <= at < start + 300]
        # Those at once, those of the back-off, and what a quiet minute allows again.
        gaps = sum(b - a >= QUIET for a, b in pairwise(within))
        assert len(within) <= (gaps + 1) * (AT_ONCE + 5) + 300 / MAX_HOLD


def test_a_link_that_flaps_for_minutes_is_advertised_every_five_seconds() -> None:
    found = played([0.5] * 2400)

    assert [number for _, number in found[:AT_ONCE]] == list(range(AT_ONCE))
    late = [at for at, _ in found if at >= 600]
    assert {later - earlier for earlier, later in pairwise(late)} == {MAX_HOLD}


def test_after_a_quiet_minute_changes_are_advertised_at_once_again() -> None:
    found = played([0.5] * 100 + [2 * QUIET] + [0.5] * AT_ONCE)

    assert [number for _, number in found[-AT_ONCE:]] == list(range(101, 101 + AT_ONCE))


def test_a_clock_that_is_behind_holds_nothing() -> None:
    damping = FlapDamping()
    for now in range(100, 100 + AT_ONCE):
        damping.note_advertised(now=now)

    assert damping.opens_at(now=111.5) > 111.5
    assert damping.opens_at(now=50) == 50
