"""What a shell gets when a person presses TAB, by the protocol of typer's scripts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from commands import Uno
from uno.host.command import run

pytestmark = pytest.mark.feature("G47")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("uno sh", ["show"]),
        (
            "uno show ",
            ["uvn", "cell", "particle", "user", "link", "generation", "plan", "backbone", "ca"],
        ),
        ("uno show cell ", ["a", "b"]),
        ("uno show cell b", ["b"]),
        ("uno ban particle p", ["phone"]),
        ("uno delete user j", ["john@example.org"]),
        ("uno guide ", ["a", "b"]),
        ("uno redeploy -S c", ["crossed", "circular"]),
        ("uno show cell x", []),
    ],
)
def test_bash_gets_commands_choices_and_names(
    typed: str, words: list[str], site: Uno, root: Path
) -> None:
    assert site("list", "cells").status == 0

    assert completed_by_bash(typed, root) == words


def test_names_are_those_of_the_registry_that_is_named(site: Uno, root: Path) -> None:
    assert site("list", "cells").status == 0

    assert completed_by_bash(f"uno show cell -r {root} ", root.parent) == ["a", "b"]


def test_without_a_registry_there_are_no_names_and_no_message(tmp_path: Path) -> None:
    assert completed_by_bash("uno show cell ", tmp_path) == []


def test_zsh_gets_names_and_the_help_of_options(site: Uno, root: Path) -> None:
    assert site("list", "cells").status == 0

    names = ask({"_TYPER_COMPLETE_ARGS": "uno show cell ", "_UNO_COMPLETE": "complete_zsh"}, root)
    options = ask({"_TYPER_COMPLETE_ARGS": "uno guide --h", "_UNO_COMPLETE": "complete_zsh"}, root)

    assert names == '_arguments \'*: :(("a"\n"b"))\'\n'
    assert '"--html":"HTML instead of Markdown."' in options


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_for_a_shell_is_printed(shell: str, tmp_path: Path) -> None:
    script = ask({"_UNO_COMPLETE": f"source_{shell}"}, tmp_path)

    assert "_uno_completion" in script
    assert "complete -o default -F" in script or "#compdef uno" in script


def test_bash_runs_the_script_and_offers_the_names(site: Uno, root: Path, tmp_path: Path) -> None:
    assert site("list", "cells").status == 0
    program = tmp_path / "uno"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m uno "$@"\n')
    program.chmod(0o755)
    script = ask({"_UNO_COMPLETE": "source_bash"}, root)
    press_tab = "COMP_WORDS=(uno show cell ''); COMP_CWORD=3; _uno_completion uno"

    done = run(
        ["bash", "--norc", "-c", f"cd {root}\n{script}\n{press_tab}\necho ${{COMPREPLY[*]}}"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )

    assert done.stdout.split() == ["a", "b"]


# Helpers


def completed_by_bash(typed: str, directory: Path) -> list[str]:
    at = len(typed.split()) - (not typed.endswith(" "))
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(at), "_UNO_COMPLETE": "complete_bash"}
    return ask(asked, directory).split()


def ask(environment: dict[str, str], directory: Path) -> str:
    # The command is looked for where the shell is; a process of its own, since it ends it.
    words = ["env", "-C", str(directory), sys.executable, "-m", "uno"]
    done = run(words, env=environment)
    assert done.stderr == ""
    return done.stdout
