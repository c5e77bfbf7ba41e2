"""Commands: `uno backup` and `uno restore`."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uno.cli.input import passphrase_source
from uno.cli.input.options import Asking, Common, takes_groups
from uno.diagnostics import InvalidInput, UnoError


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (backup, restore):
        app.command(command.__name__)(takes_groups(command))


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    common: Asking,
) -> None:
    """Write the whole registry to one file, encrypted."""
    from datetime import UTC, datetime

    from uno.cli.output import printing
    from uno.registry.changes import operations
    from uno.registry.store import backup

    common.start()
    with operations.opened(common.root) as registry:
        _refuse_own_file(file, registry.layout.root)
        if file.exists():
            common.confirm(f"{file} exists. Replace it?")
        passphrase = passphrase_source.new(common.passphrase_file, of="the backup")
        # cli reads the clock; the packages below take the time as a parameter.
        now = datetime.now(UTC)  # noqa: TID251
        made = backup.write(registry, file, passphrase=passphrase, now=now)
    if common.verbosity >= 0:
        size = printing.count(file.stat().st_size // 1024 + 1, "KiB").removesuffix("s")
        printing.result(
            f"Backed up UVN {made.uvn}, generation {made.generation}, to {file}: {size}."
        )
        printing.result("It cannot be restored without its passphrase.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `uno backup` wrote.")],
    common: Common,
    generation: Annotated[
        int | None,
        typer.Option(
            "--generation",
            metavar="N",
            help="The number of the next generation, one that no cell has seen yet.",
            show_default="1000 after the last",
        ),
    ] = None,
) -> None:
    """Restore a registry from a backup into an empty directory.

    Its packages are written again.
    """
    from functools import partial

    from uno.cli.output import printing
    from uno.registry.store import backup

    common.start()
    made = backup.restore(
        file,
        common.root,
        ask=partial(passphrase_source.current, common.passphrase_file, of="the backup"),
        generation=generation,
    )
    written = _publish(common)
    if common.verbosity < 0:
        return
    manifest = made.manifest
    printing.result(
        f"Restored UVN {manifest.uvn}, generation {manifest.generation},"
        f" as it was at {manifest.made}."
    )
    printing.result(written)
    printing.result(
        f"The next generation is {made.next_generation}, higher than any that a cell can have."
        "\nIf the network was changed after this backup, continue with:"
        "\n  uno redeploy\n  uno sync"
        "\nA cell that stays without contact has newer keys. There:"
        "\n  uno install PACKAGE -r DIR --keep"
    )


def _publish(common: Common) -> str:
    """Write the packages of cells and particles; return a sentence about it."""
    from uno.cli.output import printing
    from uno.registry.changes import operations
    from uno.registry.publish import package_files

    try:
        with operations.opened(common.root, for_change=True) as registry:
            package_files.publish(registry, all_packages=True)
            cells = len(list(registry.layout.cells.iterdir()))
            particles = len(list(registry.layout.particles.iterdir()))
    except UnoError as error:
        return f"Its packages are not written yet: {error}.\nThen: uno packages"
    return (
        f"{printing.count(cells, 'cell package')} and"
        f" {printing.count(particles, 'particle package')}"
        f" written to {common.root}"
    )


def _refuse_own_file(file: Path, root: Path) -> None:
    """Refuse to put the backup where it is lost together with the registry, or overwrites it."""
    if file.is_dir():
        raise InvalidInput(f"{file} is a directory", "name a file")
    if file.absolute().parent.resolve().is_relative_to(root.resolve()):
        raise InvalidInput(
            f"{file} is within the registry that it is a backup of",
            "name a file elsewhere, best on another disk",
        )
