"""How packages are staged, activated and rolled back, and what a crash or a full disk leaves."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from commands import run
from uno.agent.commit.commit_machine import PendingCommit, PersistentState
from uno.agent.commit.ledger import AcceptOutcome, Ledger
from uno.agent.commit.reachability import Reachability
from uno.diagnostics import UnoError
from uno.host import command
from uno.render import package_file
from uno.render.package_file import PackageRejected

PENDING = PendingCommit(
    generation=2, previous=1, before=Reachability(registry=True, neighbours=frozenset({2}))
)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """The packages of cell a as the registry made them, by what they are numbered here."""
    root = tmp_path_factory.mktemp("packages") / "uvn"
    made: dict[int, bytes] = {}
    for number, words in enumerate(
        (
            "define uvn net -o john@example.org -p secret -a registry.example.org",
            "define cell a -a a.example.org -N 192.168.1.0/24",
            "define cell b -N 192.168.2.0/24",
            "define cell c -N 192.168.3.0/24",
        )
    ):
        done = run(*words.split(), "-r", str(root))
        assert done.status == 0, done.err
        if number:
            made[number] = (root / "cells" / "net__a.uvn-agent").read_bytes()
    return made


@pytest.fixture
def ledger(tmp_path: Path, packages: dict[int, bytes]) -> Ledger:
    made = Ledger(tmp_path / "uvn")
    made.accept(packages[1])
    return made


def generation(content: bytes) -> int:
    return package_file.read_manifest(content).generation


def pending_commit(packages: dict[int, bytes], *, to: int = 2) -> PendingCommit:
    return PendingCommit(generation=generation(packages[to]), previous=generation(packages[1]))


@pytest.mark.feature("G20")
def test_a_staged_package_waits_and_changes_nothing(
    ledger: Ledger, packages: dict[int, bytes]
) -> None:
    running = ledger.current()

    outcome = ledger.stage(packages[2])

    assert outcome is AcceptOutcome.NEWER
    assert ledger.current() == running
    assert ledger.cell_state().staged == generation(packages[2])


def test_an_activated_package_is_pending_until_it_is_confirmed(
    ledger: Ledger, packages: dict[int, bytes]
) -> None:
    ledger.stage(packages[2])

    ledger.activate(pending_commit(packages))

    standing = ledger.cell_state()
    assert (standing.running, standing.previous) == (
        generation(packages[2]),
        generation(packages[1]),
    )
    assert standing.pending == pending_commit(packages)
    ledger.confirm()
    assert ledger.cell_state().pending is None
    assert ledger.cell_state().running == generation(packages[2])


def test_a_roll_back_removes_the_pending_commit_and_the_package_can_be_staged_again(
    ledger: Ledger, packages: dict[int, bytes]
) -> None:
    ledger.stage(packages[2])
    ledger.activate(pending_commit(packages))

    ledger.roll_back()

    assert ledger.cell_state().running == generation(packages[1])
    assert ledger.cell_state().pending is None
    assert ledger.stage(packages[2]) is AcceptOutcome.NEWER


def test_a_package_that_is_installed_again_after_its_roll_back_is_not_pending(
    ledger: Ledger, packages: dict[int, bytes]
) -> None:
    ledger.stage(packages[2])
    ledger.activate(pending_commit(packages))
    ledger.roll_back()

    ledger.accept(packages[2])

    assert ledger.cell_state().pending is None


def test_a_crash_before_the_activation_leaves_no_previous_package_to_roll_back_to(
    ledger: Ledger,
) -> None:
    """The running package is the previous one too: an undo of it has no effect."""
    os.link(ledger.directory / "package.uvn-agent", ledger.directory / "previous.uvn-agent")

    assert ledger.cell_state().previous is None


@pytest.mark.feature("G20")
def test_an_older_an_altered_and_a_foreign_package_are_not_staged(
    ledger: Ledger, packages: dict[int, bytes], tmp_path: Path
) -> None:
    ledger.accept(packages[3])
    other = tmp_path / "other"
    run("define", "uvn", "net", "-o", "eve@example.org", "-p", "secret", "-r", str(other))
    run("define", "cell", "a", "-a", "a.example.org", "-r", str(other))
    foreign = (other / "cells" / "net__a.uvn-agent").read_bytes()
    altered = bytearray(packages[3])
    # In what is packed: some bits of the headers between the parts mean nothing.
    altered[-40] ^= 1

    for wrong in (packages[2], foreign, bytes(altered), b""):
        with pytest.raises(PackageRejected):
            ledger.stage(wrong)

    assert ledger.cell_state().staged is None
    assert not (ledger.directory / "staged.uvn-agent").exists()


def test_the_package_that_runs_is_not_staged(ledger: Ledger, packages: dict[int, bytes]) -> None:
    assert ledger.stage(packages[1]) is AcceptOutcome.SAME
    assert ledger.cell_state().staged is None


def test_what_was_installed_by_hand_meanwhile_makes_a_staged_package_worthless(
    ledger: Ledger, packages: dict[int, bytes]
) -> None:
    ledger.stage(packages[2])

    ledger.accept(packages[3])

    assert ledger.cell_state().staged is None
    with pytest.raises(UnoError):
        ledger.activate(pending_commit(packages))
    assert ledger.cell_state().running == generation(packages[3])


def test_only_what_is_staged_is_activated(ledger: Ledger, packages: dict[int, bytes]) -> None:
    with pytest.raises(UnoError, match="is staged"):
        ledger.activate(pending_commit(packages))

    assert ledger.cell_state().running == generation(packages[1])


def test_a_full_disk_refuses_to_stage_and_loses_nothing(
    ledger: Ledger, packages: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)

    with pytest.raises(UnoError, match="the disk is full"):
        ledger.stage(packages[2])

    assert ledger.cell_state().running == generation(packages[1])
    assert ledger.cell_state().staged is None


def test_a_disk_that_fills_up_once_staged_lets_nothing_be_half_activated(
    ledger: Ledger, packages: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.stage(packages[2])
    fill_disk(monkeypatch)

    with pytest.raises(UnoError, match="the disk is full"):
        ledger.activate(pending_commit(packages))

    assert ledger.cell_state().running == generation(packages[1])
    assert ledger.cell_state().pending is None


def test_confirming_and_going_back_need_no_room(
    ledger: Ledger, packages: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.stage(packages[2])
    ledger.activate(pending_commit(packages))
    fill_disk(monkeypatch)

    ledger.roll_back()

    assert ledger.cell_state().running == generation(packages[1])
    ledger.confirm()


def test_what_was_handled_is_remembered(ledger: Ledger) -> None:
    ledger.persist(PersistentState(handled=7, offer=5))

    assert ledger.cell_state().persistent == PersistentState(handled=7, offer=5)


def test_malformed_records_do_not_keep_a_cell_from_running(ledger: Ledger) -> None:
    (ledger.directory / "pending-commit.json").write_bytes(b"\xff")
    (ledger.directory / "state.json").write_bytes(b"[]")

    assert ledger.cell_state().pending is None
    assert ledger.cell_state().persistent == PersistentState()


# A process has children do all steps of a change, each of which kills itself before its first,
# second, … write, until one comes to the end.
STOPPER = """
import fcntl, io, os, posix, shutil, signal, sys
from pathlib import Path
from uno.agent.commit.commit_machine import PersistentState, PendingCommit
from uno.agent.commit.ledger import Ledger
from uno.render import package_file

