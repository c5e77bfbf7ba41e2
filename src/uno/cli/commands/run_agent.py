"""`uno agent`: the daemon of a cell or of the registry, depending on the directory."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from uno.cli.input.options import Common, takes_groups
from uno.diagnostics import ActionNeeded, InvalidInput

if TYPE_CHECKING:
    from uno.agent.agent_environment import AgentEnvironment
    from uno.agent.commit.ledger import Ledger
    from uno.model.package import Package
    from uno.ports.bus import BusConfig
    from uno.ports.prober import Prober


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("agent")(takes_groups(agent))


def agent(
    common: Common,
    *,
    systemd: Annotated[
        bool,
        typer.Option(
            "--systemd", help="Refuse to run where systemd awaits no notification (sd_notify)."
        ),
    ] = False,
    web: Annotated[
        bool,
        typer.Option("--web", help="At the registry: serve the web page on this host (uno web)."),
    ] = False,
) -> None:
    """Run the agent of the cell or registry in this directory.

    A cell's agent connects the host, keeps it connected, and applies changes from the registry; it
    rolls back a change that disconnects it. When it stops, the network stays up. SIGHUP triggers a
    reconciliation. The registry's agent begins once a `uno sync` that runs has ended.
    """
    common.start()
    common.log_as_a_daemon()
    if systemd and not os.environ.get("NOTIFY_SOCKET"):
        raise ActionNeeded(
            "--systemd: systemd awaits no notification of this process",
            "start it by its unit: uno service install -a -s; or leave --systemd out",
        )
    is_registry = (common.root / "registry.db").exists()
    if web and not is_registry:
        raise InvalidInput(
            "--web is for the registry's agent, and there is no registry in"
            f" {common.root.absolute()}",
            "leave it out: a cell's agent serves its page anyway",
        )
    if os.geteuid() != 0:
        raise ActionNeeded("this needs root: it changes the host's network", "run it with sudo")
    if is_registry:
        from uno.cli import registry_agent_adapters

        registry_agent_adapters.serve(common.root, web=web)
        return
    _serve_cell(common.root)


def systemd_notifier() -> tuple[Callable[[str], None] | None, float]:
    """Return the sd_notify function, and the watchdog interval of systemd in seconds.

    None if systemd did not start this process, 0 if the unit has no watchdog: sd_notify(3),
    sd_watchdog_enabled(3).
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return None, 0.0
    from sdnotify import SystemdNotifier  # type: ignore[import-untyped]

    microseconds = os.environ.get("WATCHDOG_USEC", "0")
    return SystemdNotifier().notify, int(microseconds) / 1e6 if microseconds.isdigit() else 0.0


def _serve_cell(root: Path) -> None:
    import asyncio

    from uno.agent.commit.ledger import Ledger
    from uno.agent.daemon import run
    from uno.host import privileges

    ledger = Ledger(root)
    package = ledger.current()
    if package is None:
        raise ActionNeeded(
            f"there is neither a registry nor a cell in {root.absolute()}",
            "name the directory with -r DIR, or install a package first: uno install PACKAGE",
        )
    privileges.restrict(privileges.needed(privileges.OF_CELL, directory=root))

    async def serve() -> None:
        await run(ledger, _environment(ledger, package))

    asyncio.run(serve())


def _environment(ledger: Ledger, package: Package) -> AgentEnvironment:
    from uno.agent.agent_environment import AgentEnvironment
    from uno.cli import host_requirements, middleware, web_page
    from uno.cli.cell_notifications import CellNotifications
    from uno.cli.forwarding_probes import forwarding_prober
    from uno.host.linux import LinuxHost
    from uno.host.netlink.monitor import NetlinkWatch

    plan = package.plan
    host = LinuxHost(plan.identity, plan.cell, directory=ledger.directory)
    notify, watchdog = systemd_notifier()
    return AgentEnvironment(
        host=host,
        bus=middleware.make_bus(plan.bus, environ=os.environ),
        prober=_prober,
        forwarding_prober=forwarding_prober(package),
        web=web_page.make_page(ledger.directory, environ=os.environ),
        notifications=CellNotifications(ledger.directory, environ=os.environ),
        watch=NetlinkWatch(),
        folder=host.folder,
        now=time.monotonic,
        wall=time.time,  # noqa: TID251 - WireGuard's handshakes have times since the epoch
        notify=notify,
        watchdog=watchdog,
        check_host=partial(host_requirements.require_for_cell, directory=ledger.directory),
        config=_BusConfigSource(ledger.directory),
    )


class _BusConfigSource:
    """The bus configuration of a package, with the files that its middleware needs."""

    def __init__(self, directory: Path) -> None:
        """Write files below `directory`."""
        self._directory = directory
        self._known: tuple[str, BusConfig] | None = None

    def __call__(self, package: Package) -> BusConfig:
        """Return it. Raises `UnoError` where something is not there."""
        content = package.manifest.content
        if self._known is None or self._known[0] != content:
            self._known = content, self._made(package)
        return self._known[1]

    def _made(self, package: Package) -> BusConfig:
        from uno.agent.agent_environment import bus_config
        from uno.cli import middleware

        bus, directory = package.plan.bus, self._directory
        return replace(
            bus_config(package),
            licence=middleware.licence(bus, environ=os.environ, directory=directory),
        )


def _prober(changed: Callable[[], None]) -> Prober:
    import random

    from uno.host.probe.icmp_prober import IcmpProber

    return IcmpProber(clock=time.monotonic, random=random.SystemRandom(), changed=changed)
