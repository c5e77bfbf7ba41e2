"""Sessions of commands and what they print. `UPDATE_GOLDEN=1` writes what they print now."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import run

SESSIONS = sorted(Path(__file__).parent.glob("*.txt"))
# What is drawn by lot, or is a matter of the clock.
MASKS = (
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:(fingerprint)"),
    (r"\bfd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}:", "fd(ula):"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "(time)"),
)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_a_session_prints_what_it_printed(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "my-uvn"
    root.mkdir()
    monkeypatch.chdir(root)
    for name in ("CI", "VERBOSITY", "UNO_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    played = "".join(play(session.read_text()))

    if os.environ.get("UPDATE_GOLDEN"):
        session.write_text(played)
    assert played == session.read_text()


def play(script: str) -> Iterator[str]:
    """Yield the script's comments and commands, with what the commands print now."""
    title = script.partition("\n\n")[0]
    yield f"{title}\n"
    for block in script.split("\n$ ")[1:]:
        command, *_ = block.splitlines()
        yield f"\n$ {command}\n{masked(printed(command))}"
        comments = [line for line in block.splitlines() if line.startswith("# ")]
        yield "".join(f"\n{line}" for line in comments)


def printed(command: str) -> str:
    words = shlex.split(command)
    if words == ["ls", "-lR"]:
        return "".join(f"{line}\n" for line in listed(Path()))
    done = run(*words[1:])
    status = f"(exit status {done.status})\n" if done.status else ""
    return done.out + done.err + status


def listed(directory: Path) -> Iterator[str]:
    for path in sorted(directory.rglob("*")):
        yield f"{stat.filemode(path.stat().st_mode)} {path}"


def masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text
