"""`uno update`: a newer package, installed and applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Outcome, Uno, run
from uno.agent.commit.ledger import Ledger
from uno.cli.commands import install, service_up_down

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def done() -> list[str]:
    """What was done to the host."""
    return []


@pytest.fixture
def cell(root: Path, tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cell's directory with its first package."""
    host = tmp_path / "host"
    assert run("install", str(package(root)), "-r", str(host)).status == 0
    monkeypatch.setattr(service_up_down, "up", lambda *, root, **_: done.append(root.name))
    return host


def package(root: Path) -> Path:
    return root / "cells" / "net__a.uvn-agent"


def update(host: Path, *words: str) -> Outcome:
    return run("update", *words, "-r", str(host))


def generation(host: Path) -> int:
    found = Ledger(host).current()
    assert found is not None
    return found.manifest.generation


def test_a_newer_package_is_installed_and_applied(
    site: Uno, cell: Path, root: Path, done: list[str]
) -> None:
    assert site("config", "cell", "a", "-U", "--httpd-port", "8443").status == 0
    before = generation(cell)

    updated = update(cell, "-p", str(package(root)))

    assert updated.status == 0
    assert f"Updated from generation {before}" in updated.out
    assert "Next" not in updated.out
    assert done == ["host"]
    assert generation(cell) > before


def test_without_a_package_the_one_there_is_is_applied(cell: Path, done: list[str]) -> None:
    before = generation(cell)

    assert update(cell).status == 0
    assert done == ["host"]
    assert generation(cell) == before


def test_a_running_agent_applies_it(
    cell: Path, root: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "trigger_agent", lambda _: 1)
    monkeypatch.setattr(install, "_await_verdict", lambda *_: done.append("awaited"))

    assert update(cell, "-p", str(package(root))).status == 0
    assert done == ["awaited"]


def test_where_no_cell_is_there_is_nothing_to_update(root: Path, cell: Path) -> None:
    elsewhere = cell.parent / "elsewhere"

    refused = update(elsewhere, "-p", str(package(root)))

    assert refused.status == 2
    assert refused.err == (
        f"uno: there is no cell to update in {elsewhere}; install its first package:"
        " uno install PACKAGE -r DIR\n"
    )
    assert not elsewhere.exists()
