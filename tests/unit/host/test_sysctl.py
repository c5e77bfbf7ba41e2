"""Kernel parameters, read again and again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from uno.host import sysctl
from uno.host.sysctl import ParameterReader


@pytest.fixture
def reader() -> Iterator[ParameterReader]:
    made = ParameterReader()
    yield made
    made.existing(())


@pytest.fixture
def parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sysctl, "PROC_SYS", tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "one").write_text("1\n")
    return tmp_path / "net"


def test_values_are_read_as_they_are_now(reader: ParameterReader, parameters: Path) -> None:
    assert reader.existing(["net.one", "net.none"]) == {"net.one": "1"}

    (parameters / "one").write_text("0\n")
    (parameters / "none").write_text("7\n")

    assert reader.existing(["net.one", "net.none"]) == {"net.one": "0", "net.none": "7"}


def test_a_file_that_cannot_be_read_any_more_is_opened_again(
    reader: ParameterReader, parameters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reader.existing(["net.one"]) == {"net.one": "1"}
    read, failing = os.pread, [True]

    def fails_once(file: int, size: int, at: int) -> bytes:
        # As the kernel does for a parameter of an interface that is gone.
        if failing and failing.pop():
            raise FileNotFoundError
        return read(file, size, at)

    (parameters / "one").unlink()
    (parameters / "one").write_text("5\n")
    monkeypatch.setattr(os, "pread", fails_once)

    assert reader.existing(["net.one"]) == {"net.one": "5"}


def test_files_of_parameters_that_are_not_asked_for_any_more_are_closed(
    reader: ParameterReader, parameters: Path
) -> None:
    assert parameters.exists()
    before = open_files()

    reader.existing(["net.one"])
    assert open_files() == before + 1
    reader.existing([])

    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
