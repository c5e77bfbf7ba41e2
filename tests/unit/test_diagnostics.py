from __future__ import annotations

import pytest

from uno.diagnostics import Position, Problem, Rejected, Severity, UnoError, refuse_errors


def at(line: int, column: int = 1) -> Position:
    return Position(file="uvn.yml", line=line, column=column)


def test_a_problem_says_where_and_what_and_what_to_do() -> None:
    problem = Problem(what="it is wrong", hint="mend it", where=at(3, 7), also=(at(1), at(2)))

    assert str(problem) == ("uvn.yml:3:7: it is wrong (see also uvn.yml:1:1, uvn.yml:2:1); mend it")


def test_a_problem_of_an_option_names_the_option() -> None:
    assert str(Problem(what="it is wrong", option="--address")) == "--address: it is wrong"


def test_a_problem_without_a_place_is_a_sentence() -> None:
    assert str(Problem(what="it is wrong")) == "it is wrong"


def test_problems_are_told_in_reading_order_and_those_without_a_place_last() -> None:
    nowhere = Problem(what="nowhere")
    late, early = Problem(what="late", where=at(10)), Problem(what="early", where=at(9, 80))

    rejected = Rejected(nowhere, late, early)

    assert rejected.problems == (early, late, nowhere)
    assert str(rejected) == "uvn.yml:9:80: early\nuvn.yml:10:1: late\nnowhere"


def test_rejected_input_has_an_exit_status_of_its_own() -> None:
    assert Rejected(Problem(what="x")).exit_status == 2
    assert UnoError("x").exit_status == 1


def test_an_error_is_told_with_its_hint() -> None:
    assert str(UnoError("it failed", "try again")) == "it failed; try again"
    assert str(UnoError("it failed")) == "it failed"


def test_warnings_alone_refuse_nothing() -> None:
    warning = Problem(what="mind", severity=Severity.WARNING)

    assert refuse_errors([warning]) == (warning,)


def test_one_error_refuses_and_brings_the_warnings_along() -> None:
    warning, error = Problem(what="mind", severity=Severity.WARNING), Problem(what="no")

    with pytest.raises(Rejected) as caught:
        refuse_errors((warning, error))

    assert set(caught.value.problems) == {warning, error}
