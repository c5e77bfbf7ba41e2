"""The programs that uno runs: where it finds them, and what they find."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from uno.host.command import ProgramMissing, find, run, search_path


@pytest.mark.feature("G51")
@pytest.mark.parametrize("given", ["/usr/bin:/bin", "", None, "/opt/own:/usr/bin"])
def test_programs_of_system_administration_are_found_whatever_path_is(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", given)

    found = search_path().split(":")

    assert search_path().startswith(given or "")
    assert {"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"} <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.feature("G51")
def test_a_program_in_the_path_comes_before_those_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ip").write_text("#!/bin/sh\necho mine $PATH\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find("ip") == str(tmp_path / "ip")
    assert run(["ip"]).stdout == f"mine {search_path()}\n"


@pytest.mark.feature("G51")
def test_the_output_of_programs_is_in_the_language_that_uno_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")

    assert run(["sh", "-c", "echo $LC_ALL"]).stdout == "C\n"
    assert os.environ["LC_ALL"] == "de_DE.UTF-8"


@pytest.mark.parametrize(
    ("program", "hint"),
    [("nft", "install the package nftables"), ("xyz", "install the package that holds it")],
)
def test_a_missing_program_is_named_with_its_package(
    program: str, hint: str, tmp_path: Path
) -> None:
    missing = tmp_path / program

    with pytest.raises(ProgramMissing, match=f"{program} is not installed") as caught:
        run([str(missing), "--version"])

    assert caught.value.hint == hint
