"""What is kept of the network while nobody reads the page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pictures import corp, link_down, phone_at, picture_of, silent, unreached, with_status
from uno.web import journal as journals
from uno.web.events import EventKind
from uno.web.journal import COMPARE_EVERY, Journal
from uno.web.picture import Picture, link_name
from uno.web.series import SLOTS, STEP, SeriesRecorder

PARIS, ROME = 1, 2


def measured_again(picture: Picture, cell: int, *, octets: int) -> Picture:
    """Return a picture in which a cell has measured its links again."""
    status = picture.cells[cell].status
    assert status is not None
    links = tuple(replace(it, received=it.received + octets, rtt=9.5) for it in status.links)
    return with_status(picture, cell, links=links, uptime=(status.uptime or 0) + 5)


def changed(picture: Picture) -> list[Picture]:
    """Return pictures in each of which one thing has happened."""
    pair = picture.links[0]
    lan = next(lan for lan, owner in picture.lans if owner != ROME)
    return [
        silent(picture, ROME),
        link_down(picture, *pair),
        unreached(picture, ROME, lan),
        phone_at(picture, PARIS),
        with_status(picture, ROME, problem="the disk is full"),
        with_status(picture, ROME, generation=99),
        replace(picture, view=replace(picture.view, registry=not picture.view.registry)),
    ]


def test_what_has_happened_is_found_at_once() -> None:
    before = picture_of(corp(), viewer=PARIS)
    for number, after in enumerate(changed(before)):
        journal = Journal()
        journal.happened(before, now=0.0)

        found = journal.happened(after, now=0.1)

        assert found, f"change {number}"
        assert journal.happened(after, now=0.2) == ()


def test_measurements_alone_are_compared_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = picture_of(corp(), viewer=PARIS)
    own = picture.view.viewer
    journal, compared = Journal(), []
    monkeypatch.setattr(journals, "events", lambda *both: compared.append(both) or ())
    for step in range(int(4 * COMPARE_EVERY)):
        picture = measured_again(picture, own, octets=100)
        journal.happened(picture, now=float(step))

    assert 2 <= len(compared) <= 4


def test_a_fault_that_only_measurements_show_is_found_too() -> None:
    before = picture_of(corp(), viewer=PARIS)
    status = before.cells[PARIS].status
    assert status is not None
    lossy = tuple(replace(each, loss=0.5) for each in status.links)
    after, journal = with_status(before, PARIS, links=lossy), Journal()
    journal.happened(before, now=0.0)

    found = [it for at in (1.0, COMPARE_EVERY + 1) for it in journal.happened(after, now=at)]

    assert EventKind.FAULT_BEGUN in {each.kind for each in found}


def test_each_measurement_is_recorded_once_at_the_time_at_which_it_was_received() -> None:
    picture, journal = picture_of(corp(), viewer=PARIS), Journal()
    pair = next(each for each in picture.links_of[PARIS] if each[0] == PARIS)
    journal.measure(picture.view, now=100.0)
    journal.measure(picture.view, now=900.0)
    picture = measured_again(picture, PARIS, octets=500)
    journal.measure(picture.view, now=110.0)

    assert journal.received_at(PARIS) == 110.0
    assert journal.received_at(ROME) == 100.0
    assert journal.series.rates(at=110.0)[link_name(pair)].receive == 50.0


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.floats(0.0, 900.0), st.integers(0, 9999)), max_size=40),
    span=st.integers(1, SLOTS * STEP),
)
def test_another_recorder_has_all_that_was_recorded(
    steps: list[tuple[float, int]], span: int
) -> None:
    other, now = SeriesRecorder(), 0.0
    picture = picture_of(corp(), viewer=PARIS)
    journal = Journal()
    for pause, octets in steps:
        now += pause
        picture = measured_again(picture, PARIS, octets=octets)
        journal.measure(picture.view, now=now)
    recorder = journal.series

    for each in recorder.recorded():
        other.restore(each)

    assert other.rates(at=now) == recorder.rates(at=now)
    for pair in picture.links:
        name = link_name(pair)
        assert other.series(name, span=span, at=now) == recorder.series(name, span=span, at=now)


def test_of_a_cell_that_has_left_nothing_is_kept() -> None:
    view = picture_of(corp(), viewer=PARIS).view
    journal = Journal()
    journal.measure(view, now=0.0)
    assert any(str(ROME) in each.link.split("-") for each in journal.series.recorded())

    left = replace(view, cells=tuple(each for each in view.cells if each.id != ROME))
    journal.measure(left, now=1.0)

    found = [each.link.split("-") for each in journal.series.recorded()]
    assert found
    assert not any(str(ROME) in each for each in found)
