"""Writes the reference of the commands from the commands themselves, in two forms.

    python scripts/reference.py            writes man/uno.1 and docs/reference/commands.md
    python scripts/reference.py --check    prints which of them is not current; exit status 1

In the Markdown only what stands between the two marks is written; the rest is by hand, and the man
page takes its tables of exit statuses and environment variables from there.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

from uno import __version__
from uno.cli.input.options import Common
from uno.cli.main import whole

ROOT = Path(__file__).resolve().parent.parent
MAN = ROOT / "man" / "uno.1"
PAGE = ROOT / "docs" / "reference" / "commands.md"
BEGIN = "<!-- begin: written by scripts/reference.py -->"
END = "<!-- end -->"

# Where a command is to be typed; what is not named here belongs to the registry.
ON_THE_CELL = ("install", "update", "cell", "service")
ON_BOTH = ("agent", "status", "doctor", "explain")
ANYWHERE = ("lab", "schema")
PLACES = (
    ("On the registry's machine", lambda name: name not in (*ON_THE_CELL, *ON_BOTH, *ANYWHERE)),
    ("On a cell's host", lambda name: name in ON_THE_CELL),
    ("On both", lambda name: name in ON_BOTH),
    ("On any machine", lambda name: name in ANYWHERE),
)
# Every command of the registry takes these.
COMMON = {field.name for field in fields(Common)} - {"yes", "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option as it is typed, and what it is for."""

    typed: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command; `is_common` if it also takes the common options."""

    tokens: tuple[str, ...]
    arguments: str
    about: tuple[str, ...]
    options: tuple[Option, ...]
    is_common: bool

    @property
    def typed(self) -> str:
        """The command with its arguments."""
        return " ".join(filter(None, ("uno", *self.tokens, self.arguments)))


def main() -> int:
    """Write both files, or with `--check` compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    old = [path for path, text in written().items() if not is_current(path, text)]
    for path in old:
        if check:
            print(f"{path.relative_to(ROOT)} is not current: run python scripts/reference.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(written()[path])
            print(f"wrote {path.relative_to(ROOT)}")
    return int(check and bool(old))


def written() -> dict[Path, str]:
    """Return what the files should hold."""
    page = markdown(PAGE.read_text())
    return {PAGE: page, MAN: roff(page)}


def is_current(path: Path, text: str) -> bool:
    """Whether the file at `path` holds `text`."""
    return path.is_file() and path.read_text() == text


def commands() -> tuple[Command, ...]:
    """Return every command, in the order in which `uno --help` names them."""
    return tuple(_leaves(whole(), ()))


def common_options() -> tuple[Option, ...]:
    """Return the options that every command of the registry takes."""
    some = next(each for each in _all_leaves() if {p.name for p in each.params} >= COMMON)
    return tuple(_option(each) for each in some.params if each.name in COMMON)


def _leaves(command: Any, tokens: tuple[str, ...]) -> Iterator[Command]:
    if hasattr(command, "commands"):
        if command.invoke_without_command and tokens:
            yield from _one(command, tokens)
        for name, inner in command.commands.items():
            yield from _leaves(inner, (*tokens, name))
    else:
        yield from _one(command, tokens)


def _one(command: Any, tokens: tuple[str, ...]) -> Iterator[Command]:
    if command.hidden:
        return
    is_common = {each.name for each in command.params} >= COMMON
    own = [each for each in command.params if not (is_common and each.name in COMMON)]
    yield Command(
        tokens=tokens,
        arguments=" ".join(_argument(each) for each in own if each.param_type_name == "argument"),
        about=tuple(" ".join(part.split()) for part in (command.help or "").split("\n\n")),
        options=tuple(
            _option(each) for each in own if each.param_type_name == "option" and not each.hidden
        ),
        is_common=is_common,
    )


def _all_leaves() -> Iterator[Any]:
    waiting = [whole()]
    while waiting:
        each = waiting.pop()
        waiting.extend(getattr(each, "commands", {}).values())
        if not hasattr(each, "commands"):
            yield each


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).rstrip("….").strip("[]")
    name = f"{name}…" if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> Option:
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    takes = "" if parameter.is_flag or parameter.count else f" {_value(parameter)}"
    default = _default(parameter)
    shown = f" [{default}]" if default else ""
    about = " ".join((parameter.help or "").split())
    return Option(typed=names + takes, about=about + shown)


