"""A program is asked for its version once for each file that it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from uno.diagnostics import UnoError
from uno.host import programs


def test_it_is_asked_again_when_the_file_has_changed(tmp_path: Path) -> None:
    program, asked = tmp_path / "daemon", tmp_path / "asked"
    write(program, f"echo x >>{asked}; echo version 1")
    assert programs.version(program) == "version 1\n"
    assert programs.version(program) == "version 1\n"
    assert asked.read_text() == "x\n"

    write(program, "echo version 10")

    assert programs.version(program) == "version 10\n"


def test_one_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnoError, match="was not found"):
        programs.version(tmp_path / "nothing")


@pytest.mark.feature("G51")
def test_all_programs_that_are_missing_are_named_at_once_with_their_packages() -> None:
    with pytest.raises(UnoError, match="this host has no /none/nft, /none/wg;") as caught:
        programs.require(["sh", "/none/nft", "/none/wg"])

    assert "apt-get install --no-install-recommends nftables wireguard-tools" in caught.value.hint


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
