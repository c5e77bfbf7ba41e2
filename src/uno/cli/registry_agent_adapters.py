"""Runs the registry's agent on this host: its adapters, its lock, and the signals that stop it."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from uno.controller.registry_agent import RegistryAgent
    from uno.controller.registry_page import RegistryPage
    from uno.host.linux import LinuxHost
    from uno.model.plan import Plan
    from uno.model.status import UvnView
    from uno.registry.store.generation_store import Generation


def serve(root: Path, *, web: bool = False) -> None:
    """Run the agent of the registry in `root` until SIGTERM or SIGINT; then remove its root VPN.

    With `web` it serves the registry's page, which keeps its events in `root`.
    It waits for a `uno sync` that runs, which is the agent until it has ended. Raises UnoError
    where it cannot run: not root, no root VPN, another agent, no middleware.
    """
    from uno.host import privileges

    require_root()
    privileges.restrict(privileges.needed(privileges.OF_REGISTRY, directory=root))
    with suppress(asyncio.CancelledError):
        run(root, after="uno sync", web=web)


def run(
    root: Path,
    *,
    release: bool = False,
    until: Callable[[UvnView], bool] | None = None,
    after: str = "",
    web: bool = False,
) -> UvnView:
    """Run the agent until its view satisfies `until`, and return that view.

    With `release`, the newest generation is released first, with `web` the page is served. `after`
    is as for `hold_pidfile`.
    SIGTERM and SIGINT end it with `CancelledError`.
    """
    from uno.agent.pidfile import hold_pidfile
    from uno.host.linux import LinuxHost
    from uno.model.messages import REGISTRY

    require_root()
    plan = newest(root).plan
    host = LinuxHost(plan.identity, REGISTRY, directory=root)
    agent = _agent(root, plan, host, web=web)
    with hold_pidfile(host.folder, name=f"the registry of {plan.uvn}", after=after):
        return asyncio.run(_until_stopped(agent, release=release, until=until))


def newest(root: Path) -> Generation:
    """Return the newest generation. Raises ActionNeeded where the UVN has no root VPN."""
    from uno.registry.store import directory

    # The release completes what an interrupted command left to do.
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
    """Raise ActionNeeded unless the process may change the host's network: it runs as root."""
    if os.geteuid() != 0:
        raise ActionNeeded("this needs root: it changes the host's network", "run it with sudo")


def _agent(root: Path, plan: Plan, host: LinuxHost, *, web: bool) -> RegistryAgent:
    from uno.cli import host_requirements, middleware
    from uno.controller.registry_agent import ControllerEnvironment, RegistryAgent
    from uno.controller.root_host import RootHost

    # Handshakes are reported in seconds since the epoch.
    root_host = RootHost(host, wall_clock=time.time)  # noqa: TID251
    return RegistryAgent(
        root,
        ControllerEnvironment(
            make_bus=middleware.bus_factory(plan.bus, environ=os.environ),
            licence=middleware.licence(plan.bus, environ=os.environ, directory=root),
            reconcile_host=root_host.reconcile,
            require_host=partial(host_requirements.require_for_registry, directory=root),
            refresh_endpoints=root_host.refresh_endpoints,
            clock=time.monotonic,
            notify_watchdog=_watchdog(),
            has_ipv6=host.facts().has_ipv6,
            make_page=partial(_page, root) if web else None,
        ),
    )


def _page(root: Path) -> RegistryPage:
    from uno.cli import followed_registry

    return followed_registry.make_registry_page(root, root, environ=os.environ)


def _watchdog() -> Callable[[], None]:
    """Return what notifies systemd: READY the first time, and WATCHDOG (sd_notify(3))."""
    from sdnotify import SystemdNotifier  # type: ignore[import-untyped]

    notifier = SystemdNotifier()

    def notify() -> None:
        notifier.notify("READY=1\nWATCHDOG=1")

    return notify


async def _until_stopped(
    agent: RegistryAgent, *, release: bool, until: Callable[[UvnView], bool] | None
) -> UvnView:
    job = asyncio.ensure_future(agent.run(release=release, until=until))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, job.cancel)
    loop.add_signal_handler(signal.SIGINT, job.cancel)
    return await job
