"""Problems and errors: their text, their exit status, and whether to try again."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import uno
from uno.diagnostics import (
    ActionNeeded,
    InternalError,
    InvalidInput,
    Position,
    Problem,
    Rejected,
    Severity,
    TransientFailure,
    UnoError,
    refuse_errors,
)

SOURCE = Path(uno.__file__).parent
CATEGORIES = (InvalidInput, TransientFailure, ActionNeeded, InternalError)
# Each imports a DDS vendor that may not be installed.
OPTIONAL = {"uno.bus.connext", "uno.bus.cyclone"}


def at(line: int, column: int = 1) -> Position:
    return Position(file="uvn.yml", line=line, column=column)


def test_a_problem_is_printed_with_its_places_and_hint() -> None:
    problem = Problem(what="it is wrong", hint="mend it", where=at(3, 7), also=(at(1), at(2)))

    assert str(problem) == ("uvn.yml:3:7: it is wrong (see also uvn.yml:1:1, uvn.yml:2:1); mend it")


def test_a_problem_of_an_option_names_the_option() -> None:
    assert str(Problem(what="it is wrong", option="--address")) == "--address: it is wrong"


def test_a_problem_without_a_place_is_a_sentence() -> None:
    assert str(Problem(what="it is wrong")) == "it is wrong"


def test_problems_are_in_reading_order_and_those_without_a_place_last() -> None:
    nowhere = Problem(what="nowhere")
    late, early = Problem(what="late", where=at(10)), Problem(what="early", where=at(9, 80))

    rejected = Rejected(nowhere, late, early)

    assert rejected.problems == (early, late, nowhere)
    assert str(rejected) == "uvn.yml:9:80: early\nuvn.yml:10:1: late\nnowhere"


def test_what_a_person_must_change_has_an_exit_status_of_its_own() -> None:
    assert Rejected(Problem(what="x")).exit_status == 2
    statuses = {it: it("x").exit_status for it in CATEGORIES}
    assert statuses == {InvalidInput: 2, TransientFailure: 1, ActionNeeded: 2, InternalError: 1}


def test_only_a_transient_failure_is_tried_again() -> None:
    assert [kind for kind in CATEGORIES if kind("x").transient] == [TransientFailure]


def test_an_error_is_printed_with_its_hint() -> None:
    assert str(ActionNeeded("it failed", "mend it")) == "it failed; mend it"
    assert str(ActionNeeded("it failed")) == "it failed"


def test_nothing_raises_the_root_of_the_errors() -> None:
    made = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == UnoError.__name__
    ]

    assert made == []


def test_every_error_is_in_one_category() -> None:
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if name not in OPTIONAL | {"uno.__main__"}:
            importlib.import_module(name)

    def below(kind: type[UnoError]) -> set[type[UnoError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    kinds = {it for it in below(UnoError) if it.__module__.startswith("uno.")} - {UnoError}
    categories = {it: sum(issubclass(it, category) for category in CATEGORIES) for it in kinds}

    assert len(kinds) > 15
    assert {it.__name__ for it, count in categories.items() if count != 1} == set()


def test_warnings_alone_refuse_nothing() -> None:
    warning = Problem(what="mind", severity=Severity.WARNING)

    assert refuse_errors([warning]) == (warning,)


def test_one_error_refuses_and_brings_the_warnings_along() -> None:
    warning, error = Problem(what="mind", severity=Severity.WARNING), Problem(what="no")

    with pytest.raises(Rejected) as caught:
        refuse_errors((warning, error))

    assert set(caught.value.problems) == {warning, error}
