"""The definition that a command gets from a specification, options and prompts."""

from __future__ import annotations

import getpass
import secrets
import sys
from typing import TYPE_CHECKING

from uno import files
from uno.cli.input import registry_change, setting_options, spec_input
from uno.cli.input.options import DeploymentOptions
from uno.diagnostics import ActionNeeded, InvalidInput, Problem, Rejected, refuse_errors
from uno.model.syntax import Mailbox, email_fault, mailbox
from uno.model.uvn import Uvn
from uno.registry.changes import edits
from uno.registry.changes.edits import Edited
from uno.registry.store import password_hashes

if TYPE_CHECKING:
    from uno.cli.input.options import (
        AskingChange,
        Changing,
        PasswordOptions,
        UvnOptions,
    )

_PASSWORD_LIMIT = 4096


def read(
    name: str,
    spec: str | None,
    *,
    options: UvnOptions,
    password: PasswordOptions,
    deployment: DeploymentOptions,
) -> tuple[Edited, tuple[str, ...]]:
    """Return the definition of the UVN `name`, and notes on overridden values.

    Options win over the specification. Raises `Rejected` if the specification cannot be read.
    """
    identity = secrets.token_hex(16)
    if spec is not None:
        given = password_of(password, whose="the owner") if is_given(password) else None
        overrides = spec_input.OptionOverrides(
            options=options, deployment=deployment, seed=_seed(), password=given
        )
        return spec_input.read(spec, overrides, name=name, identity=identity)
    if options.owner is None or not options.owner.strip():
        raise Rejected(
            Problem(
                what="a UVN has an owner",
                hint="add -o 'NAME <EMAIL>', or a specification with -s",
                option="-o",
            )
        )
    hashed = password_hashes.hashed(password_of(password, whose="the owner"))
    blank = Uvn(name=name, identity=identity, owner="")
    owned = edits.set_owner(blank, options.owner, password=hashed)
    applied = edits.apply(owned.uvn, setting_options.of_uvn(options))
    chosen = laid_out(applied.uvn, deployment)
    return (
        Edited(
            uvn=chosen.uvn,
            options={("name",): "NAME", **owned.options, **applied.options, **chosen.options},
            problems=applied.problems,
        ),
        (),
    )


def laid_out(uvn: Uvn, deployment: DeploymentOptions, *, redraw: bool = False) -> Edited:
    """Return `uvn` with the strategy and arguments that were given, if any were.

    With `redraw` the random strategy draws again although nothing was given.
    """
    if deployment == DeploymentOptions() and not redraw:
        return Edited(uvn=uvn)
    args = deployment.strategy_args
    return edits.set_strategy(
        uvn,
        deployment.strategy,
        None if args is None else spec_input.arguments(args),
        seed=_seed(),
        private_uplinks=deployment.private_uplinks,
    )


def confirm_owner(common: AskingChange, owner: str | None) -> bool:
    """Return whether to add an unknown owner as a user; asks if the owner has a name."""
    if owner is None:
        return False
    someone = mailbox(owner)
    if someone.name is None or edits.is_user(registry_change.head(common).uvn, someone.email):
        return False
    common.confirm(f"{someone.email} is not a user yet. Add {someone.name}?")
    return True


def refuse_new_user(common: Changing, email: str) -> None:
    """Raise `Rejected` if no user `email` can be added, before the prompt for a password."""
    if fault := email_fault(email):
        raise Rejected(Problem(what=fault.what, hint=fault.hint, option="EMAIL"))
    uvn = registry_change.head(common).uvn
    refuse_errors(edits.add_user(uvn, Mailbox(email=email), password=None).problems)


def password_of(options: PasswordOptions, *, whose: str) -> str:
    """Return the password that was given, or ask for one on a terminal."""
    if options.password is not None and options.password_file is not None:
        raise InvalidInput("there are two passwords", "use either -p or --password-file")
    if options.password is not None:
        return _fit(options.password, "-p")
    if options.password_file is not None:
        content = files.read(options.password_file, limit=_PASSWORD_LIMIT)
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            lines = []
        return _fit(lines[0] if lines else "", f"--password-file {options.password_file}")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidInput(
            f"{whose} needs a password",
            "use --password-file FILE or -p PASSWORD",
        )
    first = getpass.getpass(f"Password of {whose}: ")
    if getpass.getpass("Once more: ") != first:
        raise ActionNeeded("the two passwords differ", "try again; nothing was changed")
    return _fit(first, "the password")


def hash_given(password: PasswordOptions) -> str | None:
    """Return the hash of the password that was given by an option, if one was."""
    return password_hashes.hashed(password_of(password, whose="")) if is_given(password) else None


def is_given(password: PasswordOptions) -> bool:
    """Whether a password was given by an option."""
    return password.password is not None or password.password_file is not None


def _seed() -> int:
    """Draw what the random strategy draws from."""
    return secrets.randbelow(2**32)


def _fit(password: str, source: str) -> str:
    if not password:
        raise InvalidInput(f"{source} is empty", "choose a password")
    return password
