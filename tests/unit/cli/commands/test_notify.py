"""`uno notify mute`, at a cell whose agent a test plays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from commands import Uno, run
from uno import control
from uno.model.status import CellStatus, CellView, UvnView
from uno.notify import mute


@pytest.fixture
def cell(site: Uno, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001
    """The directory of cell a."""
    monkeypatch.setattr(control, "RUN", tmp_path / "run")
    directory = tmp_path / "cell"
    package = root / "cells" / "net__a.uvn-agent"
    assert run("install", str(package), "-r", str(directory)).status == 0
    return directory


@pytest.fixture
def agent(cell: Path, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What an agent has advertised, which observes its host each second time that it is asked."""
    advertised: list[int | None] = []

    def view(_socket: Path, _request: control.ControlRequest) -> UvnView:
        now = time.time()  # noqa: TID251 - as an agent
        advertised.append(mute.muted_until(cell, now=now) if len(advertised) % 2 else None)
        status = CellStatus(generation=4, muted_until=advertised[-1])
        return UvnView(
            uvn="net", viewer=1, generation=4, cells=(CellView(id=1, name="a", status=status),)
        )

    monkeypatch.setattr(control, "request_view", view)
    return advertised


@pytest.mark.feature("G50")
def test_a_cell_is_muted_once_its_agent_has_advertised_it(
    cell: Path, agent: list[int | None]
) -> None:
    done = run("notify", "mute", "--for", "1d12h", "-r", str(cell))

    assert (done.status, done.out) == (0, "a: nobody is notified of it for 36 h\n")
    assert agent[-1] is not None
    assert abs(agent[-1] - time.time() - 129_600) < 60  # noqa: TID251 - as an agent

    done = run("notify", "unmute", "-r", str(cell))

    assert (done.status, done.out) == (0, "a: people are notified of it again\n")
    assert agent[-1] is None


@pytest.mark.feature("G50")
def test_without_an_agent_nothing_is_muted_and_nobody_believes_it(cell: Path) -> None:
    done = run("notify", "mute", "--for", "2h", "-r", str(cell))

    assert done.status == 2
    assert "no agent runs here" in done.err
    assert not (cell / "muted.json").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--for", "2h"), "there is no cell in"),
        (("--for", "soon"), "--for soon: it is no time from 1s to 14d"),
    ],
)
def test_what_cannot_be_muted_is_named(site: Uno, words: tuple[str, ...], named: str) -> None:
    done = site("notify", "mute", *words)

    assert done.status != 0
    assert named in done.err
