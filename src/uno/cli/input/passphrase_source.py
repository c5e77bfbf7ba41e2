"""Where a passphrase comes from: `--passphrase-file`, UNO_PASSPHRASE, or a prompt on the terminal.

There is no option that takes the passphrase itself, since others see it in the process list. The
variable is removed from the environment before anything else happens, so that no program inherits
it.
"""

# ruff: noqa: PLC0415 - every command starts here, and most need no passphrase

from __future__ import annotations

import getpass
import os
import sys
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING

from uno import files
from uno.diagnostics import ActionNeeded, InvalidInput
from uno.registry.store.passphrase_cache import PassphraseCache, passphrases

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "UNO_PASSPHRASE"
_OPTION = "--passphrase-file"
_LIMIT = 4096

# What the variable held when the command began, None where it was not set.
_variable: ContextVar[str | None] = ContextVar("variable", default=None)


def take_from_environment() -> None:
    """Remove the variable from the environment of this process, and keep its value."""
    if VARIABLE in os.environ:
        _erase(VARIABLE)
    _variable.set(os.environ.pop(VARIABLE, None))


def use(file: Path | None) -> None:
    """Make this module the source of passphrases for the registries that this command opens."""
    passphrases.set(PassphraseCache(partial(current, file)))


def given(file: Path | None) -> str | None:
    """Return the passphrase that a file or the variable gives, or None."""
    if file is not None:
        return _from_file(file, f"{_OPTION} {file}")
    named = _variable.get()
    if named == "":
        raise InvalidInput(
            f"{VARIABLE} is empty",
            "set it to the passphrase, or unset it",
        )
    return named


def current(file: Path | None, *, of: str = "the registry") -> str:
    """Return the passphrase of an encrypted registry or backup. Raises `UnoError` without one."""
    found = given(file)
    if found is not None:
        return found
    if not _has_terminal():
        raise InvalidInput(
            f"{of} is encrypted with a passphrase",
            f"set {VARIABLE}, or add {_OPTION} FILE",
        )
    return getpass.getpass(f"Passphrase of {of}: ")


def new(file: Path | None, *, of: str, option: str = _OPTION, ask_only: bool = False) -> str:
    """Return a passphrase to seal `of` with; on a terminal it is typed twice.

    With `ask_only` the variable is ignored, because it holds another passphrase. Raises
    `UnoError` if there is none, or it is too short.
    """
    from uno.registry.store import key_wrapping

    if file is not None:
        found: str | None = _from_file(file, f"{option} {file}")
    else:
        found = None if ask_only else given(None)
    if found is not None:
        key_wrapping.refuse_weak(found, f"{option} {file}" if file else VARIABLE)
        return found
    if not _has_terminal():
        either = "" if ask_only else f"set {VARIABLE}, or "
        raise InvalidInput(f"{of} needs a passphrase", f"{either}add {option} FILE")
    typed = getpass.getpass(f"New passphrase of {of}: ")
    key_wrapping.refuse_weak(typed, "the passphrase")
    if getpass.getpass("Once more: ") != typed:
        raise ActionNeeded("the two passphrases differ", "try again; nothing was changed")
    return typed


def for_new_registry(file: Path | None) -> str | None:
    """Return the passphrase to seal a new registry with, or None if none is given."""
    return None if given(file) is None else new(file, of="the registry")


def _erase(name: str) -> None:
    """Overwrite the value of a variable in memory, which /proc/PID/environ shows (proc(5))."""
    import ctypes

    getenv = ctypes.CDLL(None).getenv
    getenv.argtypes, getenv.restype = [ctypes.c_char_p], ctypes.c_void_p
    if value := getenv(name.encode()):
        ctypes.memset(value, 0, len(ctypes.string_at(value)))


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _from_file(file: Path, source: str) -> str:
    content = files.read(file, limit=_LIMIT)
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{source} is not UTF-8 text", "write it as text") from error
    if not lines or not lines[0]:
        raise InvalidInput(
            f"{source} is empty",
            "write the passphrase on its first line",
        )
    return lines[0]
