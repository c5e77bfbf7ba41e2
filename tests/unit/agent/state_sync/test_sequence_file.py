"""Numbers that are used once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from uno.agent.state_sync.sequence_file import BLOCK, Sequence


def test_numbers_grow_across_restarts(tmp_path: Path) -> None:
    first = Sequence(tmp_path)
    used = [first.next() for _ in range(3)]

    again = Sequence(tmp_path)

    assert used == [1, 2, 3]
    assert again.next() > used[-1]


def test_the_file_is_written_once_for_many_numbers(tmp_path: Path) -> None:
    numbers = Sequence(tmp_path)
    numbers.next()
    before = (tmp_path / "sequence").read_text()

    last = [numbers.next() for _ in range(BLOCK - 1)][-1]

    assert last == BLOCK
    assert (tmp_path / "sequence").read_text() == before
    assert numbers.next() == BLOCK + 1
    assert int((tmp_path / "sequence").read_text()) > BLOCK


@pytest.mark.parametrize("content", [b"", b"soon", b"-5", b"9" * 90, b"\xff"])
def test_a_file_that_says_nothing_starts_anew_and_others_tell_what_was_used(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "sequence").write_bytes(content)
    numbers = Sequence(tmp_path)

    numbers.above(700)

    assert numbers.next() == 701
    assert Sequence(tmp_path).next() > 701


def test_what_others_heard_long_ago_changes_nothing(tmp_path: Path) -> None:
    numbers = Sequence(tmp_path)
    used = [numbers.next() for _ in range(9)]

    numbers.above(4)

    assert numbers.next() == used[-1] + 1


def test_a_full_disk_keeps_no_cell_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", full)
    numbers = Sequence(tmp_path)

    assert [numbers.next() for _ in range(3)] == [1, 2, 3]
