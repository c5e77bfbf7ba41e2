"""The agent of a cell as a process: one event loop, and one thread for blocking calls.

When it ends, in any way, the network stays up.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from uno.agent.cell_agent import CellAgent
from uno.agent.commit.package_checks import require_keys
from uno.agent.pidfile import hold_pidfile
from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from uno.agent.agent_environment import AgentEnvironment
    from uno.agent.blocking import RunBlocking
    from uno.agent.commit.ledger import Ledger

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


async def run(ledger: Ledger, environment: AgentEnvironment) -> None:
    """Run the agent of the cell in `ledger` until SIGTERM or SIGINT; on SIGHUP it reconciles.

    Raises `UnoError` if the agent cannot start: another one runs, a LAN is missing, the package is
    too old, or the host cannot be reconciled with it.
    """
    package = ledger.current()
    if package is None:
        raise ActionNeeded(
            f"there is no cell in {ledger.directory}",
            "install its package first: uno install PACKAGE -r DIR",
        )
    require_keys(package)
    name = f"{package.plan.name} of {package.plan.uvn}"
    with hold_pidfile(environment.folder, name=name):
        async with _worker() as run_blocking:
            agent = CellAgent(
                package, ledger=ledger, environment=environment, run_blocking=run_blocking
            )
            job = asyncio.ensure_future(agent.run())
            _on_signals({signal.SIGTERM: job.cancel, signal.SIGINT: job.cancel})
            _on_signals({signal.SIGHUP: agent.reconcile_now})
            try:
                await job
            except asyncio.CancelledError:
                _log.info("the agent of %s stops; the network stays up", name)
            finally:
                agent.close()


def _on_signals(calls: dict[signal.Signals, Callable[[], object]]) -> None:
    loop = asyncio.get_running_loop()
    for number, call in calls.items():
        loop.add_signal_handler(number, call)


@asynccontextmanager
async def _worker() -> AsyncIterator[RunBlocking]:
    """Yield a function that runs blocking calls in one thread, one after the other."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="host")
    loop = asyncio.get_running_loop()

    def run_blocking(call: Callable[..., _T], /, *arguments: Any) -> Awaitable[_T]:
        return loop.run_in_executor(pool, partial(call, *arguments))

    try:
        yield run_blocking
    finally:
        # The running call completes, so that the host is never left half changed.
        pool.shutdown(wait=True, cancel_futures=True)
