"""Commands on a cell's host: `uno service up`, `down` and `status`."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from uno.cli.commands import service_units
from uno.cli.commands.install import trigger_agent
from uno.cli.input.log_options import LogOptions, Quiet, Verbose
from uno.cli.input.options import takes_answers, takes_groups
from uno.cli.output.wrapping import to_standard_error
from uno.diagnostics import ActionNeeded, InvalidInput, TransientFailure

if TYPE_CHECKING:
    from rich.console import Console

    from uno.agent.commit.ledger import Ledger
    from uno.agent.service import UnresolvedLink
    from uno.cli.output.json_documents import HostStatus
    from uno.diagnosis.service_status import ServiceStatus
    from uno.host.linux import LinuxHost
    from uno.model.package import Package
    from uno.model.status import UndonePackage
    from uno.ports.host import Action
    from uno.reconcile.forwarding_obstacles import Obstacle

Root = Annotated[Path, typer.Option("-r", "--root", help="The cell's directory.")]


class Part(StrEnum):
    """What `up` and `down` take up and down to, as in the seed: each includes those before it."""

    NET = "net"
    ROUTER = "router"
    AGENT = "agent"


# Seconds until an agent has ended.
_END_TIMEOUT = 30.0

# Seconds until names that could not be resolved are tried again.
RESOLVE_AGAIN = 2.0

# Seconds to wait for the neighbours' first handshakes.
NEIGHBOUR_WAIT = 10.0


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    service = typer.Typer(
        help="Connect this host to the UVN, at boot too, and disconnect it.",
        no_args_is_help=True,
    )
    service.command("up")(takes_answers(up))
    service.command("down")(takes_answers(down))
    service.command("status")(takes_answers(status))
    service.command("install")(takes_groups(service_units.install))
    service.command("remove")(takes_answers(service_units.remove))
    app.add_typer(service, name="service")


def up(
    part: Annotated[
        Part,
        typer.Argument(
            metavar="[net|router|agent]",
            help="Stop after interfaces and firewall, after routing, or start the agent.",
        ),
    ] = Part.ROUTER,
    root: Root = Path(),
    verbose: Verbose = 0,
    quiet: Quiet = False,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for names to resolve and neighbours to answer."),
    ] = 10,
) -> None:
    """Connect this host to the UVN, once. Run again, it applies only what differs.

    Names of neighbours whose links do not work are resolved again. Exit status 1 if one cannot be
    resolved: the rest is up. Where an agent runs, it triggers the agent's reconciliation instead.
    `up agent` starts the agent's unit, which `uno service install -a` has made.
    """
    from uno.agent import service  # noqa: PLC0415
    from uno.reconcile.kernel_parameters import OPTIONAL  # noqa: PLC0415

    log = LogOptions(verbose=verbose, quiet=quiet)
    log.start()
    _require_root()
    ledger, package = _open(root)
    host = _host(package, root)
    if (process := trigger_agent(package.manifest)) is not None:
        if not quiet:
            print(f"{package.manifest.cell_name} is managed by its agent, process {process}")
        return
    if part is Part.AGENT:
        _start_agent(root, package, quiet=quiet)
        return
    actions = _connect(
        ledger, host, package, wait=wait, verbose=log.verbosity, routed=part is Part.ROUTER
    )
    # Without a warning every name was resolved.
    missing = service.unresolved(host, package) if host.warnings else ()
    host.warn_of_fixed_parameters(OPTIONAL)
    host.warnings += map(str, service.find_collisions(host, package))
    for warning in (*host.warnings, *service.obstacles(host, package)):
        to_standard_error(f"uno: warning: {warning}")
    silent = _await_neighbours(host, package, actions, min(wait, NEIGHBOUR_WAIT))
    if not quiet:
        _print_up(host, package, actions)
    for name in silent:
        to_standard_error(f"uno: warning: no handshake on {name} yet; WireGuard keeps trying")
    if missing:
        raise _incomplete(package, missing)


def down(
    part: Annotated[
        Part,
        typer.Argument(
            metavar="[net|router|agent]",
            help="All, routing alone (the host stops to forward), or the agent alone.",
        ),
    ] = Part.NET,
    root: Root = Path(),
    verbose: Verbose = 0,
    quiet: Quiet = False,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Remove the unreachable routes to the other sites, too."),
    ] = False,
) -> None:
    """Disconnect this host: remove all that `up` made, nothing else.

    Forwarding that was off before `up` is turned off, unless another program translates addresses
    for what it forwards, such as docker.

    Unreachable routes to the other sites stay until `up` or a reboot: otherwise packets to them
    would leave in clear text by the default route. `--forget` removes them.
    `down agent` stops the agent, and leaves the network up.
    """
    from uno.agent import pidfile, service  # noqa: PLC0415
    from uno.cli import disconnection  # noqa: PLC0415

    if forget and part is not Part.NET:
        raise InvalidInput(f"--forget is not for `down {part}`", "use it with `down net`")
    log = LogOptions(verbose=verbose, quiet=quiet)
    log.start()
    _require_root()
    _, package = _open(root)
    host = _host(package, root)
    cell = package.manifest.cell_name
    process = pidfile.running(host.folder)
    if part is Part.AGENT:
        done = _stop_agent(root, host.folder)
        if not quiet:
            print(f"the agent of {cell} {'is stopped' if done else 'did not run'}")
        return
    if process is not None:
        raise ActionNeeded(
            f"{cell} is managed by its agent, process {process}",
            "stop it first: uno service down agent",
        )
    what = f"the routing of {cell}" if part is Part.ROUTER else cell
    with _locked(host):
        if part is Part.ROUTER:
            actions = service.down_routing(host, progress=_progress(log.verbosity))
        else:
            actions = disconnection.disconnect(
                host, forget=forget, progress=_progress(log.verbosity), quiet=quiet
            )
        kept = service.rejected(host)
    if not quiet:
        print(f"{what} is down" if actions else f"{what} was down already")
        if kept and part is Part.NET:
            print(_rejects(root))


def _rejects(root: Path) -> str:
    """Return what holds on a host that is down and has unreachable routes."""
    return (
        "packets to the other sites are rejected here, and do not leave in clear text; "
        f"to end that: uno service down --forget -r {shlex.quote(str(root.absolute()))}"
    )


def status(
    root: Root = Path(),
    verbose: Verbose = 0,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("-J", "--json", help="Print JSON.")] = False,
) -> None:
    """Show this host: LANs, links, sessions, what is in the way.

    Probes show whether packets of the LANs get through in both directions. Exit status 1 if
    something is wrong.
    """
    from uno.agent import service  # noqa: PLC0415
    from uno.cli.forwarding_probes import proof_now  # noqa: PLC0415

    LogOptions(verbose=verbose, quiet=quiet).start()
    _require_root()
    ledger, package = _open(root)
    host = _host(package, root)
    found = service.status(host, package)
    if found.running:
        found = replace(found, proof=proof_now(host, found))
    change = ledger.persistent_state().undone
    undone = change.seen(now=int(time.time())) if change else None  # noqa: TID251
    if as_json:
        from uno.cli.output import printing  # noqa: PLC0415

        printing.json(_document(found, undone))
    else:
        _print_status(found, undone)
    if not found.healthy:
        raise typer.Exit(1)


def _start_agent(root: Path, package: Package, *, quiet: bool) -> None:
    """Start the agent's unit. Raises `ActionNeeded` where there is none."""
    from uno.host import systemd  # noqa: PLC0415

    if not systemd.runs_agent(root.resolve()):
        raise ActionNeeded(
            f"there is no unit that runs the agent of {package.manifest.cell_name}",
            f"make it and start it: uno service install -a -s -r {shlex.quote(str(root))}",
        )
    systemd.switch("start")
    if not quiet:
        print(f"{systemd.UNIT} is started; its log: journalctl -xeu {Path(systemd.UNIT).stem}")


