from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import re
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from uno.diagnostics import UnoError
from uno.registry.changes import edits, operations
from uno.registry.changes.operations import Author
from uno.registry.store import backup
from uno.registry.store.directory import Registry
from uno.registry.store.key_wrapping import WrongPassphrase
from uno.render import package_file

pytestmark = pytest.mark.usefixtures("cheap_age")

PHRASE = "correct horse"
AS_IT_IS = pyrage.passphrase.encrypt


@pytest.fixture
def kept(registry: Registry, tmp_path: Path, by: Author) -> Path:
    """A backup of a registry at generation 1."""
    path = tmp_path / "kept.age"
    backup.write(registry, path, passphrase=PHRASE, now=by.time)
    return path


def ask() -> str:
    return PHRASE


def contents(root: Path, pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob(pattern)}


@pytest.mark.feature("G27")
@pytest.mark.feature("F074")
def test_a_backup_is_private_and_reveals_no_secret(kept: Path, registry: Registry) -> None:
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
        made = operations.change(restored, same, by=by, why="redeploy", relayout=True)
        again = operations.change(restored, same, by=by, why="redeploy", relayout=True)

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


def cut_after_the_first_chunk(content: bytes) -> bytes:
    # A chunk is 64 KiB and a tag of 16 octets, after the header and a nonce of 16 octets.
    return content[: _payload(content) + 16 + (64 << 10) + 16]


def first_chunk_left_out(content: bytes) -> bytes:
    start = _payload(content) + 16
    return content[:start] + content[start + (64 << 10) + 16 :]


def longer(content: bytes) -> bytes:
    return content + b"x"


def one_bit(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def other_work_factor(content: bytes) -> bytes:
    return re.sub(rb"(-> scrypt \S+) \d+", rb"\1 10", content, count=1)


def nothing(_: bytes) -> bytes:
    return b""


HARMS: tuple[Callable[[bytes], bytes], ...] = (
    cut,
    cut_in_the_header,
    cut_after_the_first_chunk,
    first_chunk_left_out,
    longer,
    one_bit,
    other_work_factor,
    nothing,
)


@pytest.mark.feature("G27")
def test_what_was_harmed_is_refused_in_one_line_and_leaves_nothing(
    registry: Registry, tmp_path: Path, by: Author
) -> None:
    kept = tmp_path / "kept.age"
    registry.store.database.do("INSERT INTO meta VALUES ('padding', ?)", "x" * 100_000)
    backup.write(registry, kept, passphrase=PHRASE, now=by.time)
    whole = kept.read_bytes()

    for harm in HARMS:
        kept.write_bytes(harm(whole))

        with pytest.raises(UnoError) as refused:
            backup.restore(kept, tmp_path / "other", ask=ask)

        assert refused.value.exit_status == 2, harm
        assert "\n" not in str(refused.value)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.age", "registry"]


@pytest.mark.feature("G27")
def test_age_opens_a_backup_without_uno(
    registry: Registry, tmp_path: Path, by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyrage.passphrase, "encrypt", AS_IT_IS)
    kept, opened = tmp_path / "kept.age", tmp_path / "opened.tar"
    backup.write(registry, kept, passphrase=PHRASE, now=by.time)
    assert re.search(rb"-> scrypt \S+ (1[5-9]|2\d)\n", kept.read_bytes())

    age_decrypt(kept, opened, passphrase=PHRASE)

    with tarfile.open(opened) as tar:
        tar.extractall(tmp_path / "opened", filter="data")
        assert tar.getnames() == ["manifest.json", "registry.db"]
    manifest = json.loads((tmp_path / "opened" / "manifest.json").read_text())
    database = (tmp_path / "opened" / "registry.db").read_bytes()
    assert (manifest["uvn"], manifest["generation"], manifest["size"]) == ("net", 1, len(database))
    assert hashlib.sha256(database).hexdigest() == manifest["digest"]
    (tmp_path / "opened" / "manifest.json").unlink()
    with operations.opened(tmp_path / "opened") as restored:
        assert restored.store.head() == registry.store.head()


def test_what_age_encrypted_with_a_passphrase_is_a_backup_only_if_uno_wrote_its_content(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.age"
    for plain in (b"some text", tar_of({"registry.db": b"x"}), tar_of({"manifest.json": b"{}"})):
        path.write_bytes(pyrage.passphrase.encrypt(plain, PHRASE))

        with pytest.raises(UnoError, match="is not a backup of a registry; uno backup FILE makes"):
            backup.restore(path, tmp_path / "other", ask=ask)


@pytest.mark.parametrize("content", [b"some text", b"age-encryption.org"])
def test_another_file_is_refused_before_the_passphrase_is_asked_for(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "other.age").write_bytes(content)

    with pytest.raises(UnoError, match="is not a backup of a registry"):
        backup.restore(tmp_path / "other.age", tmp_path / "other", ask=lambda: pytest.fail("asked"))


def test_what_age_encrypted_to_a_public_key_is_not_a_backup(tmp_path: Path) -> None:
    recipient = pyrage.x25519.Identity.generate().to_public()
    (tmp_path / "other.age").write_bytes(pyrage.encrypt(b"x", [recipient]))

    with pytest.raises(UnoError, match="is not a backup of a registry"):
        backup.restore(tmp_path / "other.age", tmp_path / "other", ask=ask)


def test_a_work_factor_that_would_take_hours_is_refused_at_once(kept: Path, tmp_path: Path) -> None:
    kept.write_bytes(re.sub(rb"(-> scrypt \S+) \d+", rb"\1 30", kept.read_bytes(), count=1))

    with pytest.raises(UnoError, match="needs more work to open than this machine allows"):
        backup.restore(kept, tmp_path / "other", ask=ask)


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
    backup.write(registry, tmp_path / "new.age", passphrase=PHRASE, now=by.time)
    monkeypatch.undo()

    with pytest.raises(UnoError, match="was made by a newer uno; update uno"):
        backup.restore(tmp_path / "new.age", tmp_path / "other", ask=ask)


def test_a_backup_in_a_newer_age_format_is_refused(kept: Path, tmp_path: Path) -> None:
    kept.write_bytes(kept.read_bytes().replace(b"age-encryption.org/v1", b"age-encryption.org/v2"))

    with pytest.raises(UnoError, match="was made by a newer uno; update uno"):
        backup.restore(kept, tmp_path / "other", ask=ask)


# --- How the tests open and make files --------------------------------------------------------


def _payload(content: bytes) -> int:
    """Return where the header of an age file ends."""
    return content.index(b"\n", content.index(b"\n--- ") + 1) + 1


def tar_of(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def age_decrypt(path: Path, into: Path, *, passphrase: str) -> None:
    """Run `age -d`, which reads passphrases from a terminal alone: it gets one of its own."""
    program = shutil.which("age")
    if program is None:
        pytest.skip("needs the program age")
    child, terminal = pty.fork()
    if child == 0:
        os.execv(program, ["age", "-d", "-o", str(into), str(path)])  # noqa: S606
    with open(terminal, "r+b", buffering=0) as dialog:  # noqa: PTH123
        shown = b""
        while b"passphrase" not in shown:
            shown += dialog.read(1024)
        dialog.write(passphrase.encode() + b"\n")
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, shown