start, into, package, previous, ending = sys.argv[1:]
content = Path(package).read_bytes()
offered = package_file.read(content).manifest.generation
WRITES = {"chmod", "fchmod", "fsync", "ftruncate", "link", "mkdir", "open", "pwrite", "rename",
          "replace", "unlink"}

def before(nth):
    count = 0
    def watch(frame, event, called):
        nonlocal count
        of = getattr(called, "__self__", None)
        writes = of is posix and called.__name__ in WRITES
        if event == "c_call" and (writes or of is fcntl or isinstance(of, io.BufferedWriter)):
            count += 1
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)
    return watch

def attempt(nth):
    ledger = Ledger(Path(shutil.copytree(start, f"{into}/{nth}")))
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.setprofile(before(nth))
    ledger.stage(content)
    ledger.persist(PersistentState(offer=3))
    ledger.activate(PendingCommit(generation=offered, previous=int(previous)))
    ledger.persist(PersistentState(handled=4, offer=3))
    ledger.confirm() if ending == "confirm" else ledger.roll_back()
    os._exit(0)

nth = 1
while (status := attempt(nth)) and nth < 400:
    print(status)
    nth += 1
print(status)
"""


@pytest.mark.parametrize("ending", ["confirm", "roll_back"])
def test_killed_before_any_write_a_cell_has_one_whole_package_or_the_other(
    ending: str, tmp_path: Path, ledger: Ledger, packages: dict[int, bytes]
) -> None:
    old, new = generation(packages[1]), generation(packages[2])
    package, tries = tmp_path / "package", tmp_path / "tries"
    package.write_bytes(packages[2])
    tries.mkdir()
    words = [str(ledger.directory), str(tries), str(package), str(old), ending]
    done = command.run([sys.executable, "-c", STOPPER, *words], timeout=60)
    *killed, last = map(int, done.stdout.split())
    assert (set(killed), last) == ({-signal.SIGKILL}, 0)

    seen: list[tuple[int, bool]] = []
    for nth in range(1, len(killed) + 2):
        again = Ledger(tries / str(nth))
        left = again.cell_state()
        assert left.running in {old, new}
        assert left.pending is None or left.pending.previous == left.previous == old
        assert old in {left.running, left.previous}, "there is a way back"
        seen.append((left.running, left.pending is not None))
        # What comes next works as if nothing had happened.
        if left.pending is not None:
            again.roll_back()
        assert again.stage(packages[3]) is AcceptOutcome.NEWER

    assert len(seen) > 20, "there are many places to be killed at"
    assert (old, False) in seen
    assert (new, True) in seen
    assert seen[-1] == ((new, False) if ending == "confirm" else (old, False))


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the disk full: no file that is written out is."""

    def full(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", full)
