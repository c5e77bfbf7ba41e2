"""Bad input, and the exact text that a person sees. `UPDATE_GOLDEN=1` writes what is printed now.

Each script prepares a network with quiet commands, and then makes mistakes. What a file can have
wrong is in `tests/golden/diagnostics`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from documented import counts
from sessions import compare
from uno.registry.changes import operations

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.feature("F041")
@pytest.mark.feature("G46")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_mistakes_are_reported_in_one_way_and_change_nothing(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = compare(script, tmp_path / "net", monkeypatch)

    for command, reported in blocks(played):
        if is_preparation(command):
            assert reported == "", command
            continue
        *lines, status = reported.splitlines()
        assert status == "(exit status 2)", command
        assert "Traceback" not in reported
        if "--json" in command or "-J" in command:
            assert json.loads("\n".join(lines))["error"]["status"] == 2
        else:
            assert all(line.startswith("uno: ") for line in lines), command
    prepared = [command for command, _ in blocks(played) if command.endswith(" -q")]
    if prepared:
        with operations.opened(Path()) as registry:
            assert registry.store.head().number == len(prepared)


@pytest.mark.feature("G46")
def test_there_are_at_least_150_mistakes_of_commands() -> None:
    mistakes = {
        command
        for script in SCRIPTS
        for command, _ in blocks(script.read_text())
        if not is_preparation(command)
    }

    assert len(mistakes) >= 150
    assert [*counts("tests/golden/refusals/test_refusals.py").values()] == [len(mistakes)]


def is_preparation(command: str) -> bool:
    """Whether a command of a script is no mistake: it prints nothing."""
    return command.endswith(" -q") or not command.startswith("uno ")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the commands of a script, and what each prints, without the comments."""
    return [
        (command, re.sub(r"\n?^# .*$", "", reported, flags=re.MULTILINE).strip())
        for command, _, reported in (part.partition("\n") for part in text.split("\n$ ")[1:])
    ]
