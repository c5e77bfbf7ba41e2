"""Every mutant of tests/mutants.toml can be applied to the tree as it is."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

from script_modules import script_module

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    return script_module("mutants")


def test_the_old_text_is_there_once_and_the_new_one_is_python(mutants: ModuleType) -> None:
    _, every = mutants.read_catalogue(mutants.CATALOGUE.read_text())

    stale = []
    for each in every:
        text = (ROOT / each.file).read_text() if (ROOT / each.file).is_file() else ""
        if text.count(each.old) != 1:
            stale.append(each.id)
        else:
            ast.parse(text.replace(each.old, each.new))

    assert len(every) >= 40
    assert stale == []


def test_the_tests_of_each_are_there(mutants: ModuleType) -> None:
    _, every = mutants.read_catalogue(mutants.CATALOGUE.read_text())

    missing = {
        test
        for each in every
        for test in each.tests
        if not (ROOT / test.partition("::")[0]).exists()
    }

    assert missing == set()


def test_two_mutants_of_one_id_are_an_error(mutants: ModuleType) -> None:
    entry = '[[mutant]]\nid = "a.b"\nfile = "f"\nold = "x"\nnew = "y"\ntests = ["t"]\n'

    with pytest.raises(ValueError, match=r"two mutants have the id a\.b"):
        mutants.read_catalogue("hypothesis_seed = 1\n" + entry + entry)


@pytest.mark.parametrize(
    ("status", "output", "verdict"),
    [
        (0, "3 passed", "survived"),
        (1, "FAILED tests/unit/test_a.py::test_b - assert 1", "killed"),
        (2, "ERROR tests/unit/test_a.py\n1 error", "invalid"),
        (None, "", "killed"),
    ],
)
def test_a_mutant_is_killed_by_a_test_that_fails_and_by_nothing_else(
    mutants: ModuleType, status: int | None, output: str, verdict: str
) -> None:
    found, _detail = mutants._verdict(status, output)

    assert found == verdict
