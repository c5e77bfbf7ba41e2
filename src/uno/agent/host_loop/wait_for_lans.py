"""What an agent waits for before it connects its host: the LANs, which may come up after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uno.agent.commit.package_checks import own_lans
from uno.reconcile.lans import require_all

if TYPE_CHECKING:
    from uno.agent.agent_environment import AgentEnvironment
    from uno.agent.blocking import RunBlocking
    from uno.agent.commit.executor import CommitExecutor
    from uno.agent.host_loop.host_reconciler import HostReconciler
    from uno.model.net import Network


async def await_lans(
    change: CommitExecutor, upkeep: HostReconciler, world: AgentEnvironment, work: RunBlocking
) -> None:
    """Wait for LANs that come up late at boot; go on without one that was there before.

    Raises `UnoError` for a LAN in which this host never was, or if nobody supervises us: then
    somebody sits there who can mend it.
    """
    patience = world.intervals.lan_timeout if world.notify else 0.0
    deadline = world.now() + patience
    while missing := await work(upkeep.missing, change.package):
        known = set(missing) <= set(change.standing.memory.lans)
        if known and await work(upkeep.is_up):
            return
        if world.now() >= deadline:
            if known and world.notify:
                return
            nics = (await work(world.host.facts)).nics
            require_all(own_lans(change.package), nics)
        if world.notify:
            world.notify(f"STATUS=waiting for {listed(missing)}")
        await asyncio.sleep(min(1.0, patience / 10))


def listed(lans: tuple[Network, ...]) -> str:
    """Return networks for people."""
    return " or ".join(map(str, lans))
