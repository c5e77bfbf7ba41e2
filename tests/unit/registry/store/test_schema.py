"""A registry of layout 1 is brought to this layout, after a copy; a newer one is refused."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from uno.diagnostics import ActionNeeded, UnoError
from uno.model.uvn import Middleware
from uno.registry.changes import operations
from uno.registry.publish import package_files
from uno.registry.store.generation_store import Store
from uno.registry.store.schema import SCHEMA, version
from uno.registry.store.sqlite import Database, StoreError
from uno.render import package_file

V1 = Path(__file__).parent / "registry-v1.sql"


@pytest.fixture
def old(root: Path) -> Path:
    """The directory of a registry that the last uno of layout 1 wrote."""
    root.mkdir(mode=0o700)
    with sqlite3.connect(root / "registry.db") as db:
        db.executescript(V1.read_text())
    db.close()
    (root / "registry.db").chmod(0o600)
    return root


def layout_of(path: Path) -> int:
    db = Database(path)
    try:
        return version(db)
    finally:
        db.close()


@pytest.mark.feature("G31")
def test_a_registry_from_before_another_default_keeps_its_middleware(old: Path) -> None:
    with operations.opened(old) as registry:
        head = registry.store.head()

    package = package_file.read((old / "cells" / "net__a.uvn-agent").read_bytes())
    assert head.uvn.settings.middleware is Middleware.CYCLONE
    assert head.plan.bus.middleware is package.plan.bus.middleware is Middleware.CYCLONE


@pytest.mark.parametrize("for_change", [False, True])
def test_a_registry_of_layout_1_is_migrated_when_it_is_opened(
    old: Path, *, for_change: bool
) -> None:
    with operations.opened(old, for_change=for_change) as registry:
        head = registry.store.head()
        assert [cell.name for cell in head.uvn.cells] == ["a", "b"]
        assert [entry.why for entry in registry.store.history()] == [
            "define uvn net",
            "define cell a",
            "define cell b",
            "define particle phone",
        ]
        assert [registry.store.generation(n).number for n in (1, 2, 3)] == [1, 2, 3]
        assert len(registry.store.secrets()) == 12
        assert package_files.is_complete(registry)

    assert layout_of(old / "registry.db") == SCHEMA
    assert (
        package_file.read((old / "cells" / "net__a.uvn-agent").read_bytes()).manifest.generation
        == 4
    )


def test_what_it_was_before_is_beside_it_for_its_owner_alone(old: Path) -> None:
    with operations.opened(old):
        pass

    copy = old / "registry.db.v1.bak"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert layout_of(copy) == 1


def test_a_migrated_file_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    with operations.opened(old):
        pass
    Store.create(tmp_path / "new.db").close()

    def tables(path: Path) -> dict[str, list[tuple[str, str]]]:
        db = sqlite3.connect(path)
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master")]
        found = {
            name: sorted(row[1:3] for row in db.execute(f"PRAGMA table_info({name})"))
            for name in names
        }
        db.close()
        return found

    assert tables(old / "registry.db") == tables(tmp_path / "new.db")


def test_without_room_for_the_copy_nothing_is_migrated(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise ActionNeeded("the disk is full")

    monkeypatch.setattr("uno.files.write_atomic", full)

    with pytest.raises(UnoError, match="the disk is full"), operations.opened(old):
        pass

    assert layout_of(old / "registry.db") == 1


def test_the_uno_of_layout_1_would_refuse_this_layout(tmp_path: Path) -> None:
    Store.create(tmp_path / "new.db").close()

    db = sqlite3.connect(tmp_path / "new.db")
    # What it asked, word for word.
    assert db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchall() != [("1",)]
    db.close()


def test_a_newer_layout_is_refused_and_left_alone(root: Path, old: Path) -> None:
    with operations.opened(old):
        pass
    with sqlite3.connect(root / "registry.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = (root / "registry.db").read_bytes()

    for for_change in (False, True):
        with (
            pytest.raises(StoreError, match="newer uno: it has layout 99, and this uno") as refused,
            operations.opened(root, for_change=for_change),
        ):
            pass
        assert refused.value.exit_status == 2

    assert (root / "registry.db").read_bytes() == before


def test_a_database_of_something_else_is_an_error(root: Path) -> None:
    root.mkdir()
    with sqlite3.connect(root / "registry.db") as db:
        db.execute("CREATE TABLE meta (name, value)")
    db.close()

    with pytest.raises(StoreError, match="is not the file of a registry"), operations.opened(root):
        pass