def _stop_agent(root: Path, folder: Path) -> bool:
    """Stop the agent, whoever started it, and return whether there was one. Raises `UnoError`."""
    from uno.agent import pidfile  # noqa: PLC0415
    from uno.host import systemd  # noqa: PLC0415

    process = pidfile.running(folder)
    if process is None:
        return False
    if systemd.runs_agent(root.resolve()):
        # systemd would start it again.
        systemd.switch("stop")
    deadline = time.monotonic() + _END_TIMEOUT
    while (process := pidfile.running(folder)) is not None:
        if time.monotonic() >= deadline:
            raise TransientFailure(
                f"the agent, process {process}, has not ended after {_END_TIMEOUT:g} s",
                "see its log",
            )
        if process:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        threading.Event().wait(0.2)
    return True


def _connect(
    ledger: Ledger,
    host: LinuxHost,
    package: Package,
    *,
    wait: float,
    verbose: int,
    routed: bool,
) -> tuple[Action, ...]:
    """Connect; retry while names do not resolve, which at boot they may do a little later."""
    from uno.agent import service  # noqa: PLC0415

    deadline = time.monotonic() + wait
    done: list[Action] = []
    # A change-over is one of traffic, which there is none of without routing.
    before = ledger.previous() if routed else None
    while True:
        host.warnings.clear()
        with _locked(host):
            if before is not None and not done:
                done += service.change_over(
                    host,
                    old=before,
                    new=package,
                    progress=_progress(verbose),
                    pause=threading.Event().wait,
                    now=time.monotonic,
                )
            done += service.up(host, package, progress=_progress(verbose), routed=routed)
        if not host.warnings or time.monotonic() + RESOLVE_AGAIN > deadline:
            return tuple(done)
        threading.Event().wait(RESOLVE_AGAIN)


