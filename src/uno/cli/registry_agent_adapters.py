"""The registry's agent on this host: what it runs on, and how it is stopped."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from uno.controller.registry_agent import RegistryAgent
    from uno.host.linux import LinuxHost
    from uno.model.plan import Plan
    from uno.model.status import UvnView
    from uno.ports.bus import Security
    from uno.ports.host import Desired
    from uno.registry.store.generation_store import Generation

_log = logging.getLogger(__name__)

# A session of WireGuard that is older has ended (WireGuard paper, section 6.1).
_EXPIRED = 180


def serve(root: Path) -> None:
    """Be the agent of the registry in `root` until SIGTERM or SIGINT, and take its network down.

    Raises UnoError where it cannot be: not root, no root VPN, another agent, no middleware.
    """
    with suppress(asyncio.CancelledError):
        run(root)


def run(
    root: Path, *, release: bool = False, until: Callable[[UvnView], bool] | None = None
) -> UvnView:
    """Be the agent until what it sees is as `until` says; return what that was.

    With `release`, the newest generation is released first. SIGTERM and SIGINT end it with
    `CancelledError`.
    """
    from uno.agent.pidfile import hold_pidfile
    from uno.controller.registry_agent import never

    require_root()
    plan = newest(root).plan
    host = RootHost(plan.identity)
    agent = _agent(root, plan, host)
    with hold_pidfile(host.folder, name=f"the registry of {plan.uvn}"):
        return asyncio.run(_until_stopped(agent, release=release, until=until or never))


def newest(root: Path) -> Generation:
    """Return the newest generation. Raises UnoError where there are no roads for an agent."""
    from uno.registry.store import directory

    # What an interrupted command left to do is done when the generation is released.
    with directory.opened(root, for_change=False) as registry:
        head = registry.store.head()
    plan = head.plan
    if plan.root is None:
        raise ActionNeeded(
            f"{plan.uvn} has no root VPN, so the registry cannot reach the cells",
            f"copy the packages in {root / 'cells'} to the cells by hand, and there: uno install",
        )
    return head


def require_root() -> None:
    """Refuse to go on as somebody who cannot change the host's network."""
    if os.geteuid() != 0:
        raise ActionNeeded("this needs root: it changes the host's network", "run it with sudo")


class RootHost:
    """This host as a node of the root VPN; for several threads, one of which works at a time."""

    def __init__(self, identity: str) -> None:
        """Change nothing yet."""
        from uno.host.linux import LinuxHost
        from uno.model.messages import REGISTRY

        self._host: LinuxHost = LinuxHost(identity, REGISTRY)
        self._lock = threading.Lock()
        self._wanted: Desired | None = None

    @property
    def folder(self) -> Path:
        """Where it keeps its lock and its socket."""
        return self._host.folder

    @property
    def has_ipv6(self) -> bool:
        """Whether the kernel has IPv6."""
        return self._host.facts().has_ipv6

    def become(self, wanted: Desired) -> None:
        """Make the host so; nothing if it is. Raises UnoError, and then it is as it was."""
        from uno.reconcile.converge import compare

        with self._lock:
            host = self._host
            host.warnings.clear()
            compare(host, wanted).apply(host, progress=partial(_log.debug, "%s"))
            for warning in host.warnings:
                _log.warning("%s", warning)
            if not wanted.tunnels:
                host.forget()
            self._wanted = wanted

    def refresh_endpoints(self) -> None:
        """Look up the names of cells that have not answered for long, and call them there."""
        now = int(time.time())  # noqa: TID251 - handshakes are told in seconds since the epoch
        for tunnel in self._wanted.tunnels if self._wanted else ():
            with self._lock:
                status = self._host.peer_status().get(tunnel.name, ())
            fresh = {peer.public_key for peer in status if now - peer.handshake < _EXPIRED}
            for peer in tunnel.peers:
                if peer.endpoint and peer.public_key not in fresh:
                    with self._lock:
                        self._host.refresh_endpoint(tunnel.name, peer)


def _agent(root: Path, plan: Plan, host: RootHost) -> RegistryAgent:
    from uno.cli import middleware
    from uno.controller.controller_environment import Surroundings
    from uno.controller.registry_agent import RegistryAgent

    return RegistryAgent(
        root,
        Surroundings(
            bus=middleware.make_bus(plan.bus, environ=os.environ),
            licence=middleware.licence(plan.bus, environ=os.environ, directory=root),
            credentials=partial(_credentials, root),
            raise_network=host.become,
            refresh_endpoints=host.refresh_endpoints,
            clock=time.monotonic,
            alive=_watchdog(),
            has_ipv6=host.has_ipv6,
        ),
    )


def _credentials(root: Path, plan: Plan) -> Security | None:
    """Return the registry's files of DDS Security, None where the plan has it off."""
    if not plan.bus.security:
        return None
    from uno.cli import middleware
    from uno.model.messages import REGISTRY
    from uno.registry.changes import operations
    from uno.registry.publish import dds_security

    with operations.opened(root) as registry:
        files = dds_security.secrets_of(
            REGISTRY,
            identity=plan.identity,
            domain=plan.bus.domain,
            stored=registry.store.secrets(),
        )
    return middleware.security(plan.bus, secrets=files, directory=root)


def _watchdog() -> Callable[[], None]:
    """Return what tells systemd that the agent is ready, and from then on that it is alive."""
    from sdnotify import SystemdNotifier  # type: ignore[import-untyped]

    notifier = SystemdNotifier()

    def tell() -> None:
        notifier.notify("READY=1\nWATCHDOG=1")

    return tell


async def _until_stopped(
    agent: RegistryAgent, *, release: bool, until: Callable[[UvnView], bool]
) -> UvnView:
    job = asyncio.ensure_future(agent.run(release=release, until=until))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, job.cancel)
    loop.add_signal_handler(signal.SIGINT, job.cancel)
    return await job
