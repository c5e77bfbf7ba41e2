"""The agent of a cell as a process: one event loop, one thread for what blocks, one per cell.

When it ends, however it ends, the network stays as it is.
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
    """Be the agent of the cell in `ledger` until SIGTERM or SIGINT; SIGHUP makes a pass.

    Raises `UnoError` where the agent cannot start: there is another one, a LAN is missing, the
    package is too old, the host cannot be made what it should be.
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
                _log.info("the agent of %s ends; the network stays up", name)
            finally:
                agent.close()


def _on_signals(calls: dict[signal.Signals, Callable[[], object]]) -> None:
    loop = asyncio.get_running_loop()
    for number, call in calls.items():
        loop.add_signal_handler(number, call)


@asynccontextmanager
async def _worker() -> AsyncIterator[RunBlocking]:
    """Yield what does blocking work in one thread, one piece after the other."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="host")
    loop = asyncio.get_running_loop()

    def run_blocking(call: Callable[..., _T], /, *arguments: Any) -> Awaitable[_T]:
        return loop.run_in_executor(pool, partial(call, *arguments))

    try:
        yield run_blocking
    finally:
        # What is under way comes to its end, so that the host is never left half done.
        pool.shutdown(wait=True, cancel_futures=True)
