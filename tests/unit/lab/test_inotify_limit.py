"""The machine's limit of inotify instances is raised for labs and restored after the last."""

from __future__ import annotations

from pathlib import Path

import pytest

from uno.diagnostics import ActionNeeded
from uno.lab import inotify_limit, lab_state
from uno.lab.world_layout import Role, Station, WorldLayout

EMPTY = WorldLayout(stations=(), cables=(), names={})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNO_LAB_DIR", str(tmp_path / "labs"))


def lab(lab_id: str, count: int) -> Path:
    """Make a lab that needs so many instances."""
    directory = lab_state.create(EMPTY, lab_id).directory
    inotify_limit.reserve(directory, count)
    return directory


def test_the_limit_is_raised_and_restored_with_the_lab(inotify: Path) -> None:
    lab("abcdef", 100)
    assert inotify.read_text() == "8192"

    lab_state.remove("abcdef")

    assert inotify.read_text() == "128"
    assert not inotify_limit.RECORD.exists()


def test_a_lab_that_needs_little_changes_nothing(inotify: Path) -> None:
    lab("abcdef", 64)

    assert inotify.read_text() == "128\n"


def test_small_labs_together_raise_the_limit(inotify: Path) -> None:
    lab("abcdef", 40)
    lab("123456", 40)

    assert inotify.read_text() == "8192"


def test_the_last_of_several_labs_restores_the_limit(inotify: Path) -> None:
    lab("abcdef", 100)
    lab("123456", 10)

    lab_state.remove("abcdef")
    assert inotify.read_text() == "8192"
    lab_state.remove("123456")

    assert inotify.read_text() == "128"


def test_a_lab_that_went_without_a_removal_is_not_waited_for(inotify: Path) -> None:
    gone = lab("abcdef", 100)
    lab("123456", 10)
    (gone / "lab.json").unlink()
    gone.rmdir()

    lab_state.remove("123456")

    assert inotify.read_text() == "128"


def test_a_limit_that_was_set_otherwise_since_stays(inotify: Path) -> None:
    lab("abcdef", 100)
    inotify.write_text("4096")

    lab_state.remove("abcdef")

    assert inotify.read_text() == "4096"


def test_a_limit_that_others_lowered_is_raised_again_and_theirs_restored(inotify: Path) -> None:
    lab("abcdef", 100)
    inotify.write_text("200")
    lab("123456", 10)
    assert inotify.read_text() == "8192"

    lab_state.remove("abcdef")
    lab_state.remove("123456")

    assert inotify.read_text() == "200"


def test_more_than_the_usual_is_set_where_it_is_needed(inotify: Path) -> None:
    lab("abcdef", 10_000)

    assert inotify.read_text() == "20000"


def test_a_limit_that_cannot_be_raised_is_named(
    inotify: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    directory = lab_state.create(EMPTY, "abcdef").directory
    monkeypatch.setattr(Path, "write_text", refuse)

    with pytest.raises(ActionNeeded, match=r"needs? .*100 inotify instances.* is 128") as caught:
        inotify_limit.reserve(directory, 100)

    assert "sysctl -w fs.inotify.max_user_instances=8192" in caught.value.hint
    assert inotify.read_text() == "128\n"


def test_a_record_that_cannot_be_read_counts_as_none(inotify: Path) -> None:
    inotify_limit.RECORD.write_text("{")

    lab("abcdef", 100)
    lab_state.remove("abcdef")

    assert inotify.read_text() == "128"


def test_links_between_all_cells_are_counted() -> None:
    def layout(cells: int) -> WorldLayout:
        stations = tuple(Station(name=f"c{n}", role=Role.CELL) for n in range(cells))
        return WorldLayout(stations=stations, cables=(), names={})

    assert [inotify_limit.instances(layout(cells)) for cells in (0, 5, 50)] == [1, 31, 2551]
