"""Specs with mistakes, and the exact text of their problems.

`NAME.yml` is the spec, `NAME.txt` the answer. UPDATE_GOLDEN=1 writes the answers anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from documented import counts
from uno.diagnostics import Problem, Rejected
from uno.spec import load

HERE = Path(__file__).parent
SPECS = sorted(HERE.glob("*.yml"))


@pytest.mark.feature("G46")
@pytest.mark.feature("G23")
@pytest.mark.parametrize("spec", SPECS, ids=[spec.stem for spec in SPECS])
def test_a_mistake_is_answered_with(spec: Path) -> None:
    printed = "".join(f"{each.severity}: {each}\n" for each in problems_of(spec.read_text()))

    if os.environ.get("UPDATE_GOLDEN"):
        spec.with_suffix(".txt").write_text(printed)
    assert printed == spec.with_suffix(".txt").read_text()


def test_there_is_an_answer_for_every_mistake_and_no_other() -> None:
    answers = {answer.stem for answer in HERE.glob("*.txt")}

    assert answers == {spec.stem for spec in SPECS}
    assert [*counts("tests/golden/diagnostics/test_diagnostics.py").values()] == [len(answers)]


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        _, warnings = load(text, file="uvn.yml", identity="0" * 32, hash_password=lambda _: "")
    except Rejected as rejected:
        return rejected.problems
    return warnings
