"""The file of reserved sequence numbers."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from uno.agent.state_sync.sequence_file import SequenceFile
from uno.statesync.sequence import LIMIT


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert SequenceFile(tmp_path).read() == 0

    SequenceFile(tmp_path).write(1000)

    assert SequenceFile(tmp_path).read() == 1000
    assert (tmp_path / "sequence").read_text() == "1000\n"


@pytest.mark.parametrize("content", [b"", b"soon", b"-5", b"9" * 90, b"%d" % LIMIT, b"\xff"])
def test_a_malformed_file_reads_as_zero(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sequence").write_bytes(content)

    assert SequenceFile(tmp_path).read() == 0


def test_a_full_disk_is_only_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", full)

    with caplog.at_level(logging.WARNING, logger="uno"):
        SequenceFile(tmp_path).write(1000)

    assert SequenceFile(tmp_path).read() == 0
    assert len(caplog.records) == 1
