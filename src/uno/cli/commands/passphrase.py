"""Commands: `uno passphrase set|change|remove`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input import passphrase_source
from uno.cli.input.options import Asking, Common, takes_groups
from uno.diagnostics import InvalidInput

if TYPE_CHECKING:
    from uno.registry.store.directory import Registry


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    group = typer.Typer(
        help="The passphrase that encrypts the registry's secrets.", no_args_is_help=True
    )
    for name, command in (("set", set_), ("change", change), ("remove", remove)):
        group.command(name)(takes_groups(command))
    app.add_typer(group, name="passphrase")


def set_(common: Common) -> None:
    """Encrypt the registry's secrets with a passphrase."""
    _require(common, sealed=False)
    _seal(common, passphrase_source.new(common.passphrase_file, of="the registry"))


def change(
    common: Common,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file",
            metavar="FILE",
            help="File with the new passphrase on its first line.",
        ),
    ] = None,
) -> None:
    """Encrypt the registry's secrets with another passphrase."""
    _require(common, sealed=True)
    chosen = passphrase_source.new(
        new_passphrase_file, of="the registry", option="--new-passphrase-file", ask_only=True
    )
    _seal(common, chosen)


def remove(common: Asking) -> None:
    """Store the registry's secrets in clear text from now on."""
    _require(common, sealed=True)
    common.confirm(
        "Every reader of the registry's directory can then impersonate any cell. Continue?"
    )
    _seal(common, None)


def _require(common: Common, *, sealed: bool) -> None:
    """Raise `UnoError` unless the registry is sealed, or is not; ask for its passphrase if it is.

    Called before any other prompt, and before the registry is locked.
    """
    from uno.registry.changes import operations

    common.start()
    with operations.opened(common.root) as registry:
        _require_state(registry, sealed=sealed)
        registry.store.secret_table.open()


def _require_state(registry: Registry, *, sealed: bool) -> None:
    if registry.store.secret_table.is_sealed == sealed:
        return
    what, hint = (
        ("has no passphrase", "set one with: uno passphrase set")
        if sealed
        else ("has a passphrase already", "change it with: uno passphrase change")
    )
    raise InvalidInput(f"the registry {what}", hint)


def _seal(common: Common, passphrase: str | None) -> None:
    from uno.cli.output import printing
    from uno.registry.changes import operations
    from uno.registry.store import directory

    with operations.opened(common.root, for_change=True) as registry:
        was_sealed = registry.store.secret_table.is_sealed
        with registry.store.transaction():
            registry.store.secret_table.seal(passphrase)
        copies = directory.older_copies(registry.layout)
    if common.verbosity < 0:
        return
    if passphrase is None:
        printing.result("The registry's secrets are in clear text.")
        return
    printing.result("The registry's secrets are encrypted with the new passphrase.")
    printing.result("Packages hold keys in clear text: keep this directory private.")
    if copies and not was_sealed:
        names = " ".join(map(str, copies))
        printing.result(f"So does the copy from before the upgrade; delete it: rm {names}")
