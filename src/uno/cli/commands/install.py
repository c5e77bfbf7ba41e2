"""Command: `uno install`, which accepts a cell's package on its host."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from uno.agent.commit.ledger import AcceptedPackage, Ledger
    from uno.model.package import Manifest


cell = typer.Typer(help="Commands for the host of a cell.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to `app`: `uno install`, and the same as `uno cell install`."""
    cell.command("install")(install)
    app.command("install")(install)
    app.add_typer(cell, name="cell")


def install(
    package: Annotated[
        Path, typer.Argument(help="The cell's package, NAME.uvn-agent, copied from the registry.")
    ],
    root: Annotated[
        Path, typer.Option("-r", "--root", help="The cell's directory; made if it is missing.")
    ] = Path(),
    registry_key: Annotated[
        str | None,
        typer.Option(
            metavar="FINGERPRINT",
            help="Accept a package of this registry key only.",
        ),
    ] = None,
) -> None:
    """Install a cell's package on this host, or a newer one.

    The first package decides which registry this host trusts: compare its fingerprint with that of
    uno guide or uno show uvn, or give it with --registry-key. It starts nothing, and needs neither
    a LAN that is up nor root. A running agent switches to the package, and rolls back if the
    package disconnects it.
    """
    from uno import files  # noqa: PLC0415
    from uno.agent.commit.ledger import Ledger  # noqa: PLC0415
    from uno.render.package_file import PACKED_LIMIT, PackageRejected  # noqa: PLC0415

    content = files.read(package, limit=PACKED_LIMIT)
    ledger = Ledger(root)
    try:
        is_checked = registry_key is not None or _confirm_registry(ledger, content)
        accepted = ledger.accept(content, registry_key=registry_key)
    except PackageRejected as error:
        raise PackageRejected(f"{package}: {error.what}", error.hint) from error
    print(_summary(accepted, root, is_checked=is_checked))
    _warn_if_others_can_read(package)
    if (process := trigger_agent(accepted.package.manifest)) is not None:
        print(f"Its agent, process {process}, switches to it now.")
    else:
        print(f"Next: uno service up -r {shlex.quote(str(root))}")


def trigger_agent(manifest: Manifest) -> int | None:
    """Trigger a reconciliation of a cell's agent; return its process id, None if none runs."""
    from uno import control  # noqa: PLC0415
    from uno.agent import pidfile  # noqa: PLC0415

    process = pidfile.running(control.socket_path(manifest.identity, manifest.cell).parent)
    if process:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGHUP)
    return process


def _confirm_registry(ledger: Ledger, content: bytes) -> bool:
    """Ask whether to trust the registry of a first package; return whether a person has agreed.

    A later package is of a registry that this host trusts already. Without a terminal there is
    nobody to ask. Raises `UnoError` if the answer is no.
    """
    from uno.diagnostics import ActionNeeded  # noqa: PLC0415
    from uno.render.package_file import fingerprint, read_manifest  # noqa: PLC0415

    manifest = read_manifest(content)
    if ledger.current() is not None:
        return True
    if os.environ.get("CI") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = (
        f"The registry of UVN {manifest.uvn} has the key {fingerprint(manifest.registry_key)}.\n"
        "Do uno guide and uno show uvn print the same at the registry?"
    )
    if not typer.confirm(question, default=False, err=True):
        raise ActionNeeded("stopped", "nothing was changed")
    return True


def _summary(accepted: AcceptedPackage, root: Path, *, is_checked: bool) -> str:
    from uno.agent.commit.ledger import AcceptOutcome  # noqa: PLC0415
    from uno.render.package_file import fingerprint  # noqa: PLC0415

    manifest = accepted.package.manifest
    done = {
        AcceptOutcome.FIRST: "Installed",
        AcceptOutcome.NEWER: f"Updated from generation {accepted.replaced}",
        AcceptOutcome.SAME: "Already installed",
    }[accepted.outcome]
    unchecked = "; trusted on first use: compare it with uno show uvn at the registry"
    return (
        f"{done}: cell {manifest.cell_name} of UVN {manifest.uvn}, generation"
        f" {manifest.generation}, in {root}\n"
        f"Registry key: {fingerprint(manifest.registry_key)}{'' if is_checked else unchecked}"
    )


def _warn_if_others_can_read(package: Path) -> None:
    if stat.S_IMODE(package.stat().st_mode) & 0o077:
        print(
            f"uno: warning: {package} is readable by others and holds keys; delete it:"
            f" rm {shlex.quote(str(package))}",
            file=sys.stderr,
        )
