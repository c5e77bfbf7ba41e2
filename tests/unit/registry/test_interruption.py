"""A command that is stopped before any one of its writes leaves the registry as it was, or changed.

The calls that could change a file are counted. For SIGINT a process runs the command again and
again, each time in a copy of the registry and in a child that sends itself the signal before its
first, second, … last such call. A process that is killed leaves the files as they are at that
moment, so for SIGKILL the command runs once, and before each such call a child copies the registry
and is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from commands import run
from uno.host import command
from uno.render import package_file

pytestmark = pytest.mark.usefixtures("cheap_age")

STOPPER = """
import fcntl, importlib, io, os, pkgutil, posix, shutil, signal, sqlite3, sys
import argon2.profiles
import uno
from uno.cli.main import _command, main

# Once for all children; the middleware is not used here.
for each in pkgutil.walk_packages(uno.__path__, "uno."):
    if each.name != "uno.__main__" and not each.name.startswith("uno.bus."):
        importlib.import_module(each.name)
_command(sys.argv[5])

WRITES = {
    posix: {"chmod", "fchmod", "fsync", "ftruncate", "mkdir", "open", "pwrite", "rename",
            "replace", "rmdir", "sync", "unlink"},
    fcntl: {"flock"},
    sqlite3.Connection: {"execute", "executemany"},
    io.BufferedWriter: {"write", "writelines", "flush"},
}
NAMES = frozenset().union(*WRITES.values())
# How slowly a password can be guessed is of no interest here.
full = argon2.profiles.RFC_9106_LOW_MEMORY
argon2.profiles.RFC_9106_LOW_MEMORY = argon2.Parameters(
    type=full.type, version=full.version, salt_len=full.salt_len, hash_len=full.hash_len,
    time_cost=1, memory_cost=8, parallelism=1)

def is_write(called):
    if called.__name__ not in NAMES:
        return False
    of = getattr(called, "__self__", None)
    of = of if of in (posix, fcntl) else type(of)
    return called.__name__ in WRITES.get(of, ())

start, into, number, step, *words = sys.argv[1:]

def on_writes(act):
    count = 0
    def watch(frame, event, called):
        nonlocal count
        if event == "c_call" and is_write(called):
            count += 1
            act(count)
    return watch

def interrupt_at(nth):
    def act(count):
        if count == nth:
            os.kill(os.getpid(), int(number))
    return act

