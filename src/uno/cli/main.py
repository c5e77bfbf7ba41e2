"""The entry point: builds the command tree, and turns every error into one clear message."""

from __future__ import annotations

import os
import sys

import typer

from uno.cli import define, install, lab, registry, service, show
from uno.diagnostics import UnoError

app = typer.Typer(
    name="uno",
    help="Join LANs over the public Internet into one routing domain.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (define, registry, show, install, service, lab):
    module.register(app)


def main() -> None:
    """Run `uno`; exit 0 when done, 1 when something failed, 2 when the input was refused."""
    try:
        app()
    except UnoError as error:
        if os.environ.get("UNO_DEBUG"):
            raise
        for line in str(error).splitlines():
            print(f"uno: {line}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("uno: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
