"""Commands: `uno service install` and `remove`, the units that systemd starts at boot."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uno import program
from uno.cli.input.log_options import LogOptions, Quiet, Verbose
from uno.cli.input.options import Answers
from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from uno.model.package import Package

Root = Annotated[Path, typer.Option("-r", "--root", help="The cell's or the registry's directory.")]

# Where Python and uno are.
_PROGRAM_PATHS = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """A unit to be put in place: its file's name and content."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOptions:
    """What the unit does, and when it starts."""

    agent: Annotated[
        bool, typer.Option("-a", "--agent", help="Run the agent; without, connect at boot only.")
    ] = False
    boot: Annotated[bool, typer.Option("-b", "--boot", help="Start it at every boot.")] = False
    start: Annotated[bool, typer.Option("-s", "--start", help="Start it now.")] = False
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="File with the registry's passphrase, for its agent.",
        ),
    ] = None


def install(
    options: UnitOptions,
    answers: Answers,
    *,
    root: Root = Path(),
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Install a systemd unit, and optionally start it.

    It is uvn-agent for a cell, and uvn-registry for the registry's agent. A network that is up
    stays up. Before it replaces the unit of another directory, it asks.
    """
    from uno.host import systemd

    LogOptions(verbose=verbose, quiet=quiet).start()
    answers.refuse_both()
    _require_root()
    if (root / "registry.db").exists():
        unit = _of_registry(root.resolve(), options.passphrase_file)
    else:
        unit = _of_cell(root.resolve(), agent=options.agent)
    if (other := systemd.other_owner(root.resolve(), unit=unit.name)) is not None:
        answers.confirm(f"{unit.name} is for {other}. Replace it?")
        systemd.remove(other, unit=unit.name)
    changed = systemd.install(unit.text, root.resolve(), unit=unit.name)
    if options.boot:
        systemd.switch("enable", unit=unit.name)
    if options.start:
        systemd.start(unit.text, changed=changed, unit=unit.name)
    if not quiet:
        done = "is in place" if changed else "was in place already"
        print(f"{unit.name} {done}; its log: journalctl -xeu {Path(unit.name).stem}")


def enable(
    answers: Answers, *, root: Root = Path(), verbose: Verbose = 0, quiet: Quiet = False
) -> None:
    """Connect this host to the UVN now and at every boot.

    As `uno service install -b -s`, with the agent (`-a`) where its middleware is installed.
    """
    from uno.cli import middleware

    LogOptions(verbose=verbose, quiet=quiet).start()
    has_agent = not (root / "registry.db").exists()
    agent = has_agent and middleware.is_installed(_package(root).plan.bus.middleware)
    options = UnitOptions(agent=agent, boot=True, start=True)
    install(options, answers, root=root, verbose=verbose, quiet=quiet)


def remove(root: Root = Path(), verbose: Verbose = 0, quiet: Quiet = False) -> None:
    """Remove the systemd unit; disconnect the host of a cell.

    It disconnects as `uno service down` does.
    """
    from uno.host import systemd

    LogOptions(verbose=verbose, quiet=quiet).start()
    _require_root()
    of_registry = (root / "registry.db").exists()
    unit = systemd.REGISTRY_UNIT if of_registry else systemd.UNIT
    removed = systemd.remove(root.resolve(), unit=unit)
    if removed and not of_registry:
        # An agent that ends leaves the network up.
        _disconnect(root, quiet=quiet)
    if not quiet:
        done = "is removed" if removed else "was not there"
        print(f"{unit} {done}")


def _of_cell(root: Path, *, agent: bool) -> _Unit:
    from uno.agent.commit.package_checks import require_keys
    from uno.cli import middleware
    from uno.host import systemd

    package = _package(root)
    name = f"cell {package.manifest.cell_name} of {package.manifest.uvn}"
    if not agent:
        text = systemd.unit(root, program=program.argv(), name=name, reads=_PROGRAM_PATHS)
        return _Unit(name=systemd.UNIT, text=text)
    require_keys(package)
    if not middleware.is_installed(package.plan.bus.middleware):
        raise ActionNeeded(
            f"the agent needs {package.plan.bus.middleware} DDS, which is not installed",
            "see docs/how-to/middleware.md; without -a the host is connected without an agent",
        )
    text = systemd.agent_unit(root, program=program.argv(), name=name, reads=_PROGRAM_PATHS)
    return _Unit(name=systemd.UNIT, text=text)


def _of_registry(root: Path, passphrase_file: Path | None) -> _Unit:
    from uno.host import systemd
    from uno.registry.changes import operations

    with operations.opened(root) as registry:
        uvn = registry.store.head().uvn.name
        sealed = registry.store.secret_table.is_sealed
    if sealed and passphrase_file is None:
        raise ActionNeeded(
            "the registry is encrypted with a passphrase, which cannot be typed at boot",
            "write it to a file that only root can read, and add --passphrase-file FILE;"
            " or start the agent yourself: uno agent",
        )
    options = ("--passphrase-file", str(passphrase_file.resolve())) if passphrase_file else ()
    text = systemd.agent_unit(
        root,
        program=program.argv(),
        name=f"the registry of {uvn}",
        options=options,
        reads=(*_PROGRAM_PATHS, *map(Path, options[1:])),
        of_cell=False,
    )
    return _Unit(name=systemd.REGISTRY_UNIT, text=text)


def _disconnect(root: Path, *, quiet: bool) -> None:
    from uno.agent.commit.ledger import Ledger
    from uno.cli import disconnection
    from uno.host.linux import LinuxHost

    package = Ledger(root).current()
    if package is not None:
        host = LinuxHost(package.manifest.identity, package.manifest.cell, directory=root)
        disconnection.disconnect(host, forget=False, progress=lambda _: None, quiet=quiet)


def _package(root: Path) -> Package:
    from uno.agent.commit.ledger import Ledger

    package = Ledger(root).current()
    if package is None:
        raise ActionNeeded(
            f"there is neither a cell nor a registry in {root.absolute()}",
            "install its package first: uno install PACKAGE -r DIR",
        )
    return package


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ActionNeeded("this needs root: it changes the host's services", "run it with sudo")
