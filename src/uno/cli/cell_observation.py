"""Observes a cell's host for its checks. Nothing is changed, and nothing waits for long."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from uno import control
from uno.agent import pidfile, service
from uno.agent.commit.ledger import Ledger
from uno.cli.deadlines import Observation
from uno.cli.forwarding_probes import proof_now
from uno.diagnosis.cell_facts import (
    AgentProcess,
    CellFacts,
    ClockReading,
    DiskSpace,
    LanHost,
    NotObserved,
)
from uno.diagnosis.service_status import ServiceStatus
from uno.host import kernel_paths, programs, systemd, udp_ports
from uno.host.linux import RUN, LinuxHost
from uno.host.probe import lan_hosts
from uno.host.routing_frr import daemons
from uno.host.wireguard import endpoint_lookup
from uno.host.wireguard import interfaces as wireguard
from uno.model.net import Address, Network
from uno.model.package import Package
from uno.model.status import UndonePackage, UvnView
from uno.ports.host import CreateTunnel, KernelPath
from uno.reconcile.forwarding_proof import ForwardingProof
from uno.reconcile.lans import attached

T = TypeVar("T")

# Seconds for what asks the kernel and programs of this host, and for what waits for others.
HOST_SECONDS = 4.0
OTHERS_SECONDS = 1.5
PROOF_SECONDS = 4.0

_NEEDS_ROOT = NotObserved("only root can observe it: run it with sudo")
_NO_PACKAGE = NotObserved("the cell's package cannot be read")


def observe(root: Path, package: Package | None) -> CellFacts:
    """Return what this host shows, of the cell in the directory `root`."""
    reading = begun(lambda: clock(root))
    space = begun(lambda: tuple(disks(root)))
    lacking = begun(lambda: programs.lacking((*programs.REQUIRED, *daemons.required_programs())))
    has_wireguard = begun(wireguard.is_available)
    if package is None:
        return CellFacts(
            directory=str(root),
            host=_NO_PACKAGE,
            service=_NO_PACKAGE,
            view=_NO_PACKAGE,
            agent=_NO_PACKAGE,
            clock=reading.result(),
            disks=space.result(),
            resolved=_NO_PACKAGE,
            taken=_NO_PACKAGE,
            paths=_NO_PACKAGE,
            lan_hosts=_NO_PACKAGE,
            has_wireguard=has_wireguard.result(),
            lacking=lacking.result(),
            undone=_NO_PACKAGE,
        )
    is_root = os.geteuid() == 0
    found = begun(lambda: service_of(package)) if is_root else None
    view = begun(lambda: agent_view(package)) if is_root else None
    host = begun(_host(package).facts)
    agent = begun(lambda: _agent(root, package))
    undone = begun(lambda: _undone(root))
    resolved = begun(lambda: _resolved(package), seconds=OTHERS_SECONDS)
    hosts = begun(lambda: lan_hosts_of(package), seconds=OTHERS_SECONDS) if is_root else None
    paths = begun(lambda: dict(paths_of(package)))
    serving = found.result() if found else _NEEDS_ROOT
    return CellFacts(
        directory=str(root),
        host=host.result(),
        service=with_proof(package, serving),
        view=view.result() if view else _NEEDS_ROOT,
        agent=agent.result(),
        clock=reading.result(),
        disks=space.result(),
        resolved=resolved.result(),
        taken=_taken(serving),
        paths=paths.result(),
        lan_hosts=hosts.result() if hosts else _NEEDS_ROOT,
        has_wireguard=has_wireguard.result(),
        lacking=lacking.result(),
        undone=undone.result(),
    )


def begun(observe: Callable[[], T], *, seconds: float = HOST_SECONDS) -> Observation[T]:
    """Begin an observation of this host."""
    return Observation(observe, seconds=seconds)


def _host(package: Package) -> LinuxHost:
    # One for each observation: they run at the same time.
    return LinuxHost(package.plan.identity, package.plan.cell)


def service_of(package: Package) -> ServiceStatus:
    """Return the host compared with its package, without a proof that it forwards."""
    return service.status(_host(package), package)


def with_proof(package: Package, found: ServiceStatus | NotObserved) -> ServiceStatus | NotObserved:
    """Add what probes prove, or the agent has proved, where the network is up."""
    if isinstance(found, NotObserved) or not found.running:
        return found
    running = found
    proof = begun(lambda: proof_now(_host(package), running), seconds=PROOF_SECONDS).result()
    if isinstance(proof, NotObserved):
        proof = ForwardingProof(unproved=proof.why)
    return replace(running, proof=proof)


def agent_view(package: Package) -> UvnView | None:
    """Return the view of the cell's agent, None where none runs. Raises `UnoError`."""
    try:
        return control.request_view(control.socket_path(package.plan.identity, package.plan.cell))
    except control.NoAgent:
        return None