def _open(root: Path) -> tuple[Ledger, Package]:
    from uno.agent.commit.ledger import Ledger  # noqa: PLC0415

    ledger = Ledger(root)
    package = ledger.current()
    if package is None:
        raise ActionNeeded(
            f"there is no cell in {root.absolute()}",
            "install its package first: uno install PACKAGE -r DIR",
        )
    return ledger, package


def _host(package: Package, root: Path) -> LinuxHost:
    from uno.host.linux import LinuxHost  # noqa: PLC0415

    return LinuxHost(package.plan.identity, package.plan.cell, directory=root)


def _locked(host: LinuxHost) -> Any:
    from uno.agent.host_loop.host_reconciler import host_lock  # noqa: PLC0415

    return host_lock(host.folder)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ActionNeeded("this needs root: it changes the host's network", "run it with sudo")


def _progress(verbose: int) -> Any:
    return (lambda text: print(f"  {text}", flush=True)) if verbose > 0 else (lambda _: None)


def _await_neighbours(
    host: LinuxHost, package: Package, actions: tuple[Action, ...], wait: float
) -> list[str]:
    """Initiate handshakes once a second; return the interfaces that have none in time."""
    from uno.agent import service  # noqa: PLC0415

    deadline = time.monotonic() + wait
    awaited = service.created(host, actions) + service.refresh_endpoints(host, package, actions)
    if not awaited:
        return []
    # The first handshake is under way; a second initiation this early would disturb it.
    threading.Event().wait(min(0.5, wait))
    while awaited := service.retry_handshakes(host, awaited):
        if time.monotonic() >= deadline:
            break
        threading.Event().wait(1)
    return [tunnel.name for tunnel in awaited]


def _incomplete(package: Package, missing: tuple[UnresolvedLink, ...]) -> TransientFailure:
    """Return the error of a host that is up without the links whose names cannot be resolved."""
    count, names = len(missing), ", ".join(f"{each.name} ({each.neighbor})" for each in missing)
    return TransientFailure(
        f"{package.manifest.cell_name} is up without {count} of its {len(package.plan.links)} "
        f"links: {names} cannot be resolved",
        "check the host's name service; `uno service up` resolves it again",
    )


def _print_up(host: LinuxHost, package: Package, actions: tuple[Action, ...]) -> None:
    manifest = package.manifest
    done = f"{len(actions)} changes" if actions else "no change"
    print(
        f"{manifest.cell_name} of {manifest.uvn} is up, generation {manifest.generation}: "
        f"{len(package.plan.links)} links, {done}; WireGuard: {host.wireguard_kind()}"
    )


