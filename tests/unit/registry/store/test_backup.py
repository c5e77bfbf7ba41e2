from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.registry.changes import edits, operations
from uno.registry.changes.operations import Author
from uno.registry.store import backup
from uno.registry.store.directory import Registry
from uno.registry.store.key_wrapping import WrongPassphrase
from uno.render import package_file

PHRASE = "correct horse"


@pytest.fixture
def kept(registry: Registry, tmp_path: Path, by: Author) -> Path:
    """A backup of a registry at generation 1."""
    path = tmp_path / "kept.uno"
    backup.write(registry, path, passphrase=PHRASE, now=by.time)
    return path


def ask() -> str:
    return PHRASE


def contents(root: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob(pattern)}


@pytest.mark.feature("G27")
@pytest.mark.feature("F074")
def test_a_backup_is_its_owners_alone_and_tells_nobody_anything(
    kept: Path, registry: Registry
) -> None:
    content = kept.read_bytes()

    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert b"example.org" not in content
    assert b"SQLite" not in content
    assert not [s.id for s in registry.store.secrets().values() if s.private in content]


@pytest.mark.feature("G27")
def test_what_is_restored_publishes_the_same_packages_and_packages(
    kept: Path, root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"

    done = backup.restore(kept, other, ask=ask)
    with operations.opened(other, for_change=True) as restored:
        head = restored.store.head()

    assert (done.manifest.uvn, done.manifest.generation) == ("net", 1)
    assert (head.number, len(head.uvn.cells)) == (1, 3)
    for pattern in ("cells/*", "particles/*"):
        assert contents(other, pattern) == contents(root, pattern) != {}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in other.rglob("*") if path.is_file()}
    assert modes == {0o600}


@pytest.mark.feature("G27")
def test_after_a_restore_no_number_is_used_again_that_a_cell_has_seen(
    kept: Path, tmp_path: Path, by: Author
) -> None:
    other = tmp_path / "other"
    done = backup.restore(kept, other, ask=ask)

    with operations.opened(other, for_change=True) as restored:
        made = operations.change(
            restored, lambda it: edits.add_particle(it, "p9", None), by=by, why="go on"
        )
        again = operations.change(
            restored, lambda it: edits.add_particle(it, "p10", None), by=by, why="go on"
        )

    assert done.next_generation == made.after.number == 1 + backup.GAP
    assert again.after.number == made.after.number + 1
    # Also the private cell's, which knows no particles: it may have seen a later generation.
    assert len(made.published.cell_packages) == 3
    assert len(again.published.cell_packages) == 2


def test_laying_out_anew_after_a_restore_reaches_every_cell_although_nothing_differs(
    kept: Path, tmp_path: Path, by: Author
) -> None:
    other = tmp_path / "other"
    backup.restore(kept, other, ask=ask, generation=77)

    with operations.opened(other, for_change=True) as restored:
        made = operations.change(restored, same, by=by, why="redeploy", relay=True)
        again = operations.change(restored, same, by=by, why="redeploy", relay=True)

    assert (made.after.number, made.is_made, again.is_made) == (77, True, False)
    read = [package_file.read(content) for content in contents(other, "cells/*").values()]
    assert {each.manifest.generation for each in read} == {77}


def same(uvn: object) -> edits.Edited:
    return edits.Edited(uvn=uvn)  # type: ignore[arg-type]


@pytest.mark.feature("G27")
def test_another_passphrase_is_refused_and_leaves_nothing(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongPassphrase, match="not the passphrase of the backup"):
        backup.restore(kept, tmp_path / "other", ask=lambda: "battery staple")

    assert not (tmp_path / "other").exists()


def cut(content: bytes) -> bytes:
    return content[:-1]


def cut_in_the_header(content: bytes) -> bytes:
    return content[:40]


def longer(content: bytes) -> bytes:
    return content + b"x"


def one_bit(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def other_parameters(content: bytes) -> bytes:
    return content.replace(b'"lanes":4', b'"lanes":2')


def nothing(_: bytes) -> bytes:
    return b""


@pytest.mark.feature("G27")
@pytest.mark.parametrize(
    "harm",
    [cut, cut_in_the_header, longer, one_bit, other_parameters, nothing],
    ids=lambda harm: harm.__name__,
)
def test_what_was_harmed_is_refused_in_one_line_and_leaves_nothing(
    harm: Callable[[bytes], bytes],
    kept: Path,
    tmp_path: Path,
) -> None:
    kept.write_bytes(harm(kept.read_bytes()))

    with pytest.raises(UnoError) as refused:
        backup.restore(kept, tmp_path / "other", ask=ask)

    assert refused.value.exit_status == 2
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.uno", "registry"]


def test_a_backup_of_many_chunks_is_restored_and_none_can_be_left_out(
    tmp_path: Path, registry: Registry, by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_CHUNK", 1024)
    path = tmp_path / "many.uno"
    backup.write(registry, path, passphrase=PHRASE, now=by.time)
    whole = path.read_bytes()
    backup.restore(path, tmp_path / "whole", ask=ask)
    chunk, start = 1024 + 16, 13 + int.from_bytes(whole[11:13], "big")

    for harmed in (
        whole[: start + 3 * chunk],
        whole[: start + chunk] + whole[start + 2 * chunk :],
        whole[:start] + whole[start + chunk : start + 2 * chunk] + whole[start:],
    ):
        path.write_bytes(harmed)
        with pytest.raises(UnoError, match="is damaged or was cut short"):
            backup.restore(path, tmp_path / "other", ask=ask)


def test_only_an_empty_directory_is_restored_into(kept: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")

    with pytest.raises(UnoError, match="already holds a UVN"):
        backup.restore(kept, root, ask=ask)
    with pytest.raises(UnoError, match="is not empty"):
        backup.restore(kept, tmp_path / "other", ask=ask)

    assert (tmp_path / "other" / "precious").read_text() == "x"


def test_a_number_that_the_backup_has_is_refused(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(UnoError, match="is not after generation 1 of the backup"):
        backup.restore(kept, tmp_path / "other", ask=ask, generation=1)

    assert not (tmp_path / "other").exists()


def test_a_backup_of_a_newer_uno_is_refused(
    registry: Registry, tmp_path: Path, by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "FORMAT", 9)
    backup.write(registry, tmp_path / "new.uno", passphrase=PHRASE, now=by.time)
    monkeypatch.undo()

    with pytest.raises(UnoError, match="was made by a newer uno; update uno"):
        backup.restore(tmp_path / "new.uno", tmp_path / "other", ask=ask)
