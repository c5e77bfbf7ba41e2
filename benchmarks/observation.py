"""What an agent's observations of its host take, without readers of its page and with some.

    python benchmarks/observation.py [--pages NUMBER] [--seconds SECONDS] [--runs N] [--json FILE]

Ten cells with agents, in a lab. By turns nobody, and Chromium on a LAN host of one cell with so
many pages of that cell open. Of each observation of that cell's agent the time and the processor
time of its thread, of the agent alone, without the process of its page, the share of a core. With
readers all cells measure, as they do for whoever watches. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from threading import Event

from living import living
from reporting import Summary, below, finish, machine, say
from sites import exit_with

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

from page import ticks
from pages import chromium_on, logged_in, page_addresses

from uno.lab import deploy
from uno.lab.agents import Agent, Agents
from uno.lab.node import Node, Program, as_on_a_stock_host
from uno.lab.world_layout import Role

HERE = Path(__file__).resolve().parent
CELL = "site-1"
OWNER = {"email": "john@example.org", "password": "a-password"}
# How much longer an observation may be with readers.
GOAL = 1.25
TIMES = "observations"


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    before = machine()
    found: dict[str, list[float]] = {}
    with living(say) as agents:
        with timing(agents.cells[CELL]):
            agents.cells[CELL].stop()
            agents.start([agents.cells[CELL]])
        agents.await_settled(within=120)
        for _ in range(options.runs):
            for pages in (0, options.pages):
                for what, value in measured(agents, pages, options.seconds).items():
                    found.setdefault(f"{pages} pages: {what}", []).append(value)
    summaries = {what: Summary(values=tuple(values)) for what, values in found.items()}
    for what, values in summaries.items():
        say(f"{what} {values}")
    goals = [
        below(
            f"{kind} of an observation with {options.pages} pages, of those without",
            ratio(summaries, kind, options.pages),
            GOAL,
        )
        for kind in (MEDIAN, PROCESSOR)
    ]
    return finish(before=before, found=summaries, goals=goals, file=options.json, say=say)


MEDIAN, WORST, PROCESSOR = "ms, median", "ms, longest", "ms of processor, median"
COUNT, SHARE = "observations a minute", "percent of a core, agent alone"


def ratio(found: Mapping[str, Summary], kind: str, pages: int) -> float:
    """Return a figure with readers by that without."""
    return found[f"{pages} pages: {kind}"].median / found[f"0 pages: {kind}"].median


@contextmanager
def timing(agent: Agent) -> Iterator[None]:
    """Have an agent that is started meanwhile keep the times of its observations."""

    def started(
        node: Node,
        *arguments: str,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Program:
        given = (str(agent.node.directory / TIMES), list(arguments))
        code = f"import sys; sys.path.insert(0, {str(HERE)!r}); "
        code += f"import timed_agent; timed_agent.main(*{given!r})"
        return node.start(as_on_a_stock_host([sys.executable, "-c", code]), log=log, env=env)

    before, deploy.start_uno = deploy.start_uno, started
    try:
        yield
    finally:
        deploy.start_uno = before


def measured(agents: Agents, pages: int, seconds: float) -> dict[str, float]:
    """Return the figures of so many seconds with so many pages open."""
    agent, world = agents.cells[CELL], agents.deployment.world
    host = next(it for it in world.having(Role.HOST) if it.station.cell == CELL)
    pid = agent.pid
    assert pid is not None
    with ExitStack() as stack:
        if pages:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            root = folder / "root.pem"
            root.write_text(agents.deployment.registry("show", "ca").stdout)
            browser = stack.enter_context(chromium_on(host, folder, root=root))
            for _ in range(pages):
                logged_in(browser, page_addresses(agents)[CELL][0], **OWNER)
        # Nobody is taken to watch any longer after 45 s (`uno.statesync.timers`).
        Event().wait(15 if pages else 60)
        began, used = time.monotonic(), ticks(pid)
        Event().wait(seconds)
        ended, share = time.monotonic(), (ticks(pid) - used) / seconds
    lines = (agent.node.directory / TIMES).read_text().splitlines()
    all_times = [tuple(map(float, line.split())) for line in lines]
    times = [each for each in all_times if began <= each[0] <= ended]
    return {
        MEDIAN: median(each[1] for each in times),
        WORST: max(each[1] for each in times),
        PROCESSOR: median(each[2] for each in times),
        COUNT: len(times) * 60 / seconds,
        SHARE: 100 * share,
    }


if __name__ == "__main__":
    exit_with(main)
