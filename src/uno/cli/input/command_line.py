"""The command as typed: for the history, without passwords and options of presentation."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from uno.diagnostics import Problem, Rejected

if TYPE_CHECKING:
    import typer

# Options of presentation and identity, which do not change what a command does.
_ASIDE = frozenset(
    {
        "root", "verbose", "quiet", "yes", "no", "dry_run", "message", "author", "json", "print",
        "query", "passphrase_file",
    }
)  # fmt: skip
_HIDDEN = frozenset({"password", "notify_to", "notify_heartbeat"})
# The history has a line for each generation, and not a page.
_LONGEST = 500


def typed(context: typer.Context) -> str:
    """Return the command as it could be typed again, without secrets and how it was run."""
    tokens = context.command_path.split()[1:]
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source and source.name == "COMMANDLINE" and parameter.name not in _ASIDE:
            tokens += _tokens(parameter, context.params[parameter.name or ""])
    text = " ".join(tokens)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def refuse_contradictions(context: typer.Context) -> None:
    """Raise `Rejected` if a switch was given both ways, as in `--enable-x --disable-x`."""
    words = frozenset(context.obj or ())
    if problems := [
        Problem(what=f"{on} and {off} contradict each other", hint="use one")
        for parameter in context.command.params
        for on in parameter.opts
        for off in parameter.secondary_opts
        if on in words and off in words
    ]:
        raise Rejected(*problems)


def _tokens(parameter: Any, value: Any) -> list[str]:
    given = value if isinstance(value, list | tuple) else [value]
    values = [_shown(parameter.name, str(each)) for each in given]
    if parameter.param_type_name == "argument":
        return values
    if isinstance(value, bool):
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    return [token for each in values for token in (parameter.opts[0], each)]


def _shown(name: str, value: str) -> str:
    # A specification that is not in a file is long, and may hold passwords.
    is_inline = name == "spec" and ("\n" in value or ":" in value)
    return "…" if name in _HIDDEN or is_inline else shlex.quote(value)
