"""Scripts of commands with what they print, played in a directory of their own.

A script begins with a title, `#` and an empty line; then come blocks of `$ COMMAND` and its output,
with comments between them. `uno` runs in the test's process, other commands in their own.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import run
from uno.host import command as processes

# Random values, and times.
MASKS = (
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:(fingerprint)"),
    (r"\bfd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}:", "fd(ula):"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "2026-01-01 12:00 UTC"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)", "2026-01-01T12:00:00Z"),
    (r"\$argon2id\$[^\s\"']+", "(hash)"),
)


def compare(script: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Play `script` in `directory` and compare; `UPDATE_GOLDEN=1` writes what it prints now."""
    directory.mkdir()
    monkeypatch.chdir(directory)
    for name in ("CI", "VERBOSITY", "UNO_DEBUG", "UNO_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUDO_USER", "john")
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")

    # The directory of the test is not part of the output.
    played = "".join(play(script.read_text())).replace(str(directory), "(here)")

    if os.environ.get("UPDATE_GOLDEN"):
        script.write_text(played)
    assert played == script.read_text()
    return played


def play(script: str) -> Iterator[str]:
    """Yield the script's comments and commands, with what the commands print now."""
    title = script.partition("\n\n")[0]
    yield f"{title}\n"
    for block in script.split("\n$ ")[1:]:
        command, *rest = block.splitlines()
        yield f"\n$ {command}\n{masked(printed(command))}"
        comments = [line for line in rest if line.startswith("# ")]
        yield "".join(f"\n{line}" for line in comments)


def printed(command: str) -> str:
    arguments = shlex.split(command)
    if arguments == ["ls", "-lR"]:
        return "".join(f"{line}\n" for line in listed(Path()))
    if arguments[0] != "uno":
        ended = processes.run(arguments, check=False)
        return ended.stdout + ended.stderr
    done = run(*arguments[1:])
    status = f"(exit status {done.status})\n" if done.status else ""
    return done.out + done.err + status


def listed(directory: Path) -> Iterator[str]:
    for path in sorted(directory.rglob("*")):
        yield f"{stat.filemode(path.stat().st_mode)} {path}"


def masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text
