"""Lines on a screen have 80 columns; a program that reads them gets each whole."""

from __future__ import annotations

import sys
from io import StringIO

import pytest

from uno.cli.output import error_output
from uno.diagnostics import TransientFailure

ERROR = TransientFailure(
    "not finished after 60 s: 6 of 7 cells run generation 12",
    "the registry's agent is running; cells get it when they connect",
)


class Screen(StringIO):
    """Standard error at a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_error_on_a_screen_has_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)

    error_output.print_error(ERROR, as_json=False)

    assert screen.getvalue().splitlines() == [
        "uno: not finished after 60 s: 6 of 7 cells run generation 12; the registry's",
        "  agent is running; cells get it when they connect",
    ]


def test_an_error_in_a_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    error_output.print_error(ERROR, as_json=False)

    assert capsys.readouterr().err == f"uno: {ERROR}\n"


def test_words_that_are_copied_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    path = "/srv/" + "long-name-" * 9 + "/uvn.yml"

    error_output.print_error(TransientFailure(f"{path}: no such file"), as_json=False)

    assert path in screen.getvalue().splitlines()[1]
