"""Command: `uno install`, which accepts a cell's package on its host."""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input.log_options import LogOptions
from uno.cli.input.options import Answers, takes_groups
from uno.cli.output.wrapping import to_standard_error
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError
from uno.model.messages import Phase

if TYPE_CHECKING:
    from uno.agent.commit.commit_machine import InstallVerdict
    from uno.agent.commit.ledger import AcceptedPackage, Ledger
    from uno.model.package import Manifest


# Seconds between two looks for the verdict, and those after which the agent must have given it: it
# first ends what it does.
_POLL, _LONGEST_WAIT = 0.2, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """What follows where an agent runs, which has the package on trial."""

    keep: Annotated[
        bool,
        typer.Option(
            "--keep", "--force", help="Keep the package, whatever it disconnects the cell from."
        ),
    ] = False
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Wait for the agent to confirm it, or to roll back."),
    ] = True


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("install")(takes_groups(install))


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
    *,
    trial: TrialOptions,
    answers: Answers,
    log: LogOptions,
) -> None:
    """Install a cell's package on this host, or a newer one.

    The first package decides which registry this host trusts: compare its fingerprint with that of
    uno guide or uno show uvn, or give it with --registry-key. It starts nothing, and needs neither
    a LAN that is up nor root. A running agent switches to the package, and rolls back within a
    minute if it no longer reaches the registry and the neighbours that it reached before. Exit
    status 2 if it rolls back.
    """
    log.start()
    answers.refuse_both()
    trusted = registry_key, answers
    has_agent = accept(package, root, trusted=trusted, keep=trial.keep, wait=trial.wait)
    if not has_agent and log.verbosity >= 0:
        print(_next_steps(shlex.quote(str(root))))


def accept(
    package: Path,
    root: Path,
    *,
    trusted: tuple[str | None, Answers],
    keep: bool = False,
    wait: bool = True,
) -> bool:
    """Install a package; return whether an agent runs, which switches to it.

    `trusted` is the fingerprint of the registry's key if it is known, and who else knows it.
    Raises `UnoError` if it is refused, or with `wait` if the agent rolls back.
    """
    from uno import files  # noqa: PLC0415
    from uno.agent.commit.ledger import Ledger  # noqa: PLC0415
    from uno.render.package_file import (  # noqa: PLC0415
        PACKED_LIMIT,
        PackageRejected,
        read_manifest,
    )

    registry_key, answers = trusted
    content = files.read(package, limit=PACKED_LIMIT)
    ledger, install_id = Ledger(root), secrets.token_hex(8)
    try:
        is_checked = registry_key is not None or _confirm_registry(answers, ledger, content)
        _refuse_during_trial(ledger, read_manifest(content))
        accepted = ledger.accept(content, registry_key=registry_key, install=install_id, keep=keep)
    except PackageRejected as error:
        raise PackageRejected(f"{package}: {error.what}", error.hint) from error
    print(_summary(accepted, root, is_checked=is_checked), flush=True)
    _warn_if_others_can_read(package)
    manifest = accepted.package.manifest
    process = trigger_agent(manifest)
    if process is None:
        return False
    if wait:
        _await_verdict(ledger, manifest, install_id, package)
    else:
        print(f"Its agent, process {process}, puts it on trial now: see uno service status.")
    return True


def _next_steps(root: str) -> str:
    return (
        f"Next, for its agent now and at every boot: uno service install -r {root} -a -b -s\n"
        f"Without systemd: uno agent -r {root}; without an agent: uno service up -r {root}"
    )


def _refuse_during_trial(ledger: Ledger, manifest: Manifest) -> None:
    """Raise `TransientFailure` while the agent has another package on trial.

    A roll-back would return to the package on trial, which is not confirmed.
    """
    current = ledger.current()
    pending = ledger.cell_state().pending if current is not None else None
    if pending is None or manifest.generation == pending.generation or _agent(manifest) is None:
        return
    raise TransientFailure(
        f"the agent of this cell has generation {pending.generation} on trial, and nothing was"
        " changed",
        f"install this one when that is over: within {2 * pending.confirm_timeout:.0f} s",
    )


def _await_verdict(ledger: Ledger, manifest: Manifest, install: str, package: Path) -> None:
    """Wait until the agent has confirmed the package. Raises `UnoError` if it does not."""
    print("Its agent has it on trial; Ctrl-C ends the waiting alone.", flush=True)
    deadline = time.monotonic() + _LONGEST_WAIT
    while (verdict := ledger.persistent_state().verdict) is None or verdict.install != install:
        if _agent(manifest) is None:
            raise TransientFailure(
                f"the agent has ended before generation {manifest.generation} was confirmed",
                "start it again: it goes on where it ended",
            )
        if time.monotonic() > deadline:
            raise TransientFailure(
                f"the agent has not answered for {_LONGEST_WAIT:.0f} s", "see its log"
            )
        threading.Event().wait(_POLL)
    if verdict.phase is not Phase.CONFIRMED:
        raise _rolled_back(verdict, ledger.cell_state().running, package)
    print(f"Generation {verdict.generation} is confirmed.")


def _rolled_back(verdict: InstallVerdict, running: int, package: Path) -> UnoError:
    again = f"uno install {shlex.quote(str(package))} --keep"
    if verdict.phase is Phase.FAILED:
        return ActionNeeded(
            f"this host cannot run generation {verdict.generation}, and runs {running} as before:"
            f" {verdict.reason}",
            "mend that, and install it again",
        )
    return ActionNeeded(
        f"generation {verdict.generation} was rolled back, and {running} runs again:"
        f" {verdict.reason}",
        "if neighbours are to get their packages by hand as well, and this cell is to wait for"
        f" them: {again}",
    )


def trigger_agent(manifest: Manifest) -> int | None:
    """Trigger a reconciliation of a cell's agent; return its process id, None if none runs."""
    process = _agent(manifest)
    if process:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGHUP)
    return process


def _confirm_registry(answers: Answers, ledger: Ledger, content: bytes) -> bool:
    """Ask whether to trust the registry of a first package; return whether a person has agreed.

    A later package is of a registry that this host trusts already. Without a terminal there is
    nobody to ask. Raises `UnoError` if the answer is no.
    """
    from uno.render.package_file import fingerprint, read_manifest  # noqa: PLC0415

    manifest = read_manifest(content)
    if ledger.current() is not None:
        return True
    if not (answers.yes or answers.no or answers.can_ask):
        return False
    answers.confirm(
        f"The registry of UVN {manifest.uvn} has the key {fingerprint(manifest.registry_key)}.\n"
        "Do uno guide and uno show uvn print the same at the registry?"
    )
    return True


def _agent(manifest: Manifest) -> int | None:
    """Return the process id of a cell's agent, 0 if it is not known, None if none runs."""
    from uno import control  # noqa: PLC0415
    from uno.agent import pidfile  # noqa: PLC0415

    return pidfile.running(control.socket_path(manifest.identity, manifest.cell).parent)


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
        to_standard_error(
            f"uno: warning: {package} is readable by others and holds keys; delete it:"
            f" rm {shlex.quote(str(package))}"
        )
