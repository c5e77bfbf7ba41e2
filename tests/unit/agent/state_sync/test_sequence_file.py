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


@pytest.mark.feature("G51")
def test_a_full_disk_is_reported_and_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_descriptor: int, _mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = SequenceFile(tmp_path)
    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, logger="uno"):
        broken.setattr(os, "fchmod", full)
        file.write(1000)
        file.write(2000)

    assert SequenceFile(tmp_path).read() == 0
    assert file.problem == f"cannot write {tmp_path / 'sequence'}: the disk is full"
    assert len(caplog.records) == 1

    file.write(3000)

    assert file.problem == ""
    assert file.read() == 3000
