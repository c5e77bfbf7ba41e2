from __future__ import annotations

import stat
from pathlib import Path

import pytest

from uno import files
from uno.diagnostics import UnoError
from uno.registry.store import directory
from uno.registry.store.generation_store import Store


def nothing(_: Store) -> None:
    return


@pytest.mark.feature("F021")
@pytest.mark.feature("F074")
def test_a_registry_is_made_in_a_directory_that_is_not_there(root: Path) -> None:
    with directory.created(root, nothing) as registry:
        assert registry.layout.database == root / "registry.db"

    assert [path.name for path in root.iterdir()] == ["registry.db"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.feature("F021")
def test_an_empty_directory_is_taken_and_closed_to_others(root: Path) -> None:
    root.mkdir(mode=0o755)

    with directory.created(root, nothing):
        assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.feature("F021")
def test_a_directory_with_something_in_it_is_refused_and_left_alone(root: Path) -> None:
    root.mkdir(mode=0o755)
    (root / "precious").write_text("x")

    with pytest.raises(UnoError, match="is not empty: it has precious; choose an empty or new"):
        directory.require_empty(root)
    with (
        pytest.raises(UnoError, match="nothing was deleted"),
        directory.created(root, nothing),
    ):
        pass

    assert [path.name for path in root.iterdir()] == ["precious"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_a_second_registry_in_the_same_place_is_refused(root: Path) -> None:
    with directory.created(root, nothing):
        pass

    with pytest.raises(UnoError, match="already holds a UVN; show it with: uno show uvn"):
        directory.require_empty(root)


def test_what_a_killed_define_leaves_does_not_stand_in_the_way(root: Path) -> None:
    root.mkdir()
    for leftover in ("registry.db.new", "registry.db.new-journal", "lock", ".uno-abc.tmp"):
        (root / leftover).write_text("half")

    with directory.created(root, nothing):
        pass

    assert "registry.db" in [path.name for path in root.iterdir()]
    assert not list(root.glob("registry.db.new*"))


def test_a_file_in_place_of_the_directory_is_an_error(root: Path) -> None:
    root.write_text("x")

    with pytest.raises(UnoError, match="cannot read"):
        directory.require_empty(root)


def test_a_failing_block_removes_what_was_made_and_no_more(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"

    def make_and_fail() -> None:
        with directory.created(root, nothing) as registry:
            registry.layout.cells.mkdir()
            (registry.layout.cells / "u__c.uvn-agent").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_and_fail()

    assert list(tmp_path.iterdir()) == []


def test_opening_where_there_is_none_hints_at_define(root: Path) -> None:
    with (
        pytest.raises(
            UnoError, match=r"no UVN registry in .*; name its directory with -r, or make"
        ),
        directory.opened(root, for_change=False),
    ):
        pass


def test_two_changes_at_once_are_one_after_the_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with directory.created(root, nothing):
        pass
    waits = files.locked
    monkeypatch.setattr(files, "locked", lambda path: waits(path, wait_seconds=0.1))

    with (
        directory.opened(root, for_change=True),
        pytest.raises(UnoError, match="is in use by process"),
        directory.opened(root, for_change=True),
    ):
        pass


def test_reading_waits_for_no_lock(root: Path) -> None:
    with (
        directory.created(root, nothing),
        directory.opened(root, for_change=False) as registry,
    ):
        assert registry.store.history() == ()
