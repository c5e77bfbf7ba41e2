"""What only real processes show: how fast one starts, two at once, one that is killed."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from commands import Uno
from uno.host.command import run, start
from uno.render import package_file

UNO = (sys.executable, "-m", "uno")
# Each takes longer to import than `uno --help` may take in all, or does so with what it needs.
HEAVY = (
    "argon2",
    "cryptography",
    "networkx",
    "rich.table",
    "ruamel.yaml",
    "segno",
    "sqlite3",
    "uno.planning",
    "uno.registry.store.generation_store",
)
# Dies by SIGKILL after two packages have been written.
KILLED = """
import os, signal
from uno.cli.main import main
from uno.registry.publish import cell_packages

write, written = cell_packages._CellPackageWriter.write, []

def write_two(self, job):
    if len(written) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(job)
    return write(self, job)

cell_packages._CellPackageWriter.write = write_two
main(["define", "cell", "c", "-a", "c.example.org", "-r", {root!r}])
"""

# Runs a command, and prints the environments of all that it starts: a program run to its end, one
# in the background, a forked process, itself, and what it becomes (`uno lab exec`).
ENVIRONMENTS = """
import os, sys
from pathlib import Path
import uno.cli.main as cli
from uno.host.command import run, start
from uno.registry.publish.workers import shared

SHOW = ["cat", "/proc/self/environ"]

def command(words, **_):
    log = Path(sys.argv[1])
    start(SHOW, log=log).wait(10)
    forked = shared(lambda _: Path("/proc/self/environ").read_text(), [0])
    own = Path("/proc/self/environ").read_text()
    found = [run(SHOW).stdout, log.read_text(), *forked, own, str(dict(os.environ))]
    print(*found, "", sep=" | ", flush=True)
    os.execvp(SHOW[0], SHOW)

class Group:
    main = staticmethod(command)

cli._command = lambda _: Group
cli.main(["show", "uvn"])
"""


def test_help_imports_nothing_that_is_slow() -> None:
    code = "import sys, uno.cli.main; print(*sys.modules)"

    loaded = set(run([sys.executable, "-c", code]).stdout.split())

    assert loaded.isdisjoint(HEAVY)


@pytest.mark.feature("G27")
def test_no_program_inherits_the_passphrase(tmp_path: Path) -> None:
    done = run(
        [sys.executable, "-c", ENVIRONMENTS, str(tmp_path / "log")],
        env={"UNO_PASSPHRASE": "correct horse", "OTHER_SECRET": "abc", "HOME": "/root"},
    )

    assert "correct horse" not in done.stdout
    environments = done.stdout.split(" | ")
    assert len(environments) == 6
    assert all("/root" in each for each in environments)
    # A program gets what it needs, whatever else this process has.
    assert ["OTHER_SECRET" in each for each in environments] == [False, False, *[True] * 4]


def test_two_commands_at_once_are_two_generations(site: Uno, root: Path, tmp_path: Path) -> None:
    names = ("p2", "p3", "p4")

    started = [
        start([*UNO, "define", "particle", name, "-r", str(root)], log=tmp_path / name)
        for name in names
    ]

    assert [process.wait(60) for process in started] == [0, 0, 0]
    shown = json.loads(site("list", "particles", "--json").out)
    assert {each["name"] for each in shown} == {"phone", *names}
    assert json.loads(site("show", "uvn", "--json").out)["generation"] == 7
    assert not (root / "lock").exists()


def test_a_command_that_is_killed_while_it_writes_packages_is_completed_by_the_next(
    site: Uno, root: Path
) -> None:
    done = run([sys.executable, "-c", KILLED.format(root=str(root))], check=False)
    assert done.status == -signal.SIGKILL
    assert (root / "lock").exists()

    assert json.loads(site("show", "uvn", "--json").out)["generation"] == 5

    made = [package_file.read(path.read_bytes()).manifest for path in (root / "cells").iterdir()]
    assert {each.cell_name for each in made} == {"a", "b", "c"}
    assert {each.generation for each in made} == {5}
    assert sorted(path.name for path in root.iterdir()) == ["cells", "particles", "registry.db"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete_commands(shell: str) -> None:
    shown = run(
        [*UNO, "--show-completion", shell],
        env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )

    assert "uno" in shown.stdout.lower()


@pytest.mark.feature("G51")
def test_a_name_that_the_locale_lacks_is_printed_as_well_as_can_be(site: Uno, root: Path) -> None:
    assert site("config", "user", "john@example.org", "-U", "-n", "Jörg").status == 0

    done = run([*UNO, "list", "users", "-r", str(root)], env={"PYTHONIOENCODING": "ascii"})

    assert "J?rg" in done.stdout
