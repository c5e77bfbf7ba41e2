"""Events on disk: numbered, bounded, private, and of less worth than the page."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uno.diagnostics import TransientFailure
from uno.web import event_store
from uno.web.documents import AlertSeverity
from uno.web.event_store import EventStore
from uno.web.events import EventKind, NetworkEvent

NOW = 1_700_000_000
DAY = 86_400


def event(text: str) -> NetworkEvent:
    return NetworkEvent(
        kind=EventKind.CELL_LOST, severity=AlertSeverity.CRITICAL, text=text, cells=(2,)
    )


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    return EventStore(tmp_path / "events.db")


def texts(store: EventStore, **asked: int) -> list[str]:
    return [each.text for each in store.listed(**asked).events]


def test_events_are_numbered_and_listed_newest_first_after_a_restart(
    store: EventStore, tmp_path: Path
) -> None:
    made = store.append([event("a"), event("b")], now=NOW, clock_trusted=True)
    store.append([event("c")], now=NOW + 1, clock_trusted=False)

    again = EventStore(tmp_path / "events.db").listed()

    assert [each.number for each in made] == [1, 2]
    assert [each.text for each in again.events] == ["c", "b", "a"]
    assert again.newest == 3
    assert [each.clock_trusted for each in again.events] == [False, True, True]
    assert again.events[1:] == tuple(reversed(made))


@settings(max_examples=20)
@given(data=st.data(), count=st.integers(0, 12))
def test_pages_together_have_every_event_once(
    data: st.DataObject, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = EventStore(tmp_path_factory.mktemp("events") / "events.db")
    store.append([event(str(number)) for number in range(count)], now=NOW, clock_trusted=True)
    limit = data.draw(st.integers(1, 5))

    found, before, more = [], None, True
    while more:
        page = store.listed(before=before, limit=limit)
        found += [each.text for each in page.events]
        before, more = page.events[-1].number if page.events else 0, page.more

    assert found == [str(number) for number in reversed(range(count))]
    after = data.draw(st.integers(0, count))
    assert len(texts(store, after=after)) == count - after


def test_the_oldest_are_dropped_above_the_cap_and_after_ninety_days(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_store, "MAX_EVENTS", 3)
    store.append([event(name) for name in "abcde"], now=NOW, clock_trusted=True)
    assert texts(store) == ["e", "d", "c"]

    store.append([event("f")], now=NOW + 91 * DAY, clock_trusted=False)
    assert texts(store) == ["f", "e", "d"], "a clock that may be wrong deletes nothing"
    store.append([event("g")], now=NOW + 91 * DAY, clock_trusted=True)
    assert texts(store) == ["g", "f"]


def test_only_the_owner_can_read_the_file(store: EventStore, tmp_path: Path) -> None:
    store.append([event("a")], now=NOW, clock_trusted=True)

    assert stat.S_IMODE((tmp_path / "events.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"not a database, and long enough to be none" * 40, b"x"])
def test_a_damaged_file_is_replaced(store: EventStore, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.db").write_bytes(content)

    store.append([event("a")], now=NOW, clock_trusted=True)

    assert texts(store) == ["a"]


def test_what_a_newer_version_has_written_is_left_out(store: EventStore, tmp_path: Path) -> None:
    store.append([event("a"), event("b")], now=NOW, clock_trusted=True)
    with sqlite3.connect(tmp_path / "events.db") as database:
        database.execute(
            "UPDATE events SET body = replace(body, 'cell-lost', 'later') WHERE number = 1"
        )

    assert texts(store) == ["b"]


def test_a_place_that_cannot_be_written_is_an_error_for_people(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "missing" / "events.db")

    with pytest.raises(TransientFailure, match="No such file"):
        store.append([event("a")], now=NOW, clock_trusted=True)
    assert store.append([], now=NOW, clock_trusted=True) == ()
