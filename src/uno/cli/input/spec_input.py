"""A specification from the command line: a file, YAML or JSON, and the options that win over it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import fields, replace
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from uno import files, spec
from uno.cli.input import setting_options
from uno.diagnostics import InvalidInput, Problem, Rejected
from uno.model.checks.finding import Path as Place
from uno.model.key_ids import Secret
from uno.model.syntax import Mailbox, mailbox
from uno.registry.changes import edits
from uno.registry.changes.edits import Edited
from uno.registry.store import password_hashes
from uno.spec.written_values import (
    DeploymentSpec,
    NotifySpec,
    SettingsSpec,
    Spec,
    UserSpec,
    VpnSpec,
)

if TYPE_CHECKING:
    from uno.cli.input.options import DeploymentOptions, UvnOptions

# A definition of thousands of cells is well below this; a file that is larger is something else.
_LIMIT = 16 << 20
_INLINE = "-s"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionOverrides:
    """Options beside a specification. `password` is plain, and the owner's."""

    options: UvnOptions
    deployment: DeploymentOptions
    seed: int
    password: str | None = field(default=None, repr=False)


def read(
    given: str, overrides: OptionOverrides, *, name: str, identity: str
) -> tuple[Edited, tuple[str, ...]]:
    """Return the definition that `given` is or names, and notes on overridden values.

    Raises `Rejected` with every problem of the text and the definition.
    """
    text, file = source(given)
    chosen = _of_options(overrides)
    written = Spec()
    if chosen != Spec() or overrides.password:
        written = spec.parse(text, file=file).spec
        chosen = replace(chosen, users=_owner(written, overrides))
    uvn, warnings = spec.load(
        text,
        file=file,
        name=name,
        identity=identity,
        hash_password=password_hashes.hashed,
        options=chosen,
    )
    return Edited(uvn=uvn, problems=warnings), _conflicts(written, chosen)


def source(given: str) -> tuple[str, str]:
    """Return the text that `given` is or names, and what to call it; `-` is standard input."""
    if given == "-":
        return sys.stdin.read(_LIMIT), "<stdin>"
    is_inline = "\n" in given or ": " in given or given.lstrip().startswith(("{", "["))
    if is_inline and not ("\n" not in given and Path(given[:255]).is_file()):
        return given, _INLINE
    content = files.read(Path(given), limit=_LIMIT)
    try:
        return content.decode(), given
    except UnicodeDecodeError as error:
        hint = "is it the right file?"
        raise InvalidInput(f"{given} is not UTF-8 text", hint) from error


def arguments(given: str) -> Mapping[str, Any]:
    """Return the arguments of a strategy: a mapping in YAML or JSON, or in a file."""
    text, file = source(given)
    shown = given if file == _INLINE else file
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError) as error:
        raise Rejected(Problem(what=f"{shown:.60} is not YAML", option="-D")) from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Rejected(
            Problem(
                what=f"{shown:.60} is not a mapping with names for keys",
                hint="for static, write CELL: [PEER, …]",
                option="-D",
            )
        )
    return found


def _of_options(overrides: OptionOverrides) -> Spec:
    problems: list[Problem] = []
    chosen: dict[Place, Any] = {}
    for setting in setting_options.of_uvn(overrides.options):
        chosen[setting.path], problem = edits.read_value(setting)
        problems += [problem] if problem else []
    if problems:
        raise Rejected(*problems)
    owner = mailbox(overrides.options.owner) if overrides.options.owner else None
    return Spec(
        owner=owner,
        address=chosen.get(("address",)),
        settings=_settings(chosen, overrides),
    )


def _settings(chosen: Mapping[Place, Any], overrides: OptionOverrides) -> SettingsSpec | None:
    deployment, args = overrides.deployment, overrides.deployment.strategy_args
    values = {str(path[1]): value for path, value in chosen.items() if len(path) == 2}
    groups: dict[str, dict[str, Any]] = {}
    for path, value in chosen.items():
        if len(path) == 3:
            groups.setdefault(str(path[1]), {})[str(path[2])] = value
    notify = groups.pop("notify", None)
    values |= {vpn: VpnSpec(**keys) for vpn, keys in groups.items()}
    if notify is not None:
        values["notify"] = NotifySpec(**notify)
    laid_out = DeploymentSpec(
        strategy=deployment.strategy,
        strategy_args=None if args is None else dict(arguments(args)),
        private_uplinks=deployment.private_uplinks,
        seed=None if deployment.strategy is None else overrides.seed,
    )
    if laid_out != DeploymentSpec():
        values["deployment"] = laid_out
    return SettingsSpec(**values) if values else None


def _owner(written: Spec, overrides: OptionOverrides) -> tuple[UserSpec, ...] | None:
    """Return the owner that the options -o and -p give."""
    named = mailbox(overrides.options.owner) if overrides.options.owner else None
    email = named.email if named else written.owner.email if written.owner else None
    if email is None or (named is None and overrides.password is None):
        return None
    password = Secret(overrides.password) if overrides.password else None
    return (UserSpec(email=email, name=named.name if named else None, password=password),)


def _conflicts(written: Spec, overrides: Spec) -> tuple[str, ...]:
    """Return a note for each option that overrides a value of the specification."""
    values = dict(_leaves(written))
    return tuple(
        f"{'.'.join(path)} is {_shown(value)} by option, not {_shown(values[path])} as in the"
        " specification"
        for path, value in _leaves(overrides)
        if path in values and values[path] != value
    )


def _leaves(value: Struct, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for each in fields(value):
        found = getattr(value, each.name)
        path = (*above, each.name)
        if isinstance(found, Struct) and not isinstance(found, Mailbox | Secret):
            yield from _leaves(found, path)
        elif found is not None and each.name not in {"users", "cells", "particles", "seed"}:
            yield path, found


def _shown(value: object) -> str:
    return value.email if isinstance(value, Mailbox) else str(value)