def _document(found: ServiceStatus, undone: UndonePackage | None) -> HostStatus:
    """Return the status for programs."""
    from uno.cli.output import json_documents as documents  # noqa: PLC0415
    from uno.reconcile.apply import describe  # noqa: PLC0415

    manifest = found.package.manifest
    return documents.HostStatus(
        uvn=manifest.uvn,
        cell=manifest.cell_name,
        generation=manifest.generation,
        running=found.running,
        healthy=found.healthy,
        agent=_agent_answers(found.package),
        wireguard=found.wireguard,
        undone=undone,
        pending=tuple(describe(action) for action in found.pending),
        lans=tuple(
            documents.HostLan(network=str(lan.network), interface=lan.nic) for lan in found.lans
        ),
        obstacles=tuple(str(each) for each in _obstacles(found)),
        forwards={str(lan): is_good for lan, is_good in found.proof.forwards.items()},
        unproved=found.proof.unproved,
        missing_lans=tuple(str(lan) for lan in found.missing),
        collisions=tuple(
            documents.HostCollision(
                interface=each.interface,
                network=str(each.network),
                prefix=str(each.prefix),
                cell=each.cell,
            )
            for each in found.collisions
        ),
        links=tuple(
            documents.HostLink(
                interface=link.interface,
                neighbor=link.neighbor,
                endpoint=link.peer.endpoint if link.peer else None,
                last_handshake=link.peer.handshake if link.peer else 0,
                received=link.peer.received if link.peer else 0,
                sent=link.peer.sent if link.peer else 0,
                bgp=link.session.state if link.session else None,
                prefixes=link.session.prefixes if link.session else 0,
                bfd=link.session.bfd if link.session else None,
            )
            for link in found.links
        ),
    )


def _obstacles(found: ServiceStatus) -> tuple[Obstacle, ...]:
    return (*found.obstacles, *found.proof.obstacles, *found.proof.narrow.values())


def _print_status(found: ServiceStatus, undone: UndonePackage | None) -> None:
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from uno.cli.output import printing  # noqa: PLC0415
    from uno.cli.output.pipe_console import PipeConsole  # noqa: PLC0415
    from uno.diagnosis.cell_faults import age  # noqa: PLC0415
    from uno.reconcile.apply import describe  # noqa: PLC0415

    manifest = found.package.manifest
    console: Console = PipeConsole(highlight=False, soft_wrap=True)
    if console.is_terminal:
        console = printing.console()
    state = "[green]up[/]" if found.healthy else "[yellow]up, degraded[/]"
    console.print(
        f"{manifest.cell_name} of {manifest.uvn}, generation {manifest.generation}: "
        f"{state if found.running else '[red]down[/]'}; WireGuard: {found.wireguard}"
    )
    agent = "running; see uno status" if _agent_answers(found.package) else "not running"
    console.print(f"agent: {agent}")
    if undone is not None:
        console.print(f"[yellow]{escape(str(undone))}[/], {age(undone.age)} ago")
    for lan in found.lans:
        console.print(f"LAN {lan.network} on {lan.nic}")
    for network in found.missing:
        console.print(f"LAN {network} [red]not attached to this host[/]")
    _print_forwarding(console, found)
    for collision in found.collisions:
        console.print(f"[yellow]collision[/]: {collision}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("link", "neighbour", "handshake", "BGP", "BFD", "routes"):
        table.add_column(column, no_wrap=True)
    for link in found.links:
        session = link.session
        table.add_row(
            link.interface,
            link.neighbor,
            _age(link.peer.handshake if link.peer else 0),
            session.state if session else "-",
            session.bfd if session else "-",
            str(session.prefixes) if session else "-",
        )
    console.print(table)
    for action in found.pending:
        console.print(f"[yellow]pending[/]: {describe(action)}")
    if found.pending:
        console.print("apply with: uno service up")


def _print_forwarding(console: Console, found: ServiceStatus) -> None:
    from rich.markup import escape  # noqa: PLC0415

    for network, forwards in found.proof.forwards.items():
        shown = "forwarded in both directions" if forwards else "[red]not forwarded[/]"
        console.print(f"packets of LAN {network}: {shown}")
    if found.proof.unproved:
        console.print(f"forwarding is not proved: {escape(found.proof.unproved)}")
    for obstacle in _obstacles(found):
        console.print(f"[red]in the way[/]: {escape(str(obstacle))}")


def _agent_answers(package: Package) -> bool:
    from uno import control  # noqa: PLC0415

    return control.is_served(control.socket_path(package.plan.identity, package.plan.cell))


def _age(handshake: int) -> str:
    return f"{max(0, int(time.time()) - handshake)} s ago" if handshake else "never"  # noqa: TID251