def _agent(root: Path, package: Package) -> AgentProcess:
    folder = RUN / f"{package.plan.identity[:8]}-{package.plan.cell}"
    return AgentProcess(
        runs=pidfile.running(folder) is not None,
        wanted=systemd.runs_agent(root.resolve()),
        crashed=pidfile.has_crashed(folder),
    )


def _undone(root: Path) -> UndonePackage | None:
    change = Ledger(root).persistent_state().undone
    return change.seen(now=now()) if change else None


def now() -> int:
    """Return this host's clock, in seconds since the epoch, right or wrong."""
    return int(time.time())  # noqa: TID251 - a clock that is wrong is what is looked for


def clock(root: Path) -> ClockReading:
    """Return the clock, and the newest file in a directory of uno's."""
    try:
        written = {path: path.stat().st_mtime for path in root.iterdir() if path.is_file()}
    except PermissionError:
        written = {}
    newest = max(written, key=lambda path: written[path], default=root)
    return ClockReading(now=now(), newest=int(written.get(newest, 0)), path=str(newest))


def disks(root: Path) -> Iterator[DiskSpace]:
    """Yield the file systems of a directory and of /run. Raises `OSError`."""
    for path in (root, RUN if RUN.exists() else RUN.parent):
        found = os.statvfs(path)
        yield DiskSpace(
            path=str(path),
            free=found.f_bavail * found.f_frsize,
            total=found.f_blocks * found.f_frsize,
            free_inodes=found.f_ffree if found.f_files else None,
            read_only=bool(found.f_flag & os.ST_RDONLY),
        )


def _resolved(package: Package) -> Mapping[str, tuple[str, ...]]:
    endpoints = {link.endpoint for link in package.plan.links if link.endpoint}
    own = package.own.endpoint
    # The port plays no role for a name.
    names = {endpoint: endpoint for endpoint in endpoints} | ({own: f"{own}:0"} if own else {})
    found = endpoint_lookup.resolve(_bracketed(each) for each in names.values())
    return {name: found.get(_bracketed(written), ()) for name, written in names.items()}


def _bracketed(endpoint: str) -> str:
    host, _, port = endpoint.rpartition(":")
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else endpoint


def _taken(found: ServiceStatus | NotObserved) -> frozenset[int] | NotObserved:
    """Return the ports of tunnels that are to be created, and which another program has."""
    if isinstance(found, NotObserved):
        return found
    created = (each.tunnel for each in found.pending if isinstance(each, CreateTunnel))
    ports = (tunnel.port for tunnel in created if tunnel.port is not None)
    return frozenset(udp_ports.taken(ports))


def _remote(package: Package) -> Iterator[Network]:
    for member in package.roster.members:
        if member.id != package.own.id:
            yield from member.lans


def lan_hosts_of(package: Package, named: Iterable[Address] = ()) -> tuple[LanHost, ...]:
    """Return whether hosts of the cell's LANs answer, those that are `named` first."""
    facts = _host(package).facts()
    lans = attached(package.own.lans, facts.nics)
    remote = tuple(_remote(package))
    return lan_hosts.asked(lans, facts, remote=remote, random=random.SystemRandom(), named=named)


def paths_of(package: Package) -> Iterator[tuple[Network, KernelPath]]:
    """Yield where the kernel sends packets from the cell's LANs to each LAN of another cell."""
    facts = _host(package).facts()
    lans = attached(package.own.lans, facts.nics)
    own = package.own
    for lan in _remote(package):
        if lan.version == 6 and not facts.has_ipv6:
            continue
        near = next((each for each in lans if each.network.version == lan.version), None)
        if near is not None:
            source, nic = near.network.network_address + (near.network.num_addresses // 2), near.nic
        else:
            source, nic = (own.node4 if lan.version == 4 else own.node6), None
        path = kernel_paths.kernel_path(lan.network_address + 1, source=source, nic=nic)
        if path is not None:
            yield lan, path
