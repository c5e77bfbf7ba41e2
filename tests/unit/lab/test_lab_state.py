"""What is known of labs on disk."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.lab import lab_state
from uno.lab.lab_state import Lab
from uno.lab.world_layout import WorldLayout

EMPTY = WorldLayout(stations=(), cables=(), names={})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "labs"
    monkeypatch.setenv("UNO_LAB_DIR", str(place))
    return place


def test_a_lab_is_known_from_its_beginning() -> None:
    lab = lab_state.create(EMPTY, "abcdef")

    assert lab_state.ids() == (lab.id,)
    assert lab_state.load(lab.id) == lab
    assert not lab.complete


def test_the_only_lab_needs_no_name() -> None:
    lab = lab_state.create(EMPTY, "abcdef")

    assert lab_state.load() == lab


def test_one_of_two_labs_must_be_named() -> None:
    ids = {lab_state.create(EMPTY, lab_id).id for lab_id in ("abcdef", "123456")}

    with pytest.raises(UnoError, match="there are 2 labs") as caught:
        lab_state.load()
    assert all(lab_id in caught.value.hint for lab_id in ids)


def test_a_lab_that_is_not_there_is_named() -> None:
    with pytest.raises(UnoError, match="no lab 'abcdef'"):
        lab_state.load("abcdef")


def test_a_record_that_cannot_be_read_shows_how_to_go_on(folder: Path) -> None:
    lab = lab_state.create(EMPTY, "abcdef")
    (folder / lab.id / "lab.json").write_text("{")

    with pytest.raises(UnoError, match=f"uno lab down {lab.id}"):
        lab_state.load(lab.id)


def test_what_is_removed_is_gone_with_the_folder(folder: Path) -> None:
    lab = lab_state.create(EMPTY, "abcdef")

    lab_state.remove(lab.id)

    assert not folder.exists()


def test_what_is_not_there_can_be_removed(folder: Path) -> None:
    lab_state.remove("abcdef")

    assert not folder.exists()


def test_an_id_that_a_lab_has_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lab_state.create(EMPTY, "abcdef")
    drawn = iter(("abcdef", "123456"))
    monkeypatch.setattr(secrets, "token_hex", lambda _count: next(drawn))

    assert lab_state.unused_id() == "123456"


def test_removing_one_lab_leaves_the_others() -> None:
    first, second = lab_state.create(EMPTY, "abcdef"), lab_state.create(EMPTY, "123456")

    lab_state.remove(first.id)

    assert lab_state.ids() == (second.id,)


@pytest.mark.parametrize("lab_id", ["", "..", "abcde", "abcdefg", "ABCDEF", "../etc"])
def test_nothing_but_an_id_is_removed(lab_id: str) -> None:
    with pytest.raises(UnoError, match="not the id of a lab"):
        lab_state.remove(lab_id)


def test_a_namespace_carries_the_labs_id() -> None:
    assert Lab(id="abcdef", layout=EMPTY).namespace("lan-a") == "uno-abcdef-lan-a"
