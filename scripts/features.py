"""Prints each row of the feature table with its tests and their kinds, and the rows without a test.

A test proves a row when it is marked with its id: `@pytest.mark.feature("F054")`, on the test,
on its class, on a parameter, or as `pytestmark` of the module. Tests are parsed, not run. The kind
of a test is the folder of `tests` that it is in: lab, browser, unit, golden or property.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "reference" / "features.md"
TESTS = ROOT / "tests"

_ROW = re.compile(r"^\| (?P<id>[FG]\d+) \| (?P<area>[^|]+) \| (?P<text>[^|]+) \|$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One row of the table."""

    id: str
    area: str
    text: str


def main(arguments: list[str] | None = None) -> int:
    """Print the table, or with `--check` the given rows that have no test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--check", nargs="+", metavar="ID", help="exit with 1 if one of these has no test"
    )
    parser.add_argument("--missing", action="store_true", help="print only the rows without a test")
    options = parser.parse_args(arguments)
    table = read_table(TABLE.read_text())
    proofs = find_proofs(TESTS)
    if options.check:
        return _check(options.check, table, proofs)
    for line in _report(table, proofs, missing_only=options.missing):
        print(line)
    return 0


def read_table(text: str) -> dict[str, Feature]:
    """Return the rows of the feature table by id, in order. A doubled id raises ValueError."""
    table: dict[str, Feature] = {}
    for match in filter(None, map(_ROW.match, text.splitlines())):
        row = Feature(id=match["id"], area=match["area"].strip(), text=match["text"].strip())
        if row.id in table:
            raise ValueError(f"{row.id} is in the feature table twice")
        table[row.id] = row
    return table


@cache
def find_proofs(tests: Path) -> dict[str, list[str]]:
    """Return, for each feature id that a test below `tests` is marked with, those tests' names."""
    proofs: dict[str, list[str]] = defaultdict(list)
    for file in sorted(tests.rglob("test_*.py")):
        name = file.relative_to(tests.parent).as_posix()
        for test, ids in marked_tests(file.read_text()):
            for feature in ids:
                proofs[feature].append(f"{name}::{test}")
    return dict(proofs)


def kind_of(test: str) -> str:
    """Return the kind of a test by its name, `tests/KIND/...`."""
    return test.split("/")[1]


def marked_tests(source: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the feature ids of each marked test of a module."""
    module = ast.parse(source)
    everywhere = [
        feature
        for node in module.body
        if isinstance(node, ast.Assign) and _assigns(node, "pytestmark")
        for feature in _features_in([node.value])
    ]
    yield from _marked_in(module.body, prefix="", inherited=everywhere)


def _marked_in(
    body: Iterable[ast.stmt], *, prefix: str, inherited: list[str]
) -> Iterator[tuple[str, list[str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            ids = [*inherited, *_features_in(node.decorator_list)]
            yield from _marked_in(node.body, prefix=f"{node.name}::", inherited=ids)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            ids = [*inherited, *_features_in(node.decorator_list)]
            if node.name.startswith("test") and ids:
                yield prefix + node.name, list(dict.fromkeys(ids))


def _features_in(expressions: Iterable[ast.expr]) -> list[str]:
    return [
        argument.value
        for expression in expressions
        for node in ast.walk(expression)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "feature"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _check(wanted: list[str], table: Mapping[str, Feature], proofs: Mapping[str, list[str]]) -> int:
    unknown = [feature for feature in wanted if feature not in table]
    unproved = [feature for feature in wanted if feature in table and feature not in proofs]
    for feature in unknown:
        print(f"{feature}: not in the feature table", file=sys.stderr)
    for feature in unproved:
        print(f"{feature}: no test is marked with it ({table[feature].text})", file=sys.stderr)
    return 1 if unknown or unproved else 0


def _report(
    table: Mapping[str, Feature], proofs: Mapping[str, list[str]], *, missing_only: bool
) -> Iterator[str]:
    if not missing_only:
        for row in table.values():
            if row.id in proofs:
                yield f"{row.id}  {row.area}: {row.text}"
                yield from (f"        {kind_of(test):<8}  {test}" for test in proofs[row.id])
        yield ""
    without = [row for row in table.values() if row.id not in proofs]
    yield "Without a test:"
    yield from (f"  {row.id}  {row.area}: {row.text}" for row in without)
    yield ""
    yield f"{len(table) - len(without)} of {len(table)} rows have a test."
    kinds = Counter(
        kind for row in table for kind in {kind_of(test) for test in proofs.get(row, ())}
    )
    yield "Rows with a test of each kind: " + ", ".join(
        f"{kind} {count}" for kind, count in sorted(kinds.items())
    )


if __name__ == "__main__":
    sys.exit(main())