def snapshot(count):
    if count % int(step) != 1 % int(step):
        return
    pid = os.fork()
    if not pid:
        if os.path.isdir(work):
            shutil.copytree(work, f"{into}/{count}")
        shutil.copy(f"{work}.said", f"{into}/{count}.said")
        os.kill(os.getpid(), signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open(f"{into}/killed", "a") as file:
        print(count, status, file=file)

def attempt(name, watch):
    copy = f"{into}/{name}"
    if os.path.isdir(start):
        shutil.copytree(start, copy)
    said = os.open(f"{into}/{name}.said", os.O_WRONLY | os.O_CREAT)
    pid = os.fork()
    if pid:
        os.close(said)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.dup2(said, 1)
    os.dup2(said, 2)
    status = 70
    try:
        sys.setprofile(watch)
        main([*words, "-r", copy])
    except SystemExit as end:
        sys.setprofile(None)
        status = end.code or 0
        sys.stdout.flush()
    finally:
        os._exit(status)

if int(number) == signal.SIGKILL:
    work = f"{into}/work"
    status = attempt("work", on_writes(snapshot))
    with open(f"{into}/killed") as file:
        print(killed := file.read(), end="")
    nth = int(killed.split()[-2]) + int(step)
    os.rename(work, f"{into}/{nth}")
    os.rename(f"{work}.said", f"{into}/{nth}.said")
    print(nth, status)
else:
    nth = 1
    while True:
        status = attempt(nth, on_writes(interrupt_at(nth)))
        print(nth, status, flush=True)
        if status == 0 or nth > 2000:
            break
        nth += int(step)
"""


# What a kill leaves and the next change removes: an unlocked lock file, a journal not in use.
LEFT = {"lock", "registry.db-journal"}


class Stopped(NamedTuple):
    """One attempt: before which call it was stopped, how it ended, and what it left."""

    nth: int
    status: int
    root: Path
    said: str


def stopped(start: Path, into: Path, number: int, *words: str, step: int = 1) -> list[Stopped]:
    into.mkdir()
    done = command.run(
        [sys.executable, "-c", STOPPER, str(start), str(into), str(number), str(step), *words],
        timeout=240,
        env={name: os.environ[name] for name in ("UNO_PASSPHRASE",) if name in os.environ},
    )
    attempts = [line.split() for line in done.stdout.splitlines()]
    assert int(attempts[-1][1]) == 0, "the last attempt was not stopped, and worked"
    return [
        Stopped(int(nth), int(status), into / nth, (into / f"{nth}.said").read_text())
        for nth, status in attempts
    ]


def site(root: Path) -> Path:
    for words in (
        "define uvn net -o john@example.org -p secret -a registry.example.org",
        "define cell a -a a.example.org -N 192.168.1.0/24",
        "define cell b -N 192.168.2.0/24",
        "define particle phone",
    ):
        assert run(*words.split(), "-r", str(root)).status == 0
    return root


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of two cells and a particle, at generation 4."""
    return site(tmp_path_factory.mktemp("start") / "uvn")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "VERBOSITY", "UNO_DEBUG", "UNO_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)


def generation(root: Path) -> int:
    """Open the registry, which heals it, and return its generation."""
    shown = run("show", "uvn", "--json", "-r", str(root))
    assert (shown.status, shown.err) == (0, "")
    return int(json.loads(shown.out)["generation"])


def files_of(root: Path) -> Iterator[str]:
    return (p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def assert_whole(root: Path, *, cells: set[str]) -> None:
    packages = {f"cells/net__{name}.uvn-agent" for name in cells}
    found = set(files_of(root)) - LEFT
    assert found == {"registry.db", "particles/net__phone.zip", *packages}
    for name in packages:
        package_file.read((root / name).read_bytes())
    with sqlite3.connect(root / "registry.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


CHANGE = ("define", "cell", "c", "-a", "c.example.org")


def test_killed_before_any_write_of_a_change_it_is_old_or_new_and_whole(
    start: Path, tmp_path: Path
) -> None:
    attempts = stopped(start, tmp_path / "tries", signal.SIGKILL, *CHANGE)

    seen = []
    for each in attempts:
        seen.append(generation(each.root))
        assert_whole(each.root, cells={"a", "b"} if seen[-1] == 4 else {"a", "b", "c"})
    assert {each.status for each in attempts[:-1]} == {-signal.SIGKILL}
    assert set(seen) == {4, 5}
    assert seen == sorted(seen), "once it is new it stays new"
    assert len(seen) > 30, "there are many places to be killed at"


def test_who_was_killed_does_not_keep_the_next_one_waiting(start: Path, tmp_path: Path) -> None:
    attempts = stopped(start, tmp_path / "tries", signal.SIGKILL, *CHANGE, step=9)

    for each in attempts:
        done = run("define", "particle", "tablet", "-r", str(each.root))

        assert (done.status, done.err) == (0, "")
        assert generation(each.root) in {5, 6}
        assert not (each.root / "lock").exists()


def test_interrupted_anywhere_a_change_reports_it_and_is_old_or_new(
    start: Path, tmp_path: Path
) -> None:
    attempts = stopped(start, tmp_path / "tries", signal.SIGINT, *CHANGE, step=2)

    for each in attempts[:-1]:
        assert each.status in {0, 130}, each.said
        assert "Traceback" not in each.said
        if each.status == 130:
            assert each.said.endswith("uno: interrupted\n")
        assert_whole(each.root, cells={"a", "b"} if generation(each.root) == 4 else {*"abc"})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_anywhere_in_making_a_registry_there_is_a_whole_one_or_none(
    number: int, tmp_path: Path
) -> None:
    words = ("define", "uvn", "net", "-o", "john@example.org", "-p", "secret")

    attempts = stopped(tmp_path / "none", tmp_path / "tries", number, *words, step=4)

    for each in attempts:
        if (each.root / "registry.db").exists():
            assert generation(each.root) == 1
        else:
            assert run(*words, "-r", str(each.root)).status == 0
        assert set(files_of(each.root)) <= {"registry.db", *LEFT}


def test_killed_anywhere_while_secrets_are_sealed_they_are_all_sealed_or_none_is(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNO_PASSPHRASE", "correct horse")

    attempts = stopped(start, tmp_path / "tries", signal.SIGKILL, "passphrase", "set")

    for each in attempts:
        assert generation(each.root) == 4
        with sqlite3.connect(each.root / "registry.db") as db:
            locks = db.execute("SELECT count(*) FROM lock").fetchone()[0]
            [(clear, sealed)] = db.execute(
                "SELECT sum(nonce IS NULL), sum(nonce IS NOT NULL) FROM secrets"
            )
        db.close()
        assert (clear, sealed)[1 - locks] == 0


def test_killed_anywhere_in_a_restore_there_is_a_whole_registry_or_none(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNO_PASSPHRASE", "correct horse")
    kept = tmp_path / "kept.age"
    assert run("backup", str(kept), "-r", str(start)).status == 0

    attempts = stopped(
        tmp_path / "none", tmp_path / "tries", signal.SIGKILL, "restore", str(kept), step=5
    )

    for each in attempts:
        if not (each.root / "registry.db").exists():
            assert run("restore", str(kept), "-r", str(each.root)).status == 0
        assert generation(each.root) == 4
        assert_whole(each.root, cells={"a", "b"})


def test_killed_anywhere_in_a_migration_it_is_done_by_the_next(tmp_path: Path, start: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(start, old)
    (old / "registry.db").unlink()
    with sqlite3.connect(old / "registry.db") as db:
        db.executescript((Path(__file__).parent / "store" / "registry-v1.sql").read_text())
    db.close()
    for path in (old / "cells").iterdir():
        path.unlink()

    attempts = stopped(old, tmp_path / "tries", signal.SIGKILL, "show", "uvn", step=3)

    for each in attempts:
        shown = run("show", "uvn", "--json", "-r", str(each.root))
        assert shown.status == 0
        assert json.loads(shown.out)["generation"] == 4
        assert "registry.db.v1.bak" in set(files_of(each.root))
        assert not [name for name in files_of(each.root) if name.endswith(".tmp")]
