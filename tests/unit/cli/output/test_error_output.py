"""How failures are printed, for people and for programs."""

from __future__ import annotations

import json

import pytest

from commands import Uno
from uno.cli.output import error_output
from uno.diagnostics import ActionNeeded, Position, Problem, Rejected


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("list cells --json", True),
        ("list cells -J", True),
        ("list cells -qJ", True),
        ("list cells", False),
        ("lab exec a -- ip -J route", False),
        ("define cell a -N 10.0.0.0/8 --location J", False),
    ],
)
def test_json_is_wanted_where_its_option_is(words: str, *, wanted: bool) -> None:
    assert error_output.wants_json(words.split()) is wanted


@pytest.mark.feature("G46")
def test_a_problem_is_reported_with_all_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    place = Position(file="uvn.yml", line=3, column=7)
    other = Position(file="uvn.yml", line=9, column=1)
    error = Rejected(
        Problem(what="a is b", hint="write c", where=place, option="-s", also=(other,))
    )

    error_output.print_error(error, as_json=True)

    (problem,) = json.loads(capsys.readouterr().out)["error"]["problems"]
    assert problem == {
        "severity": "error",
        "what": "a is b",
        "hint": "write c",
        "option": "-s",
        "where": {"file": "uvn.yml", "line": 3, "column": 7},
        "also": [{"file": "uvn.yml", "line": 9, "column": 1}],
    }


@pytest.mark.feature("G46")
def test_a_failure_is_printed_on_standard_error_for_people_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error_output.print_error(ActionNeeded("the disk is full", "free some space"), as_json=False)

    assert capsys.readouterr() == ("", "uno: the disk is full; free some space\n")


@pytest.mark.feature("G41")
def test_with_json_standard_output_is_one_document_also_when_it_fails(uno: Uno) -> None:
    done = uno("list", "cells", "--json")

    error = json.loads(done.out)["error"]
    assert (done.status, done.err) == (2, "")
    assert error["status"] == 2
    assert error["problems"][0]["what"].startswith("there is no UVN registry in ")


def test_without_arguments_there_is_help_and_nothing_else(uno: Uno) -> None:
    done = uno(in_root=False)

    assert done.status == 2
    assert "Commands" in done.out
    assert done.err == ""
