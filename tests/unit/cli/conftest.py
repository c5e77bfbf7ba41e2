"""A registry of its own for each test of the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import Outcome, Uno, run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "uvn"


@pytest.fixture
def uno(root: Path, monkeypatch: pytest.MonkeyPatch) -> Uno:
    """Runs `uno WORDS -r ROOT`, and with `in_root=False` only `uno WORDS`."""
    for name in ("CI", "VERBOSITY", "UNO_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def in_root_or_not(*words: str, in_root: bool = True) -> Outcome:
        return run(*words, *(["-r", str(root)] if in_root else []))

    return in_root_or_not


@pytest.fixture(scope="session")
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site") / "uvn"
    for command in (
        "define uvn net -o john@example.org -p secret -a registry.example.org",
        "define cell a -a a.example.org -N 192.168.1.0/24",
        "define cell b -a b.example.org -N 192.168.2.0/24",
        "define particle phone",
    ):
        assert run(*command.split(), "-r", str(root)).status == 0
    return root


@pytest.fixture
def site(uno: Uno, root: Path, _made_once: Path) -> Uno:
    """As `uno`, with a UVN of two cells and a particle there, at generation 4."""
    shutil.copytree(_made_once, root)
    return uno
