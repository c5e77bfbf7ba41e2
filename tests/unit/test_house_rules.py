"""The rules of CONTRIBUTING.md that no linter knows. The lists of exceptions may only shrink."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path

import msgspec
import pytest

from uno.spec import values

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "uno"
MODULES = sorted(SOURCE.rglob("*.py"))

LINES_PER_MODULE = 400
PUBLIC_METHODS_PER_CLASS = 15

# Each with the reason why it is longer, or catches everything.
LONGER: dict[str, str] = {}
MANY_METHODS: dict[str, str] = {}
CATCH_ALL: dict[str, str] = {}

PURE = (
    *("diagnostics", "model", "spec", "planning", "artifacts", "ports"),
    *("agent.reconcile", "agent.stages", "agent.change", "agent.contact", "agent.deafness"),
    *("agent.outbox", "agent.redial"),
)
ON_THE_CELL = ("agent", "host", "web")

# Put together here, so that this file does not break its own rules.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
HOME_OF_SOMEONE = re.compile(r"(?<![\w.$}])/(?:home|root|Users|work|farm)/\w")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def written_by_hand() -> Iterator[Path]:
    for folder in ("src", "tests", "scripts", "docs", "benchmarks", "examples", ".ci"):
        yield from (p for p in (ROOT / folder).rglob("*") if p.is_file())
    yield from (p for p in ROOT.iterdir() if p.is_file() and p.name != "uv.lock")


def texts() -> Iterator[tuple[str, str]]:
    for path in written_by_hand():
        if "__pycache__" not in path.parts:
            try:
                yield name_of(path), path.read_text()
            except UnicodeDecodeError:
                continue


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(parse(module)), "a module starts with a docstring"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_fits_into_a_head(module: Path) -> None:
    lines = len(module.read_text().splitlines())

    if name_of(module) in LONGER:
        assert lines > LINES_PER_MODULE, "short again: take it off the list"
    else:
        assert lines <= LINES_PER_MODULE, "split it by audience, or list it with a reason"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_class_has_few_methods(module: Path) -> None:
    crowded = [
        node.name
        for node in ast.walk(parse(module))
        if isinstance(node, ast.ClassDef)
        and f"{name_of(module)}::{node.name}" not in MANY_METHODS
        and len(_public_methods(node)) > PUBLIC_METHODS_PER_CLASS
    ]

    assert crowded == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_is_caught_without_a_name(module: Path) -> None:
    caught = [
        ast.unparse(node.type) if node.type else "everything"
        for node in ast.walk(parse(module))
        if isinstance(node, ast.ExceptHandler) and _catches_all(node)
    ]

    if name_of(module) not in CATCH_ALL:
        assert caught == []


def test_every_value_of_the_model_is_frozen() -> None:
    names = [
        ".".join(module.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for module in MODULES
        if module.is_relative_to(SOURCE / "model")
    ]

    thawed = [
        f"{name}.{kind.__name__}"
        for name in names
        for kind in vars(importlib.import_module(name)).values()
        if isinstance(kind, type) and kind.__module__ == name and not _is_frozen(kind)
    ]

    assert thawed == []


def test_nothing_is_left_unfinished() -> None:
    found = [f"{name}: {match[0]}" for name, text in texts() for match in UNFINISHED.finditer(text)]

    assert found == []


def test_no_path_of_one_machine_is_written_down() -> None:
    found = [
        f"{name}: {match[0]}" for name, text in texts() for match in HOME_OF_SOMEONE.finditer(text)
    ]

    assert found == []


def test_the_import_contracts_cover_every_package_they_are_about() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")

    for contract, parts in (("pure", PURE), ("agent-decides-nothing", ON_THE_CELL)):
        listed = contracts[f"importlinter:contract:{contract}"]["source_modules"].split()
        assert listed == [f"uno.{part}" for part in parts if _exists(part)]


def test_every_key_of_the_specification_is_in_its_reference() -> None:
    reference = (ROOT / "docs" / "reference" / "specification.md").read_text()
    in_code = re.findall(r"`([^`\n]+)`", reference)
    documented = set(re.findall(r"[a-z_]+", " ".join(in_code)))

    written = {field for kind in spec_values() for field in kind.__struct_fields__}

    assert written - documented == set()


def spec_values() -> list[type[msgspec.Struct]]:
    return [
        kind
        for kind in vars(values).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__module__ == values.__name__
    ]


def _exists(part: str) -> bool:
    path = SOURCE.joinpath(*part.split("."))
    return (path / "__init__.py").exists() or path.with_suffix(".py").exists()


def _public_methods(node: ast.ClassDef) -> list[str]:
    return [
        member.name
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
        and not member.name.startswith("_")
    ]


def _catches_all(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False  # it tidies up and lets the error pass
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )


def _is_frozen(kind: type) -> bool:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_config__.frozen
    if is_dataclass(kind):
        return bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    return True
