"""The commands that `uno lab` prints run as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from uno.cli.commands.run_lab import own_command


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This uno, in a folder that is not on PATH yet."""
    path = tmp_path / "own bin" / "uno"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_a_uno_that_path_does_not_find_is_named_by_its_place(script: Path) -> None:
    assert own_command() == f"'{script}'"


def test_a_uno_that_path_finds_is_named_as_it_was_typed(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(script.parent))

    assert own_command() == "uno"


def test_another_uno_on_path_is_not_taken_for_this(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "uno"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{script.parent}")

    assert own_command() == f"'{script}'"


def test_a_module_that_python_runs_is_named_with_its_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/uno/__main__.py"])

    assert own_command() == f"{sys.executable} -m uno"


def test_an_executable_that_was_typed_without_its_directory_is_found_by_path(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(sys, "argv", ["uno"])
    assert own_command() == f"'{script}'"

    monkeypatch.setenv("PATH", str(script.parent))

    assert own_command() == "uno"
