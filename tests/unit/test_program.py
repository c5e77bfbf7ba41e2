"""How uno starts itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from uno import __version__, program
from uno.host.command import run
from uno.host.routing_frr import daemons, seccomp_no_socket_filter


@pytest.mark.feature("F125")
def test_the_words_start_this_very_uno() -> None:
    assert program.argv("--version")[0] == sys.executable
    assert run(program.argv("--version")).stdout.strip() == __version__


@pytest.mark.feature("F124")
def test_in_a_folder_the_executable_is_uno_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/uno/uno")

    assert program.argv("agent", "-r", "/x") == ["/opt/uno/uno", "agent", "-r", "/x"]


@pytest.mark.feature("G55")
def test_in_a_folder_the_executable_is_the_process_of_a_bus_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert program.bus_process("3")[-2:] == ["uno.bus.child", "3"]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", "/opt/uno/uno")

    assert program.bus_process("3") == ["/opt/uno/uno", program.BUS_OPTION, "3"]


@pytest.mark.feature("F124")
def test_in_a_folder_the_executable_is_the_helper_of_bfdd_too_and_bfdd_runs_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = tmp_path / "uno"
    made_program(executable, f'echo "$1" >{tmp_path}/option; shift; exec "$@"')
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(executable))
    made_program(tmp_path / "bfdd", f'[ "$1" = --help ] || echo bfdd >>{tmp_path}/started')
    monkeypatch.setattr(daemons, "PROGRAMS", tmp_path)
    script = tmp_path / "daemon.sh"
    helper = program.helper("x.py", program.SOCKET_FILTER_OPTION)
    script.write_text(daemons.daemons_script(tmp_path, 150, helper=helper))

    run(["sh", str(script), "start", "bfdd"])
    assert (tmp_path / "option").read_text().strip() == program.SOCKET_FILTER_OPTION
    executable.unlink()
    run(["sh", str(script), "start", "bfdd"])

    assert (tmp_path / "started").read_text() == "bfdd\n" * 2


def test_the_helper_of_an_environment_is_a_file_that_python_runs_alone() -> None:
    words = program.helper(seccomp_no_socket_filter.__file__, program.SOCKET_FILTER_OPTION)

    assert run([*words, "echo", "done"]).stdout == "done\n"


# Helpers


def made_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
