"""One agent of a cell on a host."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from uno import files
from uno.agent.pidfile import has_crashed, hold_pidfile, running
from uno.diagnostics import UnoError


@pytest.mark.feature("F088")
def test_a_second_agent_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "cell"

    with hold_pidfile(folder, name="lan-a of corp"):
        assert (folder / "agent.pid").read_text().split()[0] == str(os.getpid())
        with (
            pytest.raises(UnoError, match=r"an agent of lan-a of corp runs .* already") as caught,
            hold_pidfile(folder, name="lan-a of corp"),
        ):
            pass

    assert f"process {os.getpid()}" in caught.value.what
    assert "stop it first" in caught.value.hint


@pytest.mark.feature("F088")
def test_an_agent_begins_once_the_command_that_stands_in_for_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever starts the registry's agent while `uno sync` is that agent wants it to run."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/uno", "sync", "-r", "corp"])
    has_ended = Event()

    def end_once_it_waits() -> None:
        while not caplog.messages:
            Event().wait(0.05)
        has_ended.set()
        sync.close()

    with ExitStack() as sync:
        sync.enter_context(hold_pidfile(tmp_path, name="the registry"))
        for after in ("", "uno agent"):
            with (
                pytest.raises(UnoError, match="already"),
                hold_pidfile(tmp_path, name="the registry", after=after),
            ):
                pass
        ends = Thread(target=end_once_it_waits, daemon=True)
        ends.start()

        with hold_pidfile(tmp_path, name="the registry", after="uno sync"):
            assert has_ended.is_set()
            assert running(tmp_path) == os.getpid()
        ends.join()

    assert caplog.messages == [f"waiting until uno sync ends, process {os.getpid()}"]


@pytest.mark.feature("F088")
def test_an_agent_begins_though_the_command_before_it_removes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`uno sync` takes the registry's network away as it ends, with the folder."""
    folder, make = tmp_path / "0", files.make_open_dir
    left = [True, True]

    def made(path: Path) -> None:
        make(path)
        if left:
            left.pop()
            path.rmdir()

    monkeypatch.setattr(files, "make_open_dir", made)

    with hold_pidfile(folder, name="the registry", after="uno sync"):
        assert running(folder) == os.getpid()

    assert left == []


def test_whether_an_agent_runs_can_be_asked(tmp_path: Path) -> None:
    assert running(tmp_path / "never") is None

    with hold_pidfile(tmp_path, name="lan-a"):
        assert running(tmp_path) == os.getpid()

    assert running(tmp_path) is None


def test_what_a_crash_left_is_no_agent(tmp_path: Path) -> None:
    (tmp_path / "agent.pid").write_text("1 uno agent\n")

    assert running(tmp_path) is None
    with hold_pidfile(tmp_path, name="lan-a"):
        assert running(tmp_path) == os.getpid()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(UnoError, match="cannot make the directory"),
        hold_pidfile(tmp_path / "file" / "cell", name="lan-a"),
    ):
        pass


def test_only_an_agent_that_did_not_remove_its_lock_has_crashed(tmp_path: Path) -> None:
    assert not has_crashed(tmp_path / "never")
    with hold_pidfile(tmp_path, name="lan-a"):
        assert not has_crashed(tmp_path)
    assert not has_crashed(tmp_path)

    (tmp_path / "agent.pid").write_text("1 uno agent\n")

    assert has_crashed(tmp_path)
