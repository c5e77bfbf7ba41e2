"""The feature table and the marks of the tests agree."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from documented import counts
from script_modules import script_module

ROOT = Path(__file__).resolve().parents[2]

# Not built yet: published images, cloud storage and others. The set may only shrink.
NOT_YET = frozenset(
    {
        *(f"F{number}" for number in range(128, 133)),
        *("G33", "G34", "G35", "G36", "G37", "G38"),
        *("G39", "G45"),
    }
)


@pytest.fixture(scope="module")
def features() -> ModuleType:
    return script_module("features")


def test_every_mark_names_a_row_of_the_table(features: ModuleType) -> None:
    table = features.read_table(features.TABLE.read_text())

    unknown = {
        feature: tests
        for feature, tests in features.find_proofs(features.TESTS).items()
        if feature not in table
    }

    assert unknown == {}


def test_every_row_has_a_test_but_those_that_are_not_there_yet(features: ModuleType) -> None:
    table = features.read_table(features.TABLE.read_text())

    without = set(table) - set(features.find_proofs(features.TESTS))

    assert without == NOT_YET


def test_the_table_has_every_number_once_and_in_order(features: ModuleType) -> None:
    table = features.read_table(features.TABLE.read_text())

    seed = [feature for feature in table if feature.startswith("F")]

    assert seed == [f"F{number:03}" for number in range(1, 133)]


def test_a_doubled_row_is_an_error(features: ModuleType) -> None:
    row = "| F001 | Topology | Something |\n"

    with pytest.raises(ValueError, match="F001 is in the feature table twice"):
        features.read_table(row + row)


def test_marks_are_found_on_tests_classes_parameters_and_modules(features: ModuleType) -> None:
    # Built from pieces, so that a scan of this very file finds no mark in it.
    mark = "pytest.mark." + "feature"
    source = f"""
pytestmark = [{mark}("F001")]

@{mark}("F002")
class TestIt:
    @{mark}("F003")
    @{mark}("F004")
    def test_a(self): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks={mark}("G02"))])
async def test_b(x): ...

@{mark}("F005")
def fixture(): ...
"""

    found = dict(features.marked_tests(source))

    assert found == {
        "TestIt::test_a": ["F001", "F002", "F003", "F004"],
        "test_b": ["F001", "G02"],
    }


def test_check_fails_for_a_row_without_a_test(
    features: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    status = features.main(["--check", "F999"])

    assert status == 1
    assert capsys.readouterr().err == "F999: not in the feature table\n"


def test_the_kind_of_a_test_is_its_folder(features: ModuleType) -> None:
    kinds = {
        features.kind_of(test)
        for tests in features.find_proofs(features.TESTS).values()
        for test in tests
    }

    assert kinds <= {"browser", "golden", "lab", "property", "unit"}
    assert features.kind_of("tests/lab/test_routes.py::test_it") == "lab"


def test_each_row_is_printed_with_the_kind_of_each_of_its_tests(
    features: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert features.main([]) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "tests/" in line]
    assert rows
    assert all(kind == test.split("/")[1] for kind, test in rows)


def test_the_documentation_has_the_number_of_faults_and_labs_of_doctor() -> None:
    lab = ROOT / "tests/lab"
    faults = re.findall(r"^ +HostFault\(", (lab / "causes.py").read_text(), re.MULTILINE)
    well = [path for path in lab.glob("test_*.py") if "nothing_wrong" in path.read_text()]

    assert [*counts("tests/lab/causes.py").values()] == [len(faults)]
    assert [*counts("tests/lab").values()] == [len(well)]
