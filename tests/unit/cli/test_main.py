from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import Uno
from uno import __version__
from uno.cli import main
from uno.host.command import run
from uno.registry.changes import operations


def test_no_registry_is_one_line_and_no_traceback(uno: Uno) -> None:
    done = uno("list", "cells")

    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("uno: there is no UVN registry in ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["define", "cell"], ["list", "gardens"], ["--frobnicate"], ["redeploy", "-S", "x"]]
)
def test_wrong_usage_is_exit_status_2(uno: Uno, words: list[str]) -> None:
    done = uno(*words, in_root=False)

    assert done.status == 2
    assert "Traceback" not in done.err


def test_the_version_is_printed(uno: Uno) -> None:

    assert uno("--version", in_root=False).out == f"{__version__}\n"


def test_an_error_of_the_system_is_one_line(site: Uno, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(operations, "opened", fail)

    assert site("list", "cells").err == "uno: /somewhere: No space left on device\n"


def test_an_interrupted_command_reports_it(site: Uno, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(operations, "opened", interrupt)

    done = site("list", "cells")
    assert done.status == 130
    assert "Traceback" not in done.err


def test_an_unforeseen_error_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UNO_DEBUG", raising=False)

    main._unforeseen(ZeroDivisionError, ZeroDivisionError("by zero"), None)

    err = capsys.readouterr().err
    assert "uno: this should not happen: ZeroDivisionError: by zero" in err
    assert "UNO_DEBUG=1" in err


def test_with_uno_debug_a_traceback_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNO_DEBUG", "1")

    with pytest.raises(Exception, match="there is no UVN registry"):
        main.main(["list", "cells", "-r", "/nowhere"])
    main._unforeseen(ZeroDivisionError, ZeroDivisionError("by zero"), None)

    assert "ZeroDivisionError: by zero" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _restored_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.mark.feature("G46")
@pytest.mark.parametrize(("debug", "shown"), [("", False), ("1", True)])
def test_an_unforeseen_error_is_one_message_in_a_process_too(debug: str, *, shown: bool) -> None:
    mistaken = (
        "import sys; sys.argv = ['uno', 'list', 'cells']\n"
        "import uno.registry.store.directory as directory\n"
        "def fail(*_, **__): raise ZeroDivisionError('by zero')\n"
        "directory.opened = fail\n"
        "from uno.cli.main import main; main()\n"
    )

    done = run([sys.executable, "-c", mistaken], check=False, env={"UNO_DEBUG": debug})

    assert done.status == 1
    assert ("Traceback" in done.stderr) is shown
    assert ("uno: this should not happen: ZeroDivisionError: by zero" in done.stderr) is not shown


def groups_and_commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        yield words, command
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*words, name))

    return walk(main.whole(), ())


@pytest.mark.parametrize("typed", ["list cells", "redeploy --dry-run"])
def test_a_command_whose_reader_has_left_has_done_its_work(
    typed: str, site: Uno, root: Path
) -> None:
    """As `uno list cells | head -1`: rich by itself ends with 1."""
    # It starts once the reader is gone.
    piped = 'exec 3>&1; { sleep 0.2; "$@"; echo $? >&3; } | true'
    words = [sys.executable, "-m", "uno", *typed.split(), "-r", str(root)]
    assert site(*typed.split()).status == 0

    done = run(["sh", "-c", piped, "sh", *words])

    assert done.stdout == "0\n"


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [(24, 20_000, "4096 20000"), (24, 3000, "3000 3000"), (5000, 20_000, "5000 20000")],
)
def test_a_low_limit_on_open_files_is_raised(soft: int, hard: int, raised: str) -> None:
    """As far as a process may that has no rights."""
    limited = f'ulimit -S -n {soft}; ulimit -H -n {hard}; exec "$@"'
    code = "from uno.cli import main; main._permit_open_files(); import resource as r; "
    code += "print(*r.getrlimit(r.RLIMIT_NOFILE))"
    apart = ["setpriv", "--bounding-set=-sys_resource"] if os.geteuid() == 0 else []

    done = run(["sh", "-c", limited, "sh", *apart, sys.executable, "-c", code])

    assert done.stdout == f"{raised}\n"


@pytest.mark.feature("G47")
@pytest.mark.parametrize(
    ("words", "command"),
    [pytest.param(*each, id=" ".join(each[0])) for each in groups_and_commands()],
)
def test_help_is_whole_at_80_columns(
    uno: Uno, words: tuple[str, ...], command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    shown = uno(*words, "--help", in_root=False).out

    assert max(map(len, shown.splitlines())) <= 80
    assert not [line for line in shown.splitlines()[1:] if line.endswith("...")]
    options = [each for each in command.params if each.param_type_name == "option"]
    for option in (each for each in options if not each.hidden):
        # The name with what comes after it, on one line.
        assert all(re.search(rf"{spelled}\b", shown) for spelled in option.opts), option.name
