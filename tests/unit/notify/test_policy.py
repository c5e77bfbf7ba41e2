"""What is reported of conditions that come, last, go, and come again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uno.notify.policy import (
    FLAPS,
    HOLD,
    STEADY,
    Condition,
    NoticeKind,
    Tracks,
    due_in,
    step,
    window,
)

WINDOW = int(window(HOLD))
SILENT = Condition(id="cell/3", subject="lan-c", text="lan-c is silent")
LOST, FOUND, UNSTABLE = NoticeKind.LOST, NoticeKind.FOUND, NoticeKind.UNSTABLE


def played(
    changes: Iterable[tuple[int, bool]], *, end: int, hold: float = HOLD
) -> list[tuple[int, NoticeKind]]:
    """Step each second; a change is a time and whether the condition is there from then on."""
    waiting, present, tracks = list(changes), False, {}
    found: list[tuple[int, NoticeKind]] = []
    for now in range(end):
        while waiting and waiting[0][0] <= now:
            present = waiting.pop(0)[1]
        conditions = {SILENT.id: SILENT} if present else {}
        tracks, notices = step(tracks, conditions, float(now), hold=hold)
        found += [(now, notice.kind) for notice in notices]
    return found


@pytest.mark.feature("G50")
def test_a_blip_is_not_reported() -> None:
    assert played([(100, True), (120, False)], end=4000) == []


@pytest.mark.feature("G50")
def test_an_outage_causes_two_notices() -> None:
    hold, clear = int(HOLD), int(HOLD)
    assert played([(100, True), (700, False)], end=4000) == [
        (100 + hold, LOST),
        (700 + clear, FOUND),
    ]


@pytest.mark.feature("G50")
def test_a_condition_that_comes_and_goes_for_half_an_hour_causes_two_notices() -> None:
    changes = [(100 + 20 * i, i % 2 == 0) for i in range(90)]
    assert played(changes, end=7200) == [
        (100 + 20 * FLAPS, UNSTABLE),
        (100 + 20 * 89 + int(STEADY * HOLD), FOUND),
    ]


@pytest.mark.parametrize("hold", [10, 60, 150, 600, 3600])
def test_whatever_the_hold_what_comes_and_goes_faster_causes_two_notices(hold: int) -> None:
    half = hold - 1
    changes = [(100 + half * i, i % 2 == 0) for i in range(20)]
    assert played(changes, end=100 + half * 20 + 20 * hold, hold=hold) == [
        (100 + half * FLAPS, UNSTABLE),
        (100 + half * 19 + STEADY * hold, FOUND),
    ]


def test_a_condition_that_comes_and_goes_and_stays_is_lost_in_the_end() -> None:
    changes = [(100 + 20 * i, i % 2 == 0) for i in range(31)]
    assert [kind for _, kind in played(changes, end=7200)] == [UNSTABLE, LOST]


def test_what_is_wrong_during_a_change_counts_from_its_end() -> None:
    there: Mapping[str, Condition] = {SILENT.id: SILENT}
    tracks, notices = step({}, there, 0.0, since_change=float("inf"))
    tracks, notices = step(tracks, there, 500.0, since_change=float("inf"))
    assert not notices
    tracks, notices = step(tracks, there, 600.0, since_change=590.0)
    assert not notices
    tracks, notices = step(tracks, there, 590.0 + HOLD, since_change=590.0)
    assert [notice.kind for notice in notices] == [LOST]


def test_the_notice_has_the_newest_text() -> None:
    tracks, _ = step({}, {SILENT.id: SILENT}, 0.0)
    newer = Condition(id=SILENT.id, subject="site-c", text="site-c is silent")
    _, (notice,) = step(tracks, {SILENT.id: newer}, HOLD)
    assert notice.condition == newer


@given(
    st.lists(st.tuples(st.floats(0.1, 400.0), st.booleans()), max_size=60),
)
def test_notices_alternate_and_never_come_more_often_than_their_times_allow(
    waits: list[tuple[float, bool]],
) -> None:
    tracks: Tracks = {}
    now, told, last = 0.0, False, None
    for wait, present in waits:
        now += wait
        tracks, notices = step(tracks, {SILENT.id: SILENT} if present else {}, now)
        for notice in notices:
            if notice.kind is FOUND:
                assert told
                told = False
            else:
                assert notice.kind is UNSTABLE or not told or last is UNSTABLE
                told = True
            last = notice.kind
        due = due_in(tracks, now)
        assert due is None or due >= 0.0
    # At rest all that was reported is withdrawn, and nothing stays in memory.
    for later in (HOLD, WINDOW, 2 * WINDOW, 3 * WINDOW):
        tracks, notices = step(tracks, {}, now + later)
        told = told and not any(notice.kind is FOUND for notice in notices)
    assert not told
    assert tracks == {}


@given(st.floats(1.0, 1000.0), st.floats(0.0, 1000.0))
def test_the_next_step_is_due_when_it_has_something_to_report(hold: float, began: float) -> None:
    tracks, _ = step({}, {SILENT.id: SILENT}, began, hold=hold)
    due = due_in(tracks, began, hold=hold)
    assert due == pytest.approx(hold)
    _, notices = step(tracks, {SILENT.id: SILENT}, began + hold * 0.99, hold=hold)
    assert not notices
    _, notices = step(tracks, {SILENT.id: SILENT}, began + hold * 1.01, hold=hold)
    assert [notice.kind for notice in notices] == [LOST]
