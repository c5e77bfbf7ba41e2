"""Which versions of the page's state are announced at once, and which documents are made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from pictures import corp, picture_of
from uno.model.status import CellView, ParticleState
from uno.web.server.event_stream import MEASURED, due_in
from uno.web.server.page_state import PageState


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> PageState:
    """The state of a page that knows four cells."""
    made, view = PageState(clock), picture_of(corp(), viewer=1).view
    made.set_view(replace(view, cells=()), tuple(cell.id for cell in view.cells))
    for cell in view.cells:
        made.set_cell(
            changed(cell, particles=(ParticleState(id=1, handshake=20),)), received=1000.0
        )
    return made


def changed(cell: CellView, **changes: Any) -> CellView:
    assert cell.status is not None
    return replace(cell, status=replace(cell.status, **changes))


def of_first(cell: CellView, kind: str, **changes: Any) -> CellView:
    """A cell of which the first link, path or particle differs."""
    first, *others = getattr(cell.status, kind)
    return changed(cell, **{kind: (replace(first, **changes), *others)})


@pytest.mark.feature("G43")
@pytest.mark.parametrize(
    ("kind", "changes", "is_notable"),
    [
        ("links", {"rtt": 99.0, "received": 5, "sent": 6, "handshake": 31, "loss": 0.01}, False),
        ("links", {"bfd": "down"}, True),
        ("links", {"bgp": "Idle"}, True),
        ("links", {"loss": 0.5}, True),
        ("links", {"mtu": 1000}, True),
        ("links", {"endpoint": "203.0.113.9:1"}, True),
        ("paths", {"rtt": 99.0, "loss": 0.1}, False),
        ("paths", {"rtt": None}, True),
        ("particles", {"handshake": 21, "received": 9}, False),
        ("particles", {"handshake": 500}, True),
    ],
)
def test_a_measurement_is_not_notable_and_a_change_of_state_is(
    state: PageState, kind: str, changes: dict[str, Any], *, is_notable: bool
) -> None:
    view = state.view()
    assert view is not None
    cell, before = view.cells[1], (state.version, state.notable_version)

    state.set_cell(of_first(cell, kind, **changes), received=1000.0)

    assert state.version == before[0] + 1
    assert (state.notable_version > before[1]) is is_notable


@pytest.mark.feature("G43")
def test_what_ages_is_not_notable_and_a_lost_contact_is(state: PageState) -> None:
    view = state.view()
    assert view is not None
    before = state.notable_version

    state.set_cell(
        replace(changed(view.cells[1], clock=5, uptime=9), age=1.0, status_age=1.0), received=1000.0
    )
    assert state.notable_version == before

    state.set_cell(replace(view.cells[1], alive=False), received=1000.0)
    assert state.notable_version == state.version


class Made(Struct):
    number: int


@pytest.mark.feature("G43")
def test_a_document_is_made_again_at_once_for_a_change_and_soon_for_a_measurement(
    state: PageState, clock: Clock
) -> None:
    made: list[Made] = []

    def make() -> Made:
        made.append(Made(len(made)))
        return made[-1]

    view = state.view()
    assert view is not None
    state.answer("a", make)
    state.set_cell(of_first(view.cells[1], "links", rtt=50.0), received=1000.0)
    clock.now += 0.9
    state.answer("a", make)
    assert len(made) == 1

    clock.now += 0.2
    state.answer("a", make)
    assert len(made) == 2

    state.set_cell(of_first(view.cells[1], "links", bfd="down"), received=1000.0)
    state.answer("a", make)
    assert len(made) == 3


@pytest.mark.feature("G43")
@given(
    announced=st.integers(0, 50),
    more=st.integers(1, 9),
    at=st.floats(0, 1e6),
    passed=st.floats(0, 60),
)
def test_a_version_waits_only_for_measurements_and_not_long(
    announced: int, more: int, at: float, passed: float
) -> None:
    version, now = announced + more, at + passed

    assert due_in(announced, at, version=announced, notable=announced, now=now) is None
    assert due_in(announced, at, version=version, notable=version, now=now) == 0
    waits = due_in(announced, at, version=version, notable=announced, now=now)
    assert waits is not None
    assert 0 <= waits <= MEASURED
    if passed >= MEASURED:
        assert waits == 0


@pytest.mark.feature("G43")
def test_pages_that_were_opened_at_different_times_get_measurements_at_the_same() -> None:
    times = {
        at + (due_in(1, at, version=2, notable=1, now=at) or 0.0) for at in (100.2, 101.0, 104.9)
    }

    assert times == {105.0}
