"""The entry point: builds the command tree, and prints every error as one message."""

from __future__ import annotations

import inspect
import io
import os
import resource
import sys
from collections.abc import Iterable, Sequence
from copy import copy
from functools import cache
from importlib import import_module
from types import TracebackType
from typing import Annotated, cast

import typer
from typer.core import TyperGroup

from uno import __version__
from uno.cli.input import passphrase_source
from uno.cli.output import error_output
from uno.diagnostics import ActionNeeded, UnoError

# 128 and the number of SIGINT, as a shell reports it.
_INTERRUPTED = 130

# Files that a process of uno may have open: a registry has a connection with each cell.
_OPEN_FILES = 4096

# The variable that a shell sets to have a word completed (typer.completion).
_COMPLETING = "_UNO_COMPLETE"

# The modules of `uno.cli.commands` with their commands, in the order of `uno --help`. A command
# imports its own module alone.
MODULES = {
    "define": ("define",),
    "config": ("config",),
    "ban_delete": ("ban", "unban", "delete"),
    "rekey": ("rekey",),
    "redeploy": ("redeploy", "packages"),
    "plan_apply": ("plan", "apply", "export", "schema"),
    "verify": ("verify",),
    "browse_history": ("history", "log", "diff", "rollback"),
    "show": ("list", "show"),
    "backup_restore": ("backup", "restore"),
    "passphrase": ("passphrase",),
    "print_guide": ("guide",),
    "install": ("install",),
    "cell_group": ("cell",),
    "update": ("update",),
    "service_up_down": ("service",),
    "run_agent": ("agent",),
    "watch_status": ("status",),
    "doctor": ("doctor",),
    "explain": ("explain",),
    "notify": ("notify",),
    "serve_web": ("web",),
    "run_sync": ("sync",),
    "run_lab": ("lab",),
}


def _app_of(modules: Iterable[str]) -> typer.Typer:
    """Return `uno` with the commands of these modules."""
    app = typer.Typer(
        name="uno",
        help="Join LANs over the public Internet into one routing domain.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_uno)
    for module in modules:
        import_module(f"uno.cli.commands.{module}").register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _uno(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    return


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `uno`; exit 0 when done, 1 when something failed, 2 when a person must act."""
    passphrase_source.take_from_environment()
    _print_in_any_locale()
    _permit_open_files()
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    as_json = error_output.wants_json(words)
    sys.excepthook = _unforeseen
    try:
        # Not standalone: there typer prints errors itself, in frames.
        command = _command(next((each for each in words if not each.startswith("-")), ""))
        code = command.main(list(words), prog_name="uno", standalone_mode=False, obj=words)
        # Here, where a reader that has left is no failure.
        sys.stdout.flush()
    except typer.TyperException as error:
        sys.exit(error_output.print_usage_error(error, as_json=as_json))
    except UnoError as error:
        if _wants_tracebacks():
            raise
        error_output.print_error(error, as_json=as_json)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        # The reader of the output has closed it (`uno list cells | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if _wants_tracebacks():
            raise
        place = f"{error.filename}: " if error.filename else ""
        failure = ActionNeeded(f"{place}{error.strerror or error}")
        error_output.print_error(failure, as_json=as_json)
        sys.exit(failure.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        print("uno: interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _permit_open_files() -> None:
    """Raise a lower limit on open files, as far as this process may (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= _OPEN_FILES or soft == resource.RLIM_INFINITY:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, max(hard, _OPEN_FILES)))
    except (OSError, ValueError):
        # Without CAP_SYS_RESOURCE up to the hard limit alone.
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _OPEN_FILES), hard))


def whole() -> TyperGroup:
    """Return `uno` with all its commands and their options."""
    return _tree(_app_of(MODULES))


@cache
def _command(first: str) -> TyperGroup:
    """Return `uno` with its command `first` alone, or where there is none of that name with all.

    To import and build all of them takes longer than a short command.
    """
    own = next((module for module, names in MODULES.items() if first in names), None)
    if own is None:
        return whole() if os.environ.get(_COMPLETING) else _tree(_without_options(_app_of(MODULES)))
    app = _app_of([own])
    app.registered_groups = [each for each in app.registered_groups if each.name == first]
    app.registered_commands = [each for each in app.registered_commands if each.name == first]
    return _tree(app)


def _without_options(app: typer.Typer) -> typer.Typer:
    """Return `app` with what a list of its commands shows, their names and help."""
    listed = copy(app)
    listed.registered_commands = [copy(each) for each in app.registered_commands]
    for command in listed.registered_commands:
        command.help = command.help or inspect.getdoc(command.callback)
        command.callback = _nothing
    listed.registered_groups = [copy(each) for each in app.registered_groups]
    for group in listed.registered_groups:
        inside = copy(group.typer_instance)
        assert inside is not None
        inside.registered_commands, inside.registered_groups = [], []
        group.typer_instance = inside
    return listed


def _nothing() -> None:
    return


def _tree(app: typer.Typer) -> TyperGroup:
    return cast(TyperGroup, typer.main.get_command(app))


def _print_in_any_locale() -> None:
    """Have standard output print `?` for a character that the locale's encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _unforeseen(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if _wants_tracebacks():
        sys.__excepthook__(kind, error, traceback)
        return
    print(
        f"uno: this should not happen: {kind.__name__}: {error}\n"
        "uno: please report it, with what UNO_DEBUG=1 prints before it",
        file=sys.stderr,
    )


def _wants_tracebacks() -> bool:
    return bool(os.environ.get("UNO_DEBUG"))


if __name__ == "__main__":
    main()
