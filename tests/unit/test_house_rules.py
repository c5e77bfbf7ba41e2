"""The rules of CONTRIBUTING.md that no linter knows. The lists of exceptions may only shrink."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path

import msgspec

from uno.spec import written_values

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "uno"
MODULES = sorted(SOURCE.rglob("*.py"))

# Each with the reason why it catches everything.
CATCH_ALL: dict[str, str] = {}

# Dataclasses: groups of options, values with a field that is not printed, those of Connext and of
# the lab. To define any other as a Struct takes a fiftieth of the time (decision 0001).
DATACLASSES = (
    *("bus/connext.py", "cli/commands", "cli/input", "lab", "registry/changes/updates.py"),
    *("registry/publish/cell_packages.py", "registry/store/key_wrapping.py"),
    *("registry/store/secret_table.py", "render/package_file.py", "render/particle.py"),
    *("render/particle_page.py", "web/server/static_files.py"),
)

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


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def test_a_module_has_a_docstring() -> None:
    assert [name_of(it) for it in MODULES if not ast.get_docstring(parse(it))] == []


def test_nothing_is_caught_without_a_name() -> None:
    caught = [
        (name_of(module), ast.unparse(node.type) if node.type else "everything")
        for module in MODULES
        for node in ast.walk(parse(module))
        if isinstance(node, ast.ExceptHandler) and _catches_all(node)
    ]

    assert [each for each in caught if each[0] not in CATCH_ALL] == []


def test_every_value_of_the_model_is_frozen() -> None:
    names = [dotted(it) for it in MODULES if it.is_relative_to(SOURCE / "model")]

    thawed = [
        f"{name}.{kind.__name__}"
        for name in names
        for kind in vars(importlib.import_module(name)).values()
        if isinstance(kind, type) and kind.__module__ == name and not _is_frozen(kind)
    ]

    assert thawed == []


def test_a_value_is_a_struct() -> None:
    found = {
        name.removeprefix("src/uno/")
        for name, text in ((name_of(it), it.read_text()) for it in MODULES)
        if re.search(r"^@dataclass", text, re.MULTILINE)
    }

    assert {it for it in found if not it.startswith(DATACLASSES)} == set()


def test_nothing_is_left_unfinished() -> None:
    found = [f"{name}: {match[0]}" for name, text in texts() for match in UNFINISHED.finditer(text)]

    assert found == []


def test_no_path_of_one_machine_is_written_down() -> None:
    found = [
        f"{name}: {match[0]}" for name, text in texts() for match in HOME_OF_SOMEONE.finditer(text)
    ]

    assert found == []


def test_a_module_that_is_called_pure_is_held_to_it() -> None:
    called_pure = {
        dotted(it)
        for it in MODULES
        if re.search(r"\bpure\b", ast.get_docstring(parse(it)) or "", re.IGNORECASE)
    }

    held = {
        name
        for name in called_pure
        if any(name == each or name.startswith(f"{each}.") for each in pure_modules())
    }

    assert called_pure - held == set()


def pure_modules() -> list[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return contracts["importlinter:contract:pure"]["source_modules"].split()


def dotted(module: Path) -> str:
    parts = module.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_the_code_map_names_every_package_and_no_module_that_is_gone() -> None:
    modules = {dotted(it) for it in MODULES}
    packages = {dotted(it) for it in MODULES if it.name == "__init__.py"}

    named = {it.strip("/").replace("/", ".") for it in in_code_map()}

    gone = {it for it in named if not any(f".src.{each}".endswith(f".{it}") for each in modules)}
    assert gone == set()
    assert {it.rpartition(".")[2] for it in packages - {"uno"}} - named == set()


def in_code_map() -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.partition("## Code map")[2].partition("Beside `src/`")[0]
    return re.findall(r"`([a-z_]+(?:[./][a-z_]+)*/?)`", section)


def test_names_of_classes_and_modules_are_unique() -> None:
    # A port has the name of the adapters that it is for.
    compared = [it for it in MODULES if not it.is_relative_to(SOURCE / "ports")]
    modules = Counter(it.stem for it in compared if it.stem != "__init__")
    classes = Counter(
        node.name
        for it in compared
        for node in ast.walk(parse(it))
        if isinstance(node, ast.ClassDef)
    )

    assert {name for names in (modules, classes) for name, n in names.items() if n > 1} == set()


def test_every_key_of_the_specification_is_in_its_reference() -> None:
    reference = (ROOT / "docs" / "reference" / "specification.md").read_text()
    in_code = re.findall(r"`([^`\n]+)`", reference)
    documented = set(re.findall(r"[a-z_]+", " ".join(in_code)))

    written = {field for kind in spec_values() for field in kind.__struct_fields__}

    assert written - documented == set()


def spec_values() -> list[type[msgspec.Struct]]:
    return [
        kind
        for kind in vars(written_values).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__module__ == written_values.__name__
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
