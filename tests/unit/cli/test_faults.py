"""What a person sees, and what is left, when disk, directory or another command is in the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Uno
from uno import files
from uno.host import command

UNO = (sys.executable, "-m", "uno")

# Fills a small file system but for so many KiB, lets a command run in it, and frees it again.
IN_A_SMALL_PLACE = """
set -e
mount -t tmpfs -o size=2m,mode=700 none "$1"
cp -a "$2" "$1/uvn"
for free in 4 12 24 40 64 100; do
    head -c $(( $(df --output=avail -k "$1" | tail -1) * 1024 - free * 1024 )) /dev/zero >"$1/rest"
    "$3" -m uno define cell "c$free" -a "c$free.example.org" -r "$1/uvn" >"$4/$free.said" 2>&1 \\
        && status=0 || status=$?
    rm "$1/rest"
    echo "$free $status"
    "$3" -m uno show uvn --json -r "$1/uvn" >"$4/$free.shown" 2>&1
    ls -A "$1/uvn/cells" >"$4/$free.cells"
done
mount -o remount,ro "$1"
"$3" -m uno show uvn --json -r "$1/uvn" >"$4/readonly.shown" 2>&1
"$3" -m uno define particle p -r "$1/uvn" >"$4/readonly.said" 2>&1 && echo 0 0 || echo 0 $?
"""


def can_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return command.run(trial, check=False).status == 0


@pytest.mark.usefixtures("site")
@pytest.mark.skipif(not can_mount(), reason="mounting a small file system needs root")
def test_on_a_full_disk_a_change_is_made_or_not_and_on_a_read_only_one_it_is_not(
    root: Path, tmp_path: Path
) -> None:
    place, reported = tmp_path / "small", tmp_path / "said"
    place.mkdir()
    reported.mkdir()

    done = command.run(
        [
            *("unshare", "--mount", "sh", "-c", IN_A_SMALL_PLACE, "sh"),
            *map(str, (place, root, sys.executable, reported)),
        ],
        timeout=200,
    )

    *full, readonly = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert 2 in {status for _, status in full}, "in some of them the disk was full"
    generation, cells = 4, {"a", "b"}
    for free, status in full:
        given = (reported / f"{free}.said").read_text()
        shown = json.loads((reported / f"{free}.shown").read_text())
        assert "Traceback" not in given
        assert "this should not happen" not in given
        if status:
            assert status == 2
            assert "full" in given
        if shown["generation"] != generation:
            cells.add(f"c{free}")
        else:
            assert status == 2
        generation = shown["generation"]
        packages = set((reported / f"{free}.cells").read_text().split())
        assert packages == {f"net__{name}.uvn-agent" for name in cells}
    assert readonly[1] == 2
    assert "read-only" in (reported / "readonly.said").read_text()
    assert json.loads((reported / "readonly.shown").read_text())["generation"] == generation


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_bytes(b"this is not a database, but it is long enough to look like one\n" * 99)


def nothing_at_all(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def missing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("harm", "reported"),
    [
        (a_directory, "is not a file; restore it from a backup"),
        (no_database, "file is not a database; restore it from a backup"),
        (nothing_at_all, "is not the file of a registry"),
        (half, "restore it from a backup"),
        (missing, "registry.db is missing; restore it from a backup"),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
@pytest.mark.parametrize("words", ["show uvn", "define particle p"])
def test_a_registry_file_that_is_none_is_reported_in_one_line(
    site: Uno, root: Path, harm: Callable[[Path], None], reported: str, words: str
) -> None:
    harm(root / "registry.db")

    done = site(*words.split())

    assert done.status in {1, 2}
    assert reported in done.err
    assert done.err.startswith("uno: ")
    assert done.err.count("\n") == 1


@pytest.mark.feature("F074")
def test_what_others_could_read_is_closed_to_them_and_reported(site: Uno, root: Path) -> None:
    root.chmod(0o755)
    (root / "registry.db").chmod(0o644)
    (root / "cells").chmod(0o750)

    first, second = site("show", "uvn"), site("show", "uvn")

    assert first.status == 0
    assert first.err.count("others could read") == 3
    assert second.err == ""
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (root, root / "registry.db", root / "cells")]
    assert modes == [0o700, 0o600, 0o700]


def test_five_commands_at_once_are_five_generations(site: Uno, root: Path, tmp_path: Path) -> None:
    names = [f"p{n}" for n in range(5)]

    started = [
        command.start([*UNO, "define", "particle", name, "-r", str(root)], log=tmp_path / name)
        for name in names
    ]

    assert [process.wait(60) for process in started] == [0] * 5
    assert json.loads(site("show", "uvn", "--json").out)["generation"] == 9
    packages = {path.name for path in (root / "particles").iterdir()}
    assert packages == {f"net__{name}.zip" for name in ("phone", *names)}


def test_a_command_that_waits_too_long_names_the_holder_of_the_lock(
    site: Uno, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = files.locked
    monkeypatch.setattr(files, "locked", lambda path: waits(path, wait_seconds=0.2))

    with waits(root / "lock"):
        changed = site("define", "particle", "p")
        opened = site("show", "uvn")

    assert changed.status == 1
    assert f"is in use by process {os.getpid()} (" in changed.err
    assert "wait until it is done, or stop it, and try again" in changed.err
    assert (opened.status, opened.err) == (0, "")


HOLDS_AND_FORKS = """
import os, sys, time
from uno import files
from uno.registry.publish import workers
with files.locked(__import__("pathlib").Path(sys.argv[1])):
    workers.shared(lambda _: (print(os.getpid(), flush=True), time.sleep(60)), range(2))
"""


def test_the_lock_of_a_killed_command_is_free_although_it_had_workers(
    site: Uno, root: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    holder = command.start([sys.executable, "-c", HOLDS_AND_FORKS, str(root / "lock")], log=log)
    deadline = [None] * 200
    while not log.read_text().strip() and deadline:
        deadline.pop()
        signal.sigtimedwait([], 0.05)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)

    done = site("define", "particle", "p")

    assert (done.status, done.err) == (0, "")
