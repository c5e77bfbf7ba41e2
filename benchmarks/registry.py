"""How long the registry's commands take as a person sees them: whole processes, medians.

    python benchmarks/registry.py [--size N] [--runs N] [--json FILE]

A UVN of N cells, every second one private, and N particles (1,000 of each by default). Each
figure is the median of several runs of the command, interpreter start included; what changes
something changes something else in every run. Then the history: `HISTORY` generations,
each with another setting, and how large the registry's file is. Exit status 1 if a goal is
missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter

from compile import definition
from msgspec.structs import replace
from reporting import Goal, Summary, at_most, below, finish, machine, say

from uno.host.command import run
from uno.model.plan import Plan
from uno.model.uvn import Uvn
from uno.planning import planner
from uno.planning.survivability import failures
from uno.registry.changes import operations
from uno.registry.changes.edits import Edited
from uno.registry.store.generation_store import Store

UNO = (sys.executable, "-m", "uno")
BY = operations.Author(who="benchmark", time=datetime(2026, 1, 1, tzinfo=UTC))
HISTORY = 500
# Of `uno plan`: something would change; of `uno verify`: a failure would cost something.
DIFFERS = 3
MORE = """\
  - name: added
    address: added.example.org
    allowed_lans: [10.77.0.0/24]
particles:
"""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds by the clock, and of processors: what would be left on a machine that is idle."""

    seconds: Summary
    cpu_seconds: Summary

    def __str__(self) -> str:
        return f"{self.seconds} s; processor: median {self.cpu_seconds.median:.3g} s"


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1000, metavar="N")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before = machine()
    found: dict[str, Timing] = {}
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "registry"
        operations.define_uvn(root, Edited(uvn=definition(asked.size, asked.size)), by=BY)
        for name, arguments in commands(root, asked.size).items():
            found[name] = timed(asked.runs, partial(command, root, arguments))
            say(f"{name:34} {found[name]}")
        for size in (asked.size, 100):
            name = f"verify {size:,} cells, in process"
            found[name] = verified(size, asked.runs)
            say(f"{name:34} {found[name]}")
        history = history_bytes(root)
    say(f"{HISTORY} generations: {history / 1e6:.0f} MB")
    goals = [goal(name, each.seconds) for name, each in found.items()]
    goals.append(below(f"MB of {HISTORY} generations", history / 1e6, 200))
    whole = {
        "size": asked.size,
        "seconds": {name: each.seconds for name, each in found.items()},
        "processor_seconds": {name: each.cpu_seconds for name, each in found.items()},
        "history_bytes": history,
    }
    return finish(before=before, found=whole, goals=goals, file=asked.json, say=say)


def commands(root: Path, size: int) -> dict[str, Callable[[int], Sequence[str]]]:
    """Return the commands to measure, as functions of the number of the run."""
    spec = root.parent / "more.yml"
    exported = run([*UNO, "export", "-r", str(root)]).stdout
    spec.write_text(exported.replace("particles:\n", MORE, 1))
    middle = f"cell{size // 2}"
    lan = ("-N", "10.78.{}.0/24")
    return {
        "uno --help": lambda _: ["--help"],
        "uno list cells": lambda _: ["list", "cells", "-r", str(root)],
        "uno show cell": lambda _: ["show", "cell", middle, "-r", str(root)],
        "uno plan, one more cell": lambda _: ["plan", "-s", str(spec), "-r", str(root)],
        "uno verify": lambda _: ["verify", "-r", str(root)],
        "uno define cell": lambda at: [
            *("define", "cell", f"new{at}", "-a", f"new{at}.example.org"),
            *(lan[0], lan[1].format(at), "-r", str(root)),
        ],
        "uno define particle": lambda at: ["define", "particle", f"new{at}", "-r", str(root)],
        "uno config cell -U": lambda at: [
            *("config", "cell", f"cell{at + 1}", "-U", "--httpd-port", "8443", "-r", str(root))
        ],
        "uno ban cell": lambda at: ["ban", "cell", f"cell{at + 11}", "-y", "-r", str(root)],
        "uno delete particle": lambda at: [
            *("delete", "particle", f"particle{at + 1}", "-y", "-r", str(root))
        ],
        "uno rekey cell -B": lambda at: [
            *("rekey", "cell", f"cell{at + 21}", "-B", "-y", "-r", str(root))
        ],
    }


def goal(name: str, summary: Summary) -> Goal:
    """Return what a figure should be."""
    what = f"{name}: median"
    if name == "uno --help":
        return at_most(what, summary.median, 0.3)
    if name in ("uno list cells", "uno show cell"):
        return below(what, summary.median, 0.7)
    if name == "verify 100 cells, in process":
        return below(what, summary.median, 0.1)
    limit = 2 if name.startswith(("uno plan", "verify", "uno verify")) else 3
    return below(what, summary.median, limit)


def command(root: Path, arguments: Callable[[int], Sequence[str]], at: int) -> None:
    """Run a command of uno to its end; anything but success is an error."""
    done = run([*UNO, *arguments(at)], check=False, timeout=120)
    if done.status not in (0, DIFFERS):
        raise SystemExit(f"uno {' '.join(arguments(at))} in {root}: {done.stderr}")


def timed(runs: int, work: Callable[[int], object]) -> Timing:
    """Return how many seconds `work` takes, run by run, its processes included."""
    seconds, cpu_seconds = [], []
    for at in range(runs):
        start, cpu_start = perf_counter(), processor_seconds()
        work(at)
        seconds.append(perf_counter() - start)
        cpu_seconds.append(processor_seconds() - cpu_start)
    return Timing(
        seconds=Summary(values=tuple(seconds)), cpu_seconds=Summary(values=tuple(cpu_seconds))
    )


def processor_seconds() -> float:
    """Return how long this process and its children have been at work."""
    return sum(os.times()[:4])


def verified(size: int, runs: int) -> Timing:
    """Measure the verification of every single link and cell failure, without a process."""
    plan = planner.plan(definition(size, size), None)
    return timed(runs, lambda _: failures.failure_impacts(plan))


def history_bytes(root: Path) -> int:
    """Store generations until there are `HISTORY`; return the size of the registry's files."""
    with operations.opened(root, for_change=True) as registry:
        store = registry.store
        head = store.head()
        uvn, plan = head.uvn, head.plan
        for at in range(HISTORY - head.number):
            uvn, plan = with_another_port(uvn, plan, at)
            append(store, uvn, plan, at)
    return sum(path.stat().st_size for path in root.iterdir() if path.is_file())


def with_another_port(uvn: Uvn, plan: Plan, at: int) -> tuple[Uvn, Plan]:
    """Return both with another port of the status page of one cell."""
    planned = plan.cells[at % len(plan.cells)]
    port = 20_000 + at
    cells = tuple(
        replace(cell, settings=replace(cell.settings, httpd_port=port))
        if cell.id == planned.member.id
        else cell
        for cell in uvn.cells
    )
    moved = tuple(
        replace(each, httpd_port=port) if each is planned else each for each in plan.cells
    )
    return replace(uvn, cells=cells), replace(plan, cells=moved)


def append(store: Store, uvn: Uvn, plan: Plan, at: int) -> None:
    """Store one generation."""
    with store.transaction():
        store.append(uvn=uvn, plan=plan, time=BY.time, who=BY.who, why=f"change {at}")


if __name__ == "__main__":
    sys.exit(main())
