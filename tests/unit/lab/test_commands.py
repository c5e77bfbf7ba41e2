"""`uno lab` where there is no lab, and where what was typed makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from uno.cli.commands.run_lab import down, execute, list_labs
from uno.diagnostics import UnoError
from uno.lab import lab_state, requirements
from uno.lab.world_layout import Role, Station, WorldLayout


@pytest.fixture(autouse=True)
def _a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNO_LAB_DIR", str(tmp_path / "labs"))
    monkeypatch.setattr(requirements, "missing", lambda _programs: ())


def test_labs_are_listed_with_their_cells(capsys: pytest.CaptureFixture[str]) -> None:
    cell = Station(name="lan-a", role=Role.CELL)
    lab = lab_state.create(WorldLayout(stations=(cell,), cables=(), names={}), "abcdef")

    list_labs()

    assert capsys.readouterr().out == f"{lab.id}  being built  cells lan-a\n"


def test_a_lab_without_a_record_is_listed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labs" / "abcdef").mkdir(parents=True)

    list_labs()

    assert capsys.readouterr().out == "abcdef  never finished\n"


def test_all_labs_can_be_taken_down(tmp_path: Path) -> None:
    for lab_id in ("abcdef", "123456"):
        lab_state.create(WorldLayout(stations=(), cables=(), names={}), lab_id)

    down(every=True)

    assert not (tmp_path / "labs").exists()


def test_all_labs_and_one_are_not_both_meant() -> None:
    with pytest.raises(UnoError, match="both given"):
        down("abcdef", every=True)


def test_without_a_lab_there_is_nothing_to_take_down() -> None:
    with pytest.raises(UnoError, match="there are 0 labs"):
        down()


def test_a_lab_that_is_being_built_cannot_be_entered() -> None:
    lab = lab_state.create(WorldLayout(stations=(), cables=(), names={}), "abcdef")

    with pytest.raises(UnoError, match=f"lab {lab.id} is not finished"):
        execute("lan-a", ["true"])
