"""For how long nobody is notified of a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from uno.notify.mute import LONGEST, mute, muted_until, unmute

NOW = 1_800_000_000


@pytest.mark.feature("G50")
def test_a_cell_is_muted_until_then_and_no_longer(tmp_path: Path) -> None:
    assert muted_until(tmp_path, now=NOW) is None

    mute(tmp_path, until=NOW + 60)

    assert muted_until(tmp_path, now=NOW + 59.5) == NOW + 60
    assert muted_until(tmp_path, now=NOW + 60) is None


def test_a_mute_can_be_ended_twice(tmp_path: Path) -> None:
    mute(tmp_path, until=NOW + 60)
    unmute(tmp_path)
    unmute(tmp_path)

    assert muted_until(tmp_path, now=NOW) is None


def test_a_time_of_another_clock_does_not_count(tmp_path: Path) -> None:
    mute(tmp_path, until=NOW + LONGEST + 1)

    assert muted_until(tmp_path, now=NOW) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'{"until": "x"}', b"\xff" * 5000])
def test_a_file_that_is_none_mutes_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "muted.json").write_bytes(content)

    assert muted_until(tmp_path, now=NOW) is None