def _value(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    if choices := getattr(parameter.type, "choices", None):
        return "|".join(str(each.value if isinstance(each, Enum) else each) for each in choices)
    return {"path": "PATH", "int": "N", "integer": "N", "float": "SECONDS"}.get(
        parameter.type.name.removesuffix(" range"), "TEXT"
    )


def _default(parameter: Any) -> str:
    """Return the default as `--help` shows it; most options have none, or have it in their help."""
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    plain = isinstance(parameter.default, str | int | float | Path)
    if not parameter.show_default or isinstance(parameter.default, bool) or not plain:
        return ""
    return str(parameter.default)


# --- Markdown --------------------------------------------------------------------------------


def markdown(page: str) -> str:
    """Return `page` with what stands between the marks written anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n\n".join((before + BEGIN, *_markdown_parts(), END + after))


def _markdown_parts() -> Iterator[str]:
    everything = commands()
    for place, belongs in PLACES:
        chosen = [each for each in everything if belongs(each.tokens[0])]
        yield f"## {place}"
        yield _table(("command", "what it does"), ((_code(it.typed), it.about[0]) for it in chosen))
    yield "## Options of every command of the registry"
    yield _option_table(common_options())
    yield "## Command by command"
    for each in everything:
        yield f"### uno {' '.join(each.tokens)}"
        yield f"```text\n{each.typed}{' [OPTIONS]' if each.options else ''}\n```"
        yield from map(_text, each.about)
        if each.options:
            yield _option_table(each.options)


def _option_table(options: Iterable[Option]) -> str:
    return _table(("option", "meaning"), ((_code(it.typed), it.about) for it in options))


def _table(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {columns[0]} | {columns[1]} |", "|---|---|"]
    return "\n".join((*lines, *(f"| {one} | {_text(other)} |" for one, other in rows)))


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"


def _text(tokens: str) -> str:
    """Escape what Markdown would take for HTML, outside of code."""
    pieces = re.split(r"(`[^`]*`)", tokens)
    return "".join(it if it.startswith("`") else re.sub(r"([<>|*_])", r"\\\1", it) for it in pieces)


# --- The man page ----------------------------------------------------------------------------


def roff(page: str) -> str:
    """Return the man page (man(7)); its tables come from `page`, the Markdown."""
    return "\n".join(_roff_lines(page)) + "\n"


def _roff_lines(page: str) -> Iterator[str]:
    yield '.\\" Written by scripts/reference.py; change the commands, and run it again.'
    yield f'.TH UNO 1 "" "uno {__version__}" "User Commands"'
    yield from (".SH NAME", "uno \\- join LANs over the public Internet into one routing domain")
    yield from (".SH SYNOPSIS", ".B uno", ".I COMMAND", "[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]")
    yield ".SH DESCRIPTION"
    yield from map(_roff, _introduction(page))
    for place, belongs in PLACES:
        yield f".SH {_roff(place.upper())}"
        for each in commands():
            if belongs(each.tokens[0]):
                yield from _roff_command(each)
    yield ".SH COMMON OPTIONS"
    yield "Every command of the registry takes these."
    yield from _roff_options(common_options())
    for title in ("Exit status", "Environment"):
        yield f".SH {title.upper()}"
        for name, about in _rows_below(page, title):
            yield from (".TP", f".B {_roff(name.strip('`'))}", _roff(about.replace("`", "")))
    yield ".SH SEE ALSO"
    yield ".BR wg (8), .BR bgpd (8), .BR nft (8)".replace(", ", ",\n")


def _introduction(page: str) -> Iterator[str]:
    body = page.partition("\n")[2].partition("\n## ")[0]
    for paragraph in body.partition(BEGIN)[0].split("\n\n"):
        if tokens := re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split())):
            yield tokens.replace("`", "")
            yield ""


def _roff_command(each: Command) -> Iterator[str]:
    yield f".SS {_roff(each.typed)}"
    for at, paragraph in enumerate(each.about):
        if at:
            yield ".PP"
        yield _roff(paragraph.replace("`", ""))
    yield from _roff_options(each.options)


def _roff_options(options: Iterable[Option]) -> Iterator[str]:
    for each in options:
        yield from (".TP", f".B {_roff(each.typed)}", _roff(each.about.replace("`", "")))


def _rows_below(page: str, heading: str) -> Iterator[tuple[str, str]]:
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    yield from re.findall(r"^\| (.+?) \| (.+) \|$", section, flags=re.MULTILINE)[1:]


def _roff(text: str) -> str:
    """Escape `text` for roff (groff_char(7)): hyphens as typed, nothing taken for a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    ascii_only = "".join(it if it.isascii() else f"\\[u{ord(it):04X}]" for it in escaped)
    return f"\\&{ascii_only}" if ascii_only.startswith((".", "'")) else ascii_only


if __name__ == "__main__":
    sys.exit(main())
