"""Prints measurements of the source tree: sizes, imports, complexity, docstrings, names.

    python scripts/house.py [PATH ...]               the report, of src/uno by default
    python scripts/house.py --paraphrase [PATH ...]  each text with a verb of speech or "who"

It is a report, and enforces nothing. Cyclomatic complexity is counted as radon counts it. A
docstring counts as paraphrase if it matches `PARAPHRASE`; one that is about a person at a keyboard
matches, too, so the figure is an upper bound.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import contextlib
import io
import re
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grimp
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "uno"
PACKAGE = "uno"

PARAPHRASE = re.compile(
    r"\b(say|says|said|tell|tells|told|hear|hears|heard|word|words|whom|nobody|somebody|whoever)\b",
    re.IGNORECASE,
)
PERSON = re.compile(r"\b(who|whom|whoever|nobody|somebody|anybody|everybody)\b", re.IGNORECASE)
SPEECH = re.compile(
    r"\b(say|says|said|tell|tells|told|hear|hears|heard|word|words)\b", re.IGNORECASE
)

LONG_FUNCTION = 40
RANK_C = 11
LARGEST = 8
# A port and its adapters share their name on purpose.
MAY_SHARE_NAMES = ("uno.ports",)

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True)
class Module:
    """One parsed file."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, filename=str(self.path))

    @cached_property
    def name(self) -> str:
        """Its dotted name, or its path where it belongs to no package."""
        if not self.path.is_relative_to(SOURCE):
            return shown(self.path)
        parts = self.path.relative_to(SOURCE.parent).with_suffix("").parts
        return ".".join(parts).removesuffix(".__init__")

    @cached_property
    def lines(self) -> int:
        """All its lines."""
        return len(self.text.splitlines())

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of its tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> list[Function]:
        """Its functions and methods, nested ones included."""
        return [node for node in self.nodes if isinstance(node, FUNCTIONS)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """Its classes."""
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Its comments by line number."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(it.start[0], it.string) for it in tokens if it.type == tokenize.COMMENT]

    @cached_property
    def docstrings(self) -> list[tuple[int, str, str]]:
        """Line number, name and text of each docstring."""
        found = []
        for node in self.nodes:
            if isinstance(node, Documented) and (text := ast.get_docstring(node)):
                name = "module" if isinstance(node, ast.Module) else node.name
                found.append((node.body[0].lineno, name, text))
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report, or the list of paraphrases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", default=[SOURCE])
    parser.add_argument(
        "--paraphrase",
        action="store_true",
        help="list the docstrings, comments and strings that match, and end",
    )
    options = parser.parse_args(arguments)
    modules = read_modules(options.paths)
    lines = paraphrases(modules) if options.paraphrase else report(modules)
    with contextlib.suppress(BrokenPipeError):
        for line in lines:
            print(line)
    return 0


def read_modules(paths: Iterable[Path]) -> list[Module]:
    """Return the Python files at and below `paths`, sorted. A missing path raises OSError."""
    files = {
        file.resolve()
        for path in paths
        for file in (path.rglob("*.py") if path.is_dir() else [path])
        if "__pycache__" not in file.parts
    }
    return [Module(file, file.read_text()) for file in sorted(files)]


def shown(path: Path) -> str:
    """Return `path` relative to the repository where it lies in it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


# --- Paraphrase ------------------------------------------------------------------------------


def paraphrases(modules: Iterable[Module]) -> Iterator[str]:
    """Yield `path:line: kind: the matching line` for each match, and the counts."""
    counted: Counter[str] = Counter()
    for module in modules:
        for line, kind, text in sorted(_prose(module)):
            for offset, part in enumerate(text.splitlines()):
                if PARAPHRASE.search(part) or PERSON.search(part):
                    yield f"{shown(module.path)}:{line + offset}: {kind}: {part.strip()}"
                    counted[kind] += 1
    yield ", ".join(f"{count} in {kind}s" for kind, count in counted.items()) or "none"


def _prose(module: Module) -> Iterator[tuple[int, str, str]]:
    docstring_lines = set()
    for line, _, text in module.docstrings:
        docstring_lines.add(line)
        yield line, "docstring", text
    for line, text in module.comments:
        yield line, "comment", text
    for node in module.nodes:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value.strip()
            and node.lineno not in docstring_lines
        ):
            yield node.lineno, "string", node.value


# --- The report ------------------------------------------------------------------------------


def report(modules: Sequence[Module]) -> Iterator[str]:
    """Yield the lines of the report."""
    rows = [*_size(modules), *_code(modules), *_prose_counts(modules)]
    own = [module for module in modules if module.path.is_relative_to(SOURCE)]
    if own:
        rows += _imports({module.name for module in own})
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:<{width}}  {value}"
    yield ""
    yield from _largest(modules)
    yield from _doubled(modules)
    if own:
        yield from _fans({module.name for module in own})


def _size(modules: Sequence[Module]) -> Iterator[tuple[str, str]]:
    lines = [module.lines for module in modules]
    yield "modules / lines", f"{len(modules)} / {sum(lines):,}"
    yield "lines per module: median / p90 / max", spread(lines)
    yield "modules under 60 lines", str(sum(it < 60 for it in lines))


def _code(modules: Sequence[Module]) -> Iterator[tuple[str, str]]:
    functions = [function for module in modules for function in module.functions]
    lengths = [length(function) for function in functions]
    long = sum(it > LONG_FUNCTION for it in lengths)
    yield "functions; lines median / p90 / max", f"{len(functions):,}; {spread(lengths)}"
    yield f"functions > {LONG_FUNCTION} lines", f"{long} ({share(long, len(lengths))})"
    classes = [it for module in modules for it in module.classes]
    yield "classes", f"{len(classes):,}"
    yield "methods per class p90 / max", spread([methods(it) for it in classes], median=False)
    yield "parameters p90 / max", spread([parameters(it) for it in functions], median=False)
    annotated = [
        is_annotated for function in functions for is_annotated in annotated_parts(function)
    ]
    yield "annotated parameters and returns", share(sum(annotated), len(annotated))
    blocks = [complexity(it) for it in functions]
    hard = sum(it >= RANK_C for it in blocks)
    yield "cyclomatic: mean / max", f"{statistics.fmean(blocks or [0]):.1f} / {max(blocks or [0])}"
    yield f"blocks with {RANK_C} or more (radon's C)", f"{hard} ({share(hard, len(blocks))})"
    broad = [node for module in modules for node in module.nodes if catches_all(node)]
    yield "broad excepts", f"{len(broad)}, {sum(map(raises_again, broad))} end in a bare raise"


def _prose_counts(modules: Sequence[Module]) -> Iterator[tuple[str, str]]:
    code = sum(code_lines(module) for module in modules)
    comments = sum(len(module.comments) for module in modules)
    docstrings = [text for module in modules for _, _, text in module.docstrings]
    lines = sum(len(text.splitlines()) for text in docstrings)
    yield "comments per 100 lines of code", f"{100 * comments / max(code, 1):.1f}"
    yield "docstring lines per 100 lines of code", f"{100 * lines / max(code, 1):.1f}"
    public = [it for module in modules for it in module.functions if not it.name.startswith("_")]
    documented = sum(ast.get_docstring(it) is not None for it in public)
    yield "public functions with a docstring", share(documented, len(public))
    for title, pattern in (
        ("docstrings with paraphrase", PARAPHRASE),
        ("  of these with say, tell, hear, word", SPEECH),
        ("docstrings with who, whom, nobody, ...", PERSON),
    ):
        found = sum(pattern.search(text) is not None for text in docstrings)
        yield title, f"{found} of {len(docstrings):,} ({share(found, len(docstrings))})"


def _imports(names: Collection[str]) -> Iterator[tuple[str, str]]:
    graph = _graph()
    edges = {name: graph.find_modules_directly_imported_by(name) & set(names) for name in names}
    count = sum(map(len, edges.values()))
    yield "imports of own modules: per module (all)", f"{count / len(names):.1f} ({count:,})"
    circles = cycles(edges)
    shown_circles = "; ".join(" ".join(sorted(it)) for it in circles)
    yield "import cycles, TYPE_CHECKING included", f"{len(circles)} {shown_circles}".rstrip()
    once = sum(len(graph.find_modules_that_directly_import(it)) == 1 for it in names)
    yield "modules with one importer", str(once)
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    number = sum(it.startswith("importlinter:contract:") for it in contracts.sections())
    yield "import contracts", f"{number}, {'all kept' if contracts_kept() else 'NOT all kept'}"


def _largest(modules: Sequence[Module]) -> Iterator[str]:
    lengths = [(module.lines, module.name) for module in modules]
    yield from top("Largest modules, lines", lengths)
    functions = [
        (length(it), f"{module.name}.{it.name}") for module in modules for it in module.functions
    ]
    yield from top("Largest functions, lines", functions)
    classes = [
        (length(it), f"{module.name}.{it.name}") for module in modules for it in module.classes
    ]
    yield from top("Largest classes, lines", classes)
    crowded = [
        (methods(it), f"{module.name}.{it.name}") for module in modules for it in module.classes
    ]
    yield from top("Classes with most methods", crowded)
    knotty = [
        (complexity(it), f"{module.name}.{it.name}")
        for module in modules
        for it in module.functions
    ]
    yield from top("Most complex functions, cyclomatic", knotty)


def _doubled(modules: Sequence[Module]) -> Iterator[str]:
    mine = [it for it in modules if not it.name.startswith(MAY_SHARE_NAMES)]
    classes = [(it.name, module.name) for module in mine for it in module.classes]
    stems = [(it.path.stem, it.name) for it in mine if it.path.stem != "__init__"]
    yield from same_name("Classes of one name", classes)
    yield from same_name("Modules of one name", stems)


def _fans(names: Collection[str]) -> Iterator[str]:
    graph = _graph()
    out = [(len(graph.find_modules_directly_imported_by(it) & set(names)), it) for it in names]
    within = [(len(graph.find_modules_that_directly_import(it)), it) for it in names]
    yield from top("Fan-out: imports of own modules", out)
    yield from top("Fan-in: importers", within)


# --- Counting --------------------------------------------------------------------------------


def spread(numbers: Sequence[int], *, median: bool = True) -> str:
    """Return "median / p90 / max" of `numbers`."""
    ordered = sorted(numbers) or [0]
    figures = [ordered[min(len(ordered) * 9 // 10, len(ordered) - 1)], ordered[-1]]
    if median:
        figures.insert(0, round(statistics.median(ordered)))
    return " / ".join(f"{it:,}" for it in figures)


def share(part: int, whole: int) -> str:
    """Return `part` of `whole` in per cent."""
    return f"{100 * part / max(whole, 1):.1f} %"


def length(node: Function | ast.ClassDef) -> int:
    """Return the lines from `def` or `class` to the last, without decorators."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def methods(node: ast.ClassDef) -> int:
    """Return how many functions the class itself defines, private ones included."""
    return sum(isinstance(it, FUNCTIONS) for it in node.body)


def parameters(node: Function) -> int:
    """Return how many parameters the function has, `self` and `cls` not counted."""
    return sum(1 for _ in _named_parameters(node))


def _named_parameters(node: Function) -> Iterator[ast.arg]:
    it = node.args
    every = [*it.posonlyargs, *it.args, it.vararg, *it.kwonlyargs, it.kwarg]
    yield from (each for each in every if each is not None and each.arg not in {"self", "cls"})


def annotated_parts(node: Function) -> Iterator[bool]:
    """Yield, for the return value and each parameter, whether it is annotated."""
    yield node.returns is not None
    yield from (each.annotation is not None for each in _named_parameters(node))


def complexity(node: ast.AST) -> int:
    """Return the cyclomatic complexity as radon counts it; that of closures is added."""
    return 1 + sum(map(_branches, ast.walk(node)))


def _branches(node: ast.AST) -> int:
    count = 0
    match node:
        case ast.If() | ast.IfExp() | ast.Assert():
            count = 1
        case ast.For() | ast.AsyncFor() | ast.While():
            count = 1 + bool(node.orelse)
        case ast.Try():
            count = len(node.handlers) + bool(node.orelse)
        case ast.BoolOp():
            count = len(node.values) - 1
        case ast.comprehension():
            count = 1 + len(node.ifs)
        case ast.match_case():
            count = int(not _is_wildcard(node))
        case _:
            pass
    return count


def _is_wildcard(case: ast.match_case) -> bool:
    return (
        isinstance(case.pattern, ast.MatchAs)
        and case.pattern.pattern is None
        and case.guard is None
    )


def catches_all(node: ast.AST) -> bool:
    """Return whether `node` is an `except` of Exception, BaseException or everything."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )


def raises_again(handler: ast.AST) -> bool:
    """Return whether an `except` ends in a bare `raise`."""
    last = handler.body[-1] if isinstance(handler, ast.ExceptHandler) else None
    return isinstance(last, ast.Raise) and last.exc is None


def code_lines(module: Module) -> int:
    """Return the lines that hold code: neither blank, nor comments, nor docstrings alone."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in skipped:
            held.update(range(token.start[0], token.end[0] + 1))
    for line, _, text in module.docstrings:
        held.difference_update(range(line, line + len(text.splitlines()) + 1))
    return len(held)


def cycles(edges: Mapping[str, Collection[str]]) -> list[set[str]]:
    """Return the strongly connected components of two nodes or more."""
    reached = {node: _reachable(node, edges) for node in edges}
    components = {
        frozenset(it for it in reached[node] if node in reached[it])
        for node in edges
        if node in reached[node]
    }
    return sorted((set(it) for it in components), key=sorted)


def _reachable(start: str, edges: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    left = list(edges[start])
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left.extend(edges[node])
    return found


def contracts_kept() -> bool:
    """Return whether `lint-imports` keeps every contract of .importlinter."""
    with contextlib.redirect_stdout(io.StringIO()):
        return lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True) == 0


def top(title: str, counted: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Yield the largest of `counted` in one paragraph."""
    ordered = sorted(counted, key=lambda it: (-it[0], it[1]))[:LARGEST]
    yield f"{title}: " + ", ".join(f"{name.removeprefix('uno.')} {size}" for size, name in ordered)


def same_name(title: str, named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a paragraph of the names that occur more than once, with the modules they are in."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, module in named:
        places[name].append(module.removeprefix("uno."))
    doubled = {name: it for name, it in sorted(places.items()) if len(it) > 1}
    listed = "; ".join(f"{name} ({', '.join(it)})" for name, it in doubled.items())
    yield f"{title}: {len(doubled)}" + (f": {listed}" if listed else "")


def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


if __name__ == "__main__":
    sys.exit(main())
