"""The entry point: builds the command tree, and prints every error as one message."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from copy import copy
from functools import cache
from types import TracebackType
from typing import Annotated, cast

import typer
from typer.core import TyperGroup

from uno import __version__
from uno.cli.commands import (
    backup_restore,
    ban_delete,
    browse_history,
    config,
    define,
    doctor,
    explain,
    install,
    notify,
    passphrase,
    plan_apply,
    print_guide,
    redeploy,
    rekey,
    run_agent,
    run_lab,
    run_sync,
    serve_web,
    service_up_down,
    show,
    update,
    verify,
    watch_status,
)
from uno.cli.input import passphrase_source
from uno.cli.output import error_output
from uno.diagnostics import ActionNeeded, UnoError

# 128 and the number of SIGINT, as a shell reports it.
_INTERRUPTED = 130

app = typer.Typer(
    name="uno",
    help="Join LANs over the public Internet into one routing domain.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    define,
    config,
    ban_delete,
    rekey,
    redeploy,
    plan_apply,
    verify,
    browse_history,
    show,
    backup_restore,
    passphrase,
    print_guide,
    install,
    update,
    service_up_down,
    run_agent,
    watch_status,
    doctor,
    explain,
    notify,
    serve_web,
    run_sync,
    run_lab,
):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
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
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    as_json = error_output.wants_json(words)
    sys.excepthook = _unforeseen
    try:
        # Not standalone: there typer prints errors itself, in frames.
        command = _command(next((each for each in words if not each.startswith("-")), ""))
        code = command.main(list(words), prog_name="uno", standalone_mode=False, obj=words)
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


@cache
def _command(first: str) -> TyperGroup:
    """Return `uno` with its command `first` alone, or with all where there is none of that name.

    To build all of them takes a quarter of the time of a short command.
    """
    chosen = copy(app)
    chosen.registered_groups = [each for each in app.registered_groups if each.name == first]
    chosen.registered_commands = [each for each in app.registered_commands if each.name == first]
    is_known = bool(chosen.registered_groups or chosen.registered_commands)
    return cast(TyperGroup, typer.main.get_command(chosen if is_known else app))


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
