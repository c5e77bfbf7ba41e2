from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup

from commands import Uno
from uno.cli.input.options import Asking, Common
from uno.cli.main import whole
from uno.cli.output import change_report
from uno.diagnostics import Rejected, UnoError
from uno.host import command


def answers(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: answer)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer == "y")


@pytest.mark.feature("F052")
def test_a_question_on_a_terminal_is_answered_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "y")
    Asking().confirm("Sure?")

    answers(monkeypatch, "n")
    with pytest.raises(UnoError, match="stopped"):
        Asking().confirm("Sure?")


@pytest.mark.feature("F052")
def test_in_ci_a_question_stops_the_command_even_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, "y")
    monkeypatch.setenv("CI", "true")

    with pytest.raises(UnoError, match="There is no terminal to answer on"):
        Asking().confirm("Sure?")
    Asking(yes=True).confirm("Sure?")


@pytest.mark.feature("F052")
def test_yes_and_no_together_are_refused(uno: Uno) -> None:
    assert "-y and --no contradict each other" in uno("list", "cells", "-y", "--no").err


@pytest.mark.feature("F053")
@pytest.mark.parametrize(
    ("common", "variable", "level"),
    [
        (Common(), None, 0),
        (Common(verbose=2), None, 2),
        (Common(verbose=5), None, 5),
        (Common(quiet=True, verbose=5), None, -1),
        (Common(), "debug", 3),
        (Common(), "INFO", 1),
        (Common(verbose=1), "trace", 1),
    ],
)
def test_verbosity_comes_from_options_and_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, common: Common, variable: str | None, level: int
) -> None:
    monkeypatch.delenv("VERBOSITY", raising=False)
    if variable:
        monkeypatch.setenv("VERBOSITY", variable)

    assert common.verbosity == level


@pytest.mark.feature("F053")
def test_an_unknown_level_is_reported_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERBOSITY", "loud")

    with pytest.raises(Rejected, match="VERBOSITY is 'loud', which is no level; use one of"):
        assert Common().verbosity


@pytest.mark.feature("F053")
def test_every_command_takes_v_and_q() -> None:
    def lacking(group: TyperGroup, words: tuple[str, ...] = ()) -> Iterator[str]:
        for name, found in group.commands.items():
            if isinstance(found, TyperGroup):
                yield from lacking(found, (*words, name))
            elif not {"verbose", "quiet"} <= {each.name for each in found.params}:
                yield " ".join((*words, name))

    # The one prints a text that is in the program; the other becomes the command that it is given.
    assert [*lacking(whole())] == ["schema", "lab exec"]


@pytest.mark.feature("F053")
@pytest.mark.parametrize(
    "words",
    [
        "install x.uvn-agent",
        "update",
        "service up",
        "service down",
        "service status",
        "service install",
        "service remove",
        "cell service enable",
        "lab list",
    ],
)
def test_the_variable_counts_for_commands_of_a_host(
    uno: Uno, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("VERBOSITY", "loud")

    done = uno(*words.split(), in_root=False)

    assert done.status == 2
    assert "VERBOSITY is 'loud', which is no level" in done.err


@pytest.mark.feature("F053")
def test_more_is_printed_with_v_and_less_with_q(site: Uno, root: Path) -> None:
    loud = site("define", "particle", "p2", "-vvv")
    quiet = site("define", "particle", "p3", "-q")

    assert f"uno: writing {root / 'particles' / 'net__p2.zip'}" in loud.err
    assert "secrets made" in loud.err
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.feature("F104")
@pytest.mark.parametrize(
    ("journal", "line"),
    [
        (None, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} uno: generation 2 is staged\n"),
        ("8:1234", r"uno: generation 2 is staged\n"),
    ],
)
def test_a_daemons_log_has_times_unless_the_journal_has_them(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    journal: str | None,
    line: str,
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", journal)
    common = Common()
    common.start()

    common.log_as_a_daemon()
    logging.getLogger("uno.agent").info("generation %s is staged", 2)
    logging.getLogger("uno.agent").debug("nobody needs to know")

    assert re.fullmatch(line, capsys.readouterr().err)


def test_help_names_every_option_of_a_group(uno: Uno) -> None:
    shown = uno("define", "cell", "--help", in_root=False).out

    for option in ("--address", "--network", "--owner", "--httpd-port", "--location", "--root"):
        assert option in shown


@pytest.mark.feature("F053")
def test_each_level_logs_more_than_the_one_below(
    site: Uno, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps, programs, their messages, statements of the database, and the place of each."""
    monkeypatch.delenv("VERBOSITY", raising=False)
    program = ("sh", "-c", "echo careful >&2; echo secret")
    monkeypatch.setattr(change_report, "print_change", lambda *_, **__: command.run(program))

    errors = [
        site("define", "particle", f"p{level}", *(["-" + "v" * level] if level else [])).err
        for level in range(6)
    ]

    shown = [
        [each in error for each in ("writing", "ran `sh", " sh: careful", "SQL:", "MainThread")]
        for error in errors
    ]
    assert shown == [[True] * level + [False] * (5 - level) for level in range(6)]
    assert not any("secret\n" in error for error in errors)


@pytest.mark.parametrize(
    "words", ["--enable-root-vpn --disable-root-vpn", "--disable-root-vpn --enable-root-vpn"]
)
def test_a_switch_that_is_given_both_ways_is_refused(site: Uno, words: str) -> None:
    done = site("config", "uvn", "-U", *words.split())

    assert done.status == 2
    assert "--enable-root-vpn and --disable-root-vpn contradict each other; use one" in done.err
