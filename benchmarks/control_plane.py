"""Agents without a network of their own to change: what `scale.py` starts.

Everything is as in `uno agent` but the host, which is in memory (`uno.host.fake`), and reports that
every link works, until SIGUSR1: from then on those to the dead cell (`agent_board`) do not.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_interface
from pathlib import Path

from agent_board import AgentBoard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from uno.agent.agent_environment import AgentEnvironment
from uno.agent.commit.ledger import Ledger
from uno.agent.daemon import run
from uno.cli import middleware
from uno.control import socket_path
from uno.controller.registry_agent import ControllerEnvironment, RegistryAgent
from uno.diagnostics import ActionNeeded
from uno.host.fake.fake_host import FakeHost
from uno.host.netlink.monitor import NetlinkWatch
from uno.host.probe.icmp_prober import IcmpProber
from uno.model.messages import REGISTRY
from uno.model.net import Address, Network
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import UvnView
from uno.ports.events import NetworkChange
from uno.ports.host import Nic, PeerStatus, SessionStatus
from uno.ports.prober import Prober
from uno.registry.changes import operations


def preload() -> None:
    """Import what an agent only imports when it needs it."""
    for name in ("uno.statesync.envelope", "sdnotify", *_CRYPTOGRAPHY):
        importlib.import_module(name)
    # It imports more when the first key is made.
    X25519PrivateKey.generate()


def serve_cell(root: Path, places: Path, board: AgentBoard) -> int:
    """Be a cell's agent until killed; its socket is below `places`."""
    ledger = Ledger(root)
    package = ledger.current()
    if package is None:
        raise ActionNeeded(f"no cell in {root}")
    board.count(package.plan.cell)
    asyncio.run(_serve(ledger, package, places, board))
    return 0


def serve_registry(root: Path, places: Path, board: AgentBoard) -> int:
    """Be the registry's agent until killed; its socket is below `places`."""
    board.count(REGISTRY)
    with operations.opened(root) as registry:
        plan = registry.store.head().plan
    environment = ControllerEnvironment(
        make_bus=middleware.bus_factory(plan.bus, environ={}),
        reconcile_host=lambda _: None,
        clock=time.monotonic,
        run=places,
    )
    asyncio.run(_serve_registry(root, environment))
    return 0


async def _serve(ledger: Ledger, package: Package, places: Path, board: AgentBoard) -> None:
    plan, host = package.plan, _host(package)
    await run(
        ledger,
        AgentEnvironment(
            host=host,
            bus=middleware.make_bus(plan.bus, environ={}),
            prober=_prober,
            watch=_LinkFailures(host, package, board),
            web=_Witness(board, plan.cell),
            folder=socket_path(plan.identity, plan.cell, run=places).parent,
            now=time.monotonic,
            # Its handshakes are a moment old, whenever it is asked.
            wall=lambda: 1.0,
        ),
    )


async def _serve_registry(root: Path, environment: ControllerEnvironment) -> None:
    await RegistryAgent(root, environment).run()


_CRYPTOGRAPHY = tuple(
    f"cryptography.hazmat.primitives.{name}"
    for name in (
        "asymmetric.ed25519",
        "asymmetric.x25519",
        "ciphers.aead",
        "hpke",
        "hashes",
        "serialization",
    )
)


class _LinkFailures:
    """A `NetworkWatch` that reports SIGUSR1 as a change, as FRR does when BFD fails."""

    def __init__(self, host: FakeHost, package: Package, board: AgentBoard) -> None:
        self._host = host
        self._links = {link.cell: str(link.remote4) for link in package.plan.links}
        self._board = board
        self._failed = asyncio.Event()
        self._kernel = NetlinkWatch()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._fail)

    async def changes(self) -> AsyncIterator[frozenset[NetworkChange]]:
        """Yield a change for each failure."""
        while True:
            await self._failed.wait()
            self._failed.clear()
            yield frozenset({NetworkChange.ROUTING})

    def destinations_via(self, interfaces: Iterable[str]) -> Mapping[Network, tuple[str, ...]]:
        """Return what the kernel has."""
        return self._kernel.destinations_via(interfaces)

    def _fail(self) -> None:
        lost = self._links.get(self._board.dead)
        self._host.sessions = tuple(
            replace(each, state="Active", bfd="down") if each.neighbor == lost else each
            for each in self._host.sessions
        )
        self._failed.set()


class _Witness:
    """A `WebPage` that serves nothing: it notes when the cell's view has lost the dead cell."""

    problem = ""

    def __init__(self, board: AgentBoard, cell: int) -> None:
        self._board = board
        self._cell = cell
        self._view: Callable[[], UvnView] | None = None

    async def run(
        self,
        view: Callable[[], UvnView],
        directory: Callable[[], Directory | None],
        watch: Callable[[], None],
    ) -> None:
        """Wait until cancelled."""
        del directory, watch
        self._view = view
        await asyncio.Event().wait()

    def configure(self, package: Package, addresses: Collection[Address]) -> None:
        """Do nothing."""

    def changed(self) -> None:
        """Look for the dead cell."""
        if self._view is not None:
            self._board.note_view(self._cell, self._view)

    def close(self) -> None:
        """Do nothing."""


class _LivelyHost(FakeHost):
    """A host whose peers always have a recent handshake."""

    def __init__(self, nics: Iterable[Nic]) -> None:
        super().__init__(nics=nics)
        self._bytes = itertools.count(1)

    def fingerprint(self) -> object:
        """Return what changes with each action: to print all of it would be most of the cost."""
        return len(self.performed)

    def peer_status(self) -> dict[str, tuple[PeerStatus, ...]]:
        """Say of each peer that more has come from it."""
        return {
            name: tuple(replace(peer, received=next(self._bytes)) for peer in peers)
            for name, peers in super().peer_status().items()
        }


def _host(package: Package) -> FakeHost:
    own = package.own
    lans = tuple(ip_interface(f"{_first(lan)}/{lan.prefixlen}") for lan in own.lans)
    host = _LivelyHost([Nic(name="lan0", addresses=lans)])
    host.sessions = tuple(
        SessionStatus(neighbor=str(link.remote4), state="Established", prefixes=1, bfd="up")
        for link in package.plan.links
    )
    host.handshakes = {link.public_key: 1 for link in package.plan.links}
    return host


def _first(lan: IPv4Network | IPv6Network) -> str:
    return str(lan[1])


def _prober(changed: Callable[[], None]) -> Prober:
    return IcmpProber(clock=time.monotonic, random=random.SystemRandom(), changed=changed)
