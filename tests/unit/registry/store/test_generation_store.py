from __future__ import annotations

import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from uno.model import codec
from uno.model.plan import Plan
from uno.model.uvn import Uvn
from uno.planning import planner
from uno.registry.publish import keygen
from uno.registry.store.generation_store import (
    CellPackageRow,
    ParticlePackageRow,
    Piece,
    Store,
    StoreError,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.create(tmp_path / "registry.db")
    yield made
    made.close()


@pytest.fixture
def uvn(definition: Callable[..., Uvn]) -> Uvn:
    return definition()


@pytest.fixture
def plan(uvn: Uvn) -> Plan:
    return planner.plan(uvn, None)


@pytest.mark.feature("F014")
def test_a_generation_is_read_as_it_was_written(store: Store, uvn: Uvn, plan: Plan) -> None:
    with store.transaction():
        written = store.append(uvn=uvn, plan=plan, time=NOON, who="me", why="define uvn")
    store.close()

    read = Store(store._path).head()

    assert read == written
    assert (read.number, read.entry.who, read.entry.why) == (1, "me", "define uvn")
    assert (read.entry.time, read.uvn, read.plan) == (NOON, uvn, plan)


@pytest.mark.feature("G26")
def test_history_has_every_generation_in_order(store: Store, uvn: Uvn, plan: Plan) -> None:
    for why in ("first", "second"):
        with store.transaction():
            store.append(uvn=uvn, plan=plan, time=NOON, who="me", why=why)

    assert [(entry.number, entry.why) for entry in store.history()] == [(1, "first"), (2, "second")]
    assert store.generation(1).entry.why == "first"


def test_what_fails_within_a_transaction_leaves_nothing(store: Store, uvn: Uvn, plan: Plan) -> None:
    def append_and_fail() -> None:
        with store.transaction():
            store.append(uvn=uvn, plan=plan, time=NOON, who="me", why="no")
            store.put_secrets([keygen.new_pair("a")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append_and_fail()

    assert store.history() == ()
    assert store.secrets() == {}


@pytest.mark.feature("F074")
def test_the_file_is_its_owners_alone_and_so_is_its_journal(store: Store) -> None:
    directory = store._path.parent

    with store.transaction():
        store.put_secrets([keygen.new_pair("a")])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}

    assert modes == {"registry.db": 0o600, "registry.db-journal": 0o600}


def test_the_newest_epoch_of_a_secret_counts(store: Store) -> None:
    old, new = keygen.new_pair("a"), keygen.new_pair("a")

    with store.transaction():
        store.put_secrets([old])
        store.database.do("UPDATE secrets SET epoch = -1")
        store.put_secrets([new])

    assert store.secrets() == {"a": new}


def test_a_dropped_secret_is_nowhere_in_the_file(store: Store) -> None:
    secret = keygen.new_pair("a")
    with store.transaction():
        store.put_secrets([secret, keygen.new_pair("b")])
    assert secret.private in store._path.read_bytes()

    with store.transaction():
        store.drop_secrets(["a"])

    assert list(store.secrets()) == ["b"]
    assert secret.private not in store._path.read_bytes()


def test_rows_of_files_are_read_as_they_were_written(store: Store) -> None:
    piece = Piece(at=1, size=2, inputs="i", content="c", packed="p")
    cells = {
        1: CellPackageRow(cell=1, generation=3, digest="d", written="d", piece=piece),
        2: CellPackageRow(cell=2, generation=4, digest="e"),
    }
    particles = {5: ParticlePackageRow(particle=5, digest="f", written="g")}

    with store.transaction():
        store.set_cell_packages(cells.values())
        store.set_particle_packages(particles.values())

    assert store.cell_packages() == cells
    assert store.particle_packages() == particles


def test_a_damaged_generation_is_an_error(store: Store, uvn: Uvn, plan: Plan) -> None:
    with store.transaction():
        store.append(uvn=uvn, plan=plan, time=NOON, who="me", why="x")
        damaged = zlib.compress(codec.encode(uvn).replace(b"c1", b"c9"))
        store.database.do("UPDATE generations SET definition = ?", damaged)
    store.close()

    with pytest.raises(StoreError, match=r"generation 1 in .* is damaged; restore it"):
        Store(store._path).head()


def test_a_file_that_is_no_registry_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database, but long enough to look at " * 40)

    with pytest.raises(StoreError, match=r"cannot open .*registry\.db"):
        Store(path)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there; restore it"):
        Store(tmp_path / "registry.db")

    assert list(tmp_path.iterdir()) == []


def test_the_layout_of_another_version_is_refused(store: Store) -> None:
    store.database.do("PRAGMA user_version = 99")
    store.close()

    with pytest.raises(StoreError, match="written by a newer uno: it has layout 99") as refused:
        Store(store._path)

    assert refused.value.exit_status == 2


def test_a_file_that_cannot_be_written_is_an_error_for_people(store: Store) -> None:
    store.database.do("PRAGMA query_only = ON")

    with pytest.raises(StoreError, match=r"cannot use .*readonly"), store.transaction():
        store.put_secrets([keygen.new_pair("a")])


def test_a_transaction_that_a_killed_process_left_open_is_rolled_back(
    store: Store, tmp_path: Path
) -> None:
    with store.transaction():
        store.put_secrets([keygen.new_pair("a")])
    # What a kill leaves: a database that is half written, and the journal that undoes it.
    with store.transaction():
        store.put_secrets([keygen.new_pair(f"b{i}") for i in range(100)])
        store.database.connection.execute("PRAGMA cache_size = 1")
        store.database.connection.execute("UPDATE secrets SET kind = kind || 'x'")
        journal = (tmp_path / "registry.db-journal").read_bytes()
        half = store._path.read_bytes()
    store.close()
    (tmp_path / "registry.db").write_bytes(half)
    (tmp_path / "registry.db-journal").write_bytes(journal)

    read = Store(store._path)

    assert list(read.secrets()) == ["a"]
    read.close()
    with sqlite3.connect(store._path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
