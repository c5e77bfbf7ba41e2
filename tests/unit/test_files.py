"""Files: whole or not at all, and one writer at a time."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from uno import files
from uno.diagnostics import UnoError


@pytest.mark.feature("F074")
def test_a_file_is_written_whole_and_private(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "a", b"secret")

    assert listing(tmp_path) == {"a": (0o600, b"secret")}


@pytest.mark.parametrize("umask", [0, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_the_mode_is_the_one_asked_for_under_any_umask(
    mode: int, umask: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        files.write_atomic(tmp_path / "a", b"x", mode=mode)
    finally:
        os.umask(before)

    assert listing(tmp_path) == {"a": (mode, b"x")}


def test_no_other_user_can_read_a_file_while_it_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    fsync = os.fsync

    def note_modes(descriptor: int) -> None:
        seen.extend(mode for mode, _ in listing(tmp_path).values())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_modes)

    files.write_atomic(tmp_path / "a", b"old")
    files.write_atomic(tmp_path / "a", b"new")

    assert set(seen) == {0o600}


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "a").symlink_to("target")

    files.write_atomic(tmp_path / "a", b"x")

    assert (tmp_path / "target").read_text() == "precious"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("durable", [False, True])
def test_several_files_are_written_or_none(durable: bool, tmp_path: Path) -> None:  # noqa: FBT001
    files.write_atomic(tmp_path / "a", b"old", durable=durable)

    with pytest.raises(UnoError, match=r"cannot write .*/none/b: there is no such file"):
        files.write_together(
            {tmp_path / "a": b"new", tmp_path / "none" / "b": b"new"}, durable=durable
        )

    assert listing(tmp_path) == {"a": (0o600, b"old")}


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EROFS, "the file system is read-only; mount it writable"),
        (errno.EACCES, "permission denied; run as the owner"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_disk_refuses_leaves_the_old_file_and_names_the_path(
    number: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_atomic(tmp_path / "a", b"old")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(UnoError) as caught:
        files.write_atomic(tmp_path / "a", b"new")

    assert str(caught.value).startswith(f"cannot write {tmp_path / 'a'}: {message}")
    assert listing(tmp_path) == {"a": (0o600, b"old")}


def test_an_interrupt_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_atomic(tmp_path / "a", b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "a", b"new")

    assert listing(tmp_path) == {"a": (0o600, b"old")}


def test_a_file_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a"

    written = [
        files.write_if_changed(path, b"x"),
        files.write_if_changed(path, b"x"),
        files.write_if_changed(path, b"y"),
        files.write_if_changed(path, b"y", mode=0o644),
        files.write_if_changed(path, b"y", mode=0o644),
    ]

    assert written == [True, False, True, True, False]
    assert listing(tmp_path) == {"a": (0o644, b"y")}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))

    assert files.read(tmp_path / "a", limit=10) == bytes(10)
    with pytest.raises(UnoError, match="a is larger than 9 bytes"):
        files.read(tmp_path / "a", limit=9)


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "there is no such file"), (".", "it is a directory"), ("file/a", "not a directory")],
)
def test_a_file_that_cannot_be_read_is_an_error(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UnoError, match=f"cannot read .*: .*{message}"):
        files.read(tmp_path / name, limit=10)


def test_renaming_replaces_or_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")

    files.rename(tmp_path / "a", tmp_path / "b")

    assert (tmp_path / "b").read_bytes() == b"new"
    with pytest.raises(UnoError, match="cannot rename"):
        files.rename(tmp_path / "a", tmp_path / "b")


@pytest.mark.feature("F074")
def test_a_directory_is_made_private_with_its_parents(tmp_path: Path) -> None:
    made = files.make_private_dir(tmp_path / "a" / "b")

    assert made == (tmp_path / "a", tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700

    files.remove_dirs(made)
    assert listing(tmp_path) == {}


def test_a_directory_that_exists_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)

    assert files.make_private_dir(tmp_path / "a") == ()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_a_directory_that_cannot_be_made_leaves_no_parents(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o644)
    long = "x" * 300

    for path in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(UnoError, match="file: there is something else of that name"):
            files.make_private_dir(path)
    with pytest.raises(UnoError, match="the name is too long"):
        files.make_private_dir(tmp_path / "a" / "b" / long)

    assert listing(tmp_path) == {"file": (0o644, b"")}


def test_a_lock_names_its_holder_and_is_removed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/bin/uno", "define", "user", "--password", "hunter2"])

    with files.locked(tmp_path / "lock"):
        assert listing(tmp_path) == {"lock": (0o600, f"{os.getpid()} uno define user\n".encode())}

    assert listing(tmp_path) == {}


def test_waiting_for_a_lock_ends_with_the_name_of_its_holder(tmp_path: Path) -> None:
    with (
        files.locked(tmp_path / "lock"),
        pytest.raises(UnoError, match=rf"{tmp_path} is in use by process {os.getpid()} \("),
        files.locked(tmp_path / "lock", wait_seconds=0.1),
    ):
        pass


def test_a_lock_is_had_as_soon_as_it_is_released(tmp_path: Path) -> None:
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with files.locked(tmp_path / "lock"):
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    threading.Timer(0.1, release.set).start()

    with files.locked(tmp_path / "lock", wait_seconds=10):
        assert release.is_set()
    holder.join()


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    holder = os.posix_spawn(
        sys.executable, [sys.executable, "-c", HOLD_FOREVER, str(tmp_path / "lock")], os.environ
    )
    try:
        wait_until(lambda: listing(tmp_path).get("lock", (0, b""))[1].startswith(b"%d " % holder))
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)

    assert (tmp_path / "lock").exists()
    with files.locked(tmp_path / "lock", wait_seconds=1):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} ")


def test_many_writers_never_hold_a_lock_together(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with files.locked(tmp_path / "lock", wait_seconds=60):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert (len(most), max(most)) == (160, 1)


def test_a_lock_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")

    for name, message in (("none/lock", "no such file"), ("link", "it is a symbolic link")):
        with (
            pytest.raises(UnoError, match=f"cannot lock .*{message}"),
            files.locked(tmp_path / name),
        ):
            pass

    assert not (tmp_path / "elsewhere").exists()


# Helpers


HOLD_FOREVER = """
import pathlib, signal, sys
from uno import files

with files.locked(pathlib.Path(sys.argv[1])):
    signal.pause()
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 30 s"
        threading.Event().wait(0.02)


def listing(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in directory.iterdir()
    }


@pytest.mark.feature("G51")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_an_open_directory_can_be_entered_by_all_whatever_the_umask_is(
    umask: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        files.make_open_dir(tmp_path / "uno" / "cell")
        files.make_open_dir(tmp_path / "uno" / "cell")
    finally:
        os.umask(before)

    for made in ("uno", "uno/cell"):
        assert stat.S_IMODE((tmp_path / made).stat().st_mode) == 0o711


def test_an_open_directory_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o700)

    files.make_open_dir(tmp_path / "mine")

    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700


@pytest.mark.parametrize("is_there", [False, True])
def test_on_a_read_only_file_system_what_is_not_there_need_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    path = tmp_path / "a"
    if is_there:
        path.write_bytes(b"x")

    def refuse(_: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.raises(UnoError, match="cannot remove") if is_there else nullcontext():
        files.remove(path)
