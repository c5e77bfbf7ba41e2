"""What a host must have before it runs another package, or another plan as the registry.

A cell refuses a package that its host cannot run when it is staged: nothing has changed then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from uno.cli import middleware
from uno.host.udp_ports import require_free
from uno.model.listening_ports import bus_transport
from uno.ports.bus import CELL_INDEX, REGISTRY_INDEX, listening
from uno.web import own_certificate

if TYPE_CHECKING:
    from uno.model.package import Package
    from uno.model.plan import BusPlan, Plan


def require_for_cell(
    running: Package, offered: Package, own_ports: Collection[int], *, directory: Path
) -> None:
    """Raise `UnoError` if the host, which runs the first package, cannot run the second.

    `own_ports` are the UDP ports of the tunnels that it has, those to be removed among them.
    `directory` is the cell's.
    """
    _require_bus((running.plan.bus,), offered.plan.bus, index=CELL_INDEX, directory=directory)
    added = sorted(set(_listen_ports(offered)) - set(_listen_ports(running)) - set(own_ports))
    require_free(added, purpose="WireGuard")
    files = offered.plan.web_files
    if files is not None and files != running.plan.web_files:
        # One that was taken before and has expired since is no obstacle to other changes.
        now = int(time.time())  # noqa: TID251 - certificates have times of day
        own_certificate.require_valid(own_certificate.read(files), files, now=now)


def require_for_registry(in_use: Collection[Plan], offered: Plan, *, directory: Path) -> None:
    """Raise `UnoError` if the registry's host cannot run `offered` instead of what is `in_use`.

    Nothing is judged while nothing is in use: what an agent that was killed has left looks like
    another program.
    """
    if not in_use:
        return
    buses = [plan.bus for plan in in_use]
    _require_bus(buses, offered.bus, index=REGISTRY_INDEX, directory=directory)
    port = offered.root.port if offered.root else None
    if port is not None and port not in {plan.root.port for plan in in_use if plan.root}:
        require_free((port,), purpose="the root VPN")


def _require_bus(
    before: Collection[BusPlan], after: BusPlan, *, index: int, directory: Path
) -> None:
    if after.middleware not in {bus.middleware for bus in before}:
        middleware.require(after, environ=os.environ)
        middleware.require_licence(after, environ=os.environ, directory=directory)
    kind, wanted = bus_transport(after), listening(after, index)
    if (kind, wanted) not in {(bus_transport(it), listening(it, index)) for it in before}:
        require_free(wanted, purpose=f"DDS domain {after.domain}", protocol=kind)


def _listen_ports(package: Package) -> Iterator[int]:
    plan = package.plan
    for each in (*plan.links, plan.root, plan.particles):
        if each is not None and each.port is not None:
            yield each.port
