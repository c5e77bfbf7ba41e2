"""Measurements of a day: what was measured is there, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictures import corp, picture_of, silent
from uno.web.picture import LinkRates, link_name
from uno.web.series import MAX_LINKS, SLOTS, STEP, LinkSample, SeriesRecorder, samples


def sample(received: int = 0, sent: int = 0, **measured: float | None) -> LinkSample:
    return LinkSample(
        rtt=measured.get("rtt"), loss=measured.get("loss"), received=received, sent=sent
    )


def test_a_link_is_measured_at_its_lower_end_while_that_is_in_contact() -> None:
    picture = picture_of(corp())
    pairs = picture.links_of[2]

    found = dict(samples(picture.cells[2]))

    assert found.keys() == {link_name(pair) for pair in pairs if pair[0] == 2}
    assert {(each.rtt, each.received) for each in found.values()} == {(12.5, 2000)}
    assert dict(samples(silent(picture, 2).cells[2])) == {}


def test_rates_are_differences_of_counters_in_octets_per_second() -> None:
    recorder = SeriesRecorder()
    recorder.note("1-2", sample(1000, 500), at=100.0)
    assert recorder.rates(at=100.0)["1-2"] == LinkRates()

    recorder.note("1-2", sample(4000, 500), at=130.0)

    assert recorder.rates(at=131.0)["1-2"] == LinkRates(receive=100.0, send=0.0)
    assert recorder.rates(at=5000.0) == {}, "a rate of long ago is none"


def test_a_counter_that_was_reset_or_is_too_old_gives_no_rate() -> None:
    recorder = SeriesRecorder()
    recorder.note("1-2", sample(9000, 9000), at=0.0)
    recorder.note("1-2", sample(10, 10), at=30.0)
    assert recorder.rates(at=30.0)["1-2"] == LinkRates()
    recorder.note("1-2", sample(10_000, 10), at=8000.0)
    assert recorder.rates(at=8000.0)["1-2"] == LinkRates()


def test_minutes_without_a_measurement_have_none() -> None:
    recorder = SeriesRecorder()
    recorder.note("1-2", sample(rtt=12.0, loss=0.0), at=10.0)
    recorder.note("1-2", sample(rtt=None, loss=1.0), at=190.0)

    found = recorder.series("1-2", span=300, at=200.0)

    assert found.rtt == (None, 12.0, None, None, None)
    assert found.loss == (None, 0.0, None, None, 1.0)
    assert (found.step, found.age) == (STEP, 20.0)
    assert recorder.series("1-3", span=300, at=200.0).rtt == ()


@given(
    times=st.lists(st.floats(0, 3 * SLOTS * STEP), min_size=1, max_size=60),
    later=st.floats(0, 2 * SLOTS * STEP),
    span=st.integers(1, 2 * SLOTS * STEP),
)
def test_every_point_is_the_last_measurement_of_its_minute(
    times: list[float], later: float, span: int
) -> None:
    recorder, expected = SeriesRecorder(), {}
    for number, at in enumerate(sorted(times)):
        recorder.note("1-2", sample(rtt=float(number)), at=at)
        expected[int(at // STEP)] = float(number)
    now = max(times) + later

    found = recorder.series("1-2", span=span, at=now)

    last = int(now // STEP)
    slots = range(last - len(found.rtt) + 1, last + 1)
    assert len(found.rtt) == min(SLOTS, -(-span // STEP))
    assert list(found.rtt) == [expected.get(slot) for slot in slots]


@pytest.mark.parametrize("count", [MAX_LINKS + 5])
def test_only_so_many_links_are_recorded_and_those_that_are_gone_are_forgotten(count: int) -> None:
    recorder = SeriesRecorder()
    for number in range(2, 2 + count):
        recorder.note(f"1-{number}", sample(), at=0.0)
    assert len(recorder.rates(at=0.0)) == MAX_LINKS

    recorder.keep_only(frozenset({1, 7, 9000}))

    assert set(recorder.rates(at=0.0)) == {"1-7"}


def test_a_measurement_that_arrives_late_changes_no_rate_of_now() -> None:
    recorder = SeriesRecorder()
    recorder.note("1-2", sample(100, 0), at=100.0)
    recorder.note("1-2", sample(700, 0), at=160.0)

    recorder.note("1-2", sample(50, 0), at=90.0)
    recorder.note("1-2", sample(1300, 0), at=220.0)

    assert recorder.rates(at=220.0)["1-2"] == LinkRates(receive=10.0, send=0.0)


@given(
    rtt=st.none() | st.floats(0, 1e6),
    loss=st.none() | st.floats(0, 1),
)
def test_what_is_recorded_in_less_memory_is_what_was_measured(
    rtt: float | None, loss: float | None
) -> None:
    recorder, again = SeriesRecorder(), SeriesRecorder()
    recorder.note("1-2", sample(rtt=rtt, loss=loss), at=10.0)
    again.restore(recorder.recorded_of("1-2"))

    for each in (recorder, again):
        found = each.series("1-2", span=60, at=10.0)
        # To 0.05 ms, 3.2 s at most; to half a percent.
        assert found.rtt == (None if rtt is None else pytest.approx(min(rtt, 3276.7), abs=0.026),)
        assert found.loss == (None if loss is None else pytest.approx(loss, abs=0.0026),)
