"""How long it takes from the first `uno service up` until every LAN host reaches every other.

    python benchmarks/startup.py [--runs N] [--json FILE]

Four sites and a relay in a lab that is new in every run; the five cells start at once, on this one
machine. For each stage, when the first and when the last cell got there:

- first change: uno has looked at the host, and begins to change it;
- first interface: a WireGuard interface is there;
- routing starts: all interfaces are there, and FRR's configuration is written;
- routing runs: FRR's daemons answer;
- first route: the kernel has a route that BGP learned;
- command ends: `uno service up` is done.

Then whole processes, from start to end: `uno --help`, `uno service up` where nothing changes, and
`uno service status`. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from reporting import Summary, at_most, below, finish, machine, say
from sites import await_sessions, exit_with, frr, installed

from uno.diagnostics import TransientFailure
from uno.host.command import run
from uno.lab.deploy import Deployment, uno
from uno.lab.evidence import lan_pairs
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix

# Seconds between two looks at the kernel's tables. A look costs 0.1 ms for each cell.
LOOK = 0.02
# zebra's metric of routes in the kernel.
METRIC = "20"


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before = machine()
    starts, processes = [], {}
    for number in range(asked.runs):
        with installed(lambda _: None) as deployment:
            starts.append(start(deployment))
            say(f"all pairs after {starts[-1]['all pairs']:.2f} s")
            if number == asked.runs - 1:
                processes = whole_processes(deployment, asked.runs)
    stages = {name: Summary(values=tuple(each[name] for each in starts)) for name in starts[0]}
    for name, summary in {**stages, **processes}.items():
        say(f"{name:28} {summary} s")
    pairs = stages["all pairs"]
    goals = [
        below("all pairs: median", pairs.median, 5),
        below("all pairs: longest", max(pairs.values), 8),
        at_most("uno --help: median", processes["uno --help"].median, 0.3),
    ]
    found = {"stages": stages, "processes": processes}
    return finish(before=before, found=found, goals=goals, file=asked.json, say=say)


def start(deployment: Deployment) -> dict[str, float]:
    """Start all cells at once; return the seconds after which each stage was reached."""
    marker = deployment.world.lab.directory / "begin"
    with PingMatrix(pair.path for pair in lan_pairs(deployment.world)) as prober:
        marker.touch()
        began = time.monotonic()
        with Looks(deployment.cells) as observations, deployment.start_up() as starting:
            within = deployment.pace.network
            reached = prober.reach(within=within, stop=lambda: starting.failed)
            starting.finish()
    if reached.missing:
        raise TransientFailure(f"{len(reached.missing)} pairs of hosts do not reach each other")
    written = [stages_on_disk(cell, marker.stat().st_mtime) for cell in deployment.cells]
    times = {name: [each[name] for each in written] for name in written[0]}
    times["first interface"] = [at - began for at in observations.interface.values()]
    times["first route"] = [at - began for at in observations.route.values()]
    times["command ends"] = [at - began for at in starting.ended]
    found = {}
    for name in sorted(times, key=lambda name: max(times[name])):
        found[f"{name}, first cell"] = min(times[name])
        found[f"{name}, last cell"] = max(times[name])
    return {**found, "all pairs": reached.last - began}


def stages_on_disk(cell: Node, began: float) -> dict[str, float]:
    """The times of a cell's files, in seconds since `began`."""
    of_uno = cell.directory / "run" / "uno"
    return {
        "first change": of_uno.stat().st_mtime - began,
        "routing starts": (frr(cell) / "daemon.sh").stat().st_mtime - began,
        "routing runs": (frr(cell) / "watchfrr.pid").stat().st_mtime - began,
    }


class Looks:
    """Looks at the kernel's tables of each cell, for the length of a `with`.

    `interface` and `route` are the times of the first ones, by cell name.
    """

    def __init__(self, cells: tuple[Node, ...]) -> None:
        """Look at these cells."""
        self.interface: dict[str, float] = {}
        self.route: dict[str, float] = {}
        self._cells = cells
        self._ended = Event()
        self._thread = Thread(target=self._run, name="looks", daemon=True)

    def __enter__(self) -> Looks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(LOOK):
            for cell in self._cells:
                assert cell.holder is not None
                tables = Path(f"/proc/{cell.holder[0]}/net")
                if cell.name not in self.interface:
                    self._note(self.interface, cell, "uwg-" in (tables / "dev").read_text())
                elif cell.name not in self.route:
                    rows = (tables / "route").read_text().splitlines()
                    found = any(row.split()[6] == METRIC for row in rows)
                    self._note(self.route, cell, found)

    @staticmethod
    def _note(times: dict[str, float], cell: Node, found: bool) -> None:  # noqa: FBT001
        if found:
            times[cell.name] = time.monotonic()


def whole_processes(deployment: Deployment, runs: int) -> dict[str, Summary]:
    """Time commands that change nothing."""
    await_sessions(deployment)
    cell = deployment.cells[0]
    root = str(deployment.cell_root(cell))
    return {
        "uno --help": timed(lambda: run([sys.executable, "-m", "uno", "--help"]), runs),
        "uno service up, no change": timed(lambda: uno(cell, "service", "up", "-r", root), runs),
        "uno service status": timed(lambda: uno(cell, "service", "status", "-r", root), runs),
    }


def timed(work: Callable[[], object], runs: int) -> Summary:
    """Do something several times; return the seconds of each."""
    values = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        values.append(time.perf_counter() - began)
    return Summary(values=tuple(values))


if __name__ == "__main__":
    exit_with(main)
