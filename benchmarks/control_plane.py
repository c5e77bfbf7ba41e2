"""Agents without a network of their own to change: what `scale.py` starts.

Everything is as in `uno agent` but the host, which is in memory (`uno.host.fake`), and reports that
every link works.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_interface
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

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
from uno.model.package import Package
from uno.ports.host import Nic, PeerStatus, SessionStatus
from uno.ports.prober import Prober
from uno.registry.changes import operations


def preload() -> None:
    """Import what an agent only imports when it needs it."""
    for name in ("uno.statesync.envelope", "sdnotify", *_CRYPTOGRAPHY):
        importlib.import_module(name)
    # It imports more when the first key is made.
    X25519PrivateKey.generate()


def serve_cell(root: Path, places: Path) -> int:
    """Be a cell's agent until killed; its socket is below `places`."""
    ledger = Ledger(root)
    package = ledger.current()
    if package is None:
        raise ActionNeeded(f"no cell in {root}")
    asyncio.run(_serve(ledger, package, places))
    return 0


def serve_registry(root: Path, places: Path) -> int:
    """Be the registry's agent until killed; its socket is below `places`."""
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


async def _serve(ledger: Ledger, package: Package, places: Path) -> None:
    plan = package.plan
    await run(
        ledger,
        AgentEnvironment(
            host=_host(package),
            bus=middleware.make_bus(plan.bus, environ={}),
            prober=_prober,
            watch=NetlinkWatch(),
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


class _LivelyHost(FakeHost):
    """A host whose peers always have a recent handshake."""

    def __init__(self, nics: Iterable[Nic]) -> None:
        super().__init__(nics=nics)
        self._bytes = itertools.count(1)

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
