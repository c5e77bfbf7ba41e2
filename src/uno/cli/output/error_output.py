"""What a command prints when it fails: sentences for people, or with `--json` a value for programs.

Sentences go to standard error. With `--json` standard output is one JSON document whatever
happens, so a failure is one too: {"error": {"status": 2, "problems": [{"what": …}]}}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import typer

from uno.cli.output.wrapping import to_standard_error
from uno.diagnostics import Position, Problem, Rejected, UnoError

# A group of commands without arguments: the message of this error is the help.
_ONLY_HELP = "NoArgsIsHelpError"
_USAGE_STATUS = 2
_SIMILAR = re.compile(
    r"\.?\s+(Did you mean(?: one of)?:?|\(Possible options:) (?P<names>[^?)]*)[?)]"
)

# Options of earlier versions, and what to do about them.
_RETIRED = {
    f"--{switch}-dds-security": "leave it out: uno signs and seals all messages itself"
    for switch in ("enable", "disable")
}
_NOT_WHOLE = re.compile(r"is not a valid int(eger)?( range)?\b")
# Every option that takes a float takes seconds.
_NOT_SECONDS = re.compile(r"is not a valid float( range)?\b")


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the arguments, not parsed yet, ask for JSON."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(it == "--json" or re.fullmatch(r"-[A-Za-z]*J", it) for it in options)


def print_error(error: UnoError, *, as_json: bool) -> None:
    """Print what failed."""
    if as_json:
        problems = [_as_value(it) for it in _problems(error)]
        document = {"error": {"status": error.exit_status, "problems": problems}}
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for problem in _problems(error):
        to_standard_error(f"uno: {problem}")


def print_usage_error(error: typer.TyperException, *, as_json: bool) -> int:
    """Print why the arguments of a command are invalid; return the exit status."""
    context = getattr(error, "ctx", None)
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == _ONLY_HELP:
        print(text)
        return _USAGE_STATUS
    command = context.command_path if context else "uno"
    what, hint = _sentence(text)
    print_error(Rejected(Problem(what=what, hint=hint or f"see {command} --help")), as_json=as_json)
    return _USAGE_STATUS


def _sentence(text: str) -> tuple[str, str]:
    """Return typer's message in the style of uno's, lower case without full stop, and its hint."""
    line = _NOT_WHOLE.sub("is not a whole number", " ".join(text.split()))
    line = _NOT_SECONDS.sub("is not a number of seconds", line)
    similar = _SIMILAR.search(line)
    what = (line[: similar.start()] if similar else line).rstrip(".")
    names = similar["names"].replace("'", "") if similar else ""
    hint = _RETIRED.get(what.rpartition(" ")[2], f"did you mean {names}?" if similar else "")
    return what[:1].lower() + what[1:], hint


def _problems(error: UnoError) -> tuple[Problem, ...]:
    if isinstance(error, Rejected):
        return error.problems
    return (Problem(what=error.what, hint=error.hint),)


def _as_value(problem: Problem) -> dict[str, Any]:
    """Return a problem with what it has; what it has not is left out."""
    value: dict[str, Any] = {"severity": problem.severity.value, "what": problem.what}
    if problem.hint:
        value["hint"] = problem.hint
    if problem.option:
        value["option"] = problem.option
    if problem.where:
        value["where"] = _place(problem.where)
    if problem.also:
        value["also"] = [_place(it) for it in problem.also]
    return value


def _place(position: Position) -> dict[str, Any]:
    return {"file": position.file, "line": position.line, "column": position.column}
