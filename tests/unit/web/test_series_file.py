"""Measurements over a restart: what comes back, on which clock, and what is no file of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from uno.web.series import STEP, LinkSample, SeriesRecorder
from uno.web.series_file import (
    CLOCK_SET,
    KeptSeries,
    SeriesMoment,
    decoded,
    encoded,
    moved,
)

BOOTED = CLOCK_SET + 1_000_000
THEN = SeriesMoment(boot="one", monotonic=50_000.0, wall=BOOTED + 50_000)


def recorder() -> SeriesRecorder:
    made = SeriesRecorder()
    for minute in range(10):
        measured = LinkSample(rtt=float(minute), loss=0.0, received=600 * minute, sent=0)
        made.note("1-2", measured, at=THEN.monotonic - 600 + minute * STEP)
    return made


def kept() -> KeptSeries:
    return KeptSeries(moment=THEN, links=tuple(recorder().recorded()))


def restored(now: SeriesMoment, of: KeptSeries | None = None) -> SeriesRecorder:
    again = decoded(encoded(of or kept()))
    assert again is not None
    made = SeriesRecorder()
    for each in moved(again, now):
        made.restore(each)
    return made


@pytest.mark.feature("G43")
def test_after_a_restart_of_the_agent_all_measurements_are_there_again() -> None:
    now = replace(THEN, monotonic=THEN.monotonic + 30, wall=5)

    found = restored(now)

    assert found.series("1-2", span=1200, at=now.monotonic) == recorder().series(
        "1-2", span=1200, at=now.monotonic
    )
    assert found.rates(at=now.monotonic) == recorder().rates(at=now.monotonic)


@pytest.mark.feature("G43")
@given(passed=st.integers(0, 80_000), up=st.integers(1, 600))
def test_after_the_host_has_booted_measurements_have_their_age(passed: int, up: int) -> None:
    now = SeriesMoment(boot="two", monotonic=float(up), wall=THEN.wall + passed)

    found = restored(now).series("1-2", span=86_400, at=now.monotonic)

    ages = [len(found.rtt) - 1 - i for i, rtt in enumerate(found.rtt) if rtt == 0.0]
    assert ages == pytest.approx([(600 + passed) / STEP], abs=2)
    # Counters have begun anew.
    assert restored(now).rates(at=now.monotonic + 60) == {}


@pytest.mark.parametrize(
    "now",
    [
        SeriesMoment(boot="two", monotonic=60.0, wall=0),
        SeriesMoment(boot="two", monotonic=60.0, wall=THEN.wall - 1),
        SeriesMoment(boot="two", monotonic=60.0, wall=THEN.wall + 90_000),
        SeriesMoment(boot="", monotonic=60.0, wall=0),
    ],
)
def test_nothing_comes_back_where_its_age_is_not_known_or_a_day(now: SeriesMoment) -> None:
    unnamed = replace(kept(), moment=replace(THEN, boot=now.boot and THEN.boot))

    assert restored(now, unnamed).series("1-2", span=600, at=60.0).rtt == ()


@given(st.binary(max_size=200))
def test_what_is_no_file_of_measurements_is_refused(content: bytes) -> None:
    assert decoded(content) is None


@given(cut=st.integers(0, 400), flipped=st.integers(0, 400), bit=st.integers(0, 7))
def test_a_damaged_file_is_refused_or_whole(cut: int, flipped: int, bit: int) -> None:
    content = bytearray(encoded(kept()))
    content[flipped % len(content)] ^= 1 << bit

    assert decoded(bytes(content)[: len(content) - 1 - cut % len(content)]) is None
    found = decoded(bytes(content))
    assert found is None or len(found.links) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"slots": b"123"},
        {"slots": bytes(8)},
        {"values": ()},
        {"values": (b"", b"", b"", b"")},
    ],
)
def test_rows_that_do_not_fit_together_are_refused(changes: dict[str, object]) -> None:
    (link,) = kept().links

    assert decoded(encoded(replace(kept(), links=(replace(link, **changes),)))) is None
