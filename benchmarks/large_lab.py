"""How long a lab of fifty cells takes until all its LANs reach each other, and its memory.

    python benchmarks/large_lab.py [--agents] [--spec YAML] [--json FILE]

As `uno lab up` does it: with the same functions and the same bound on what starts at once. With
`--agents` the agents connect the cells, without `uno service up` before. After each step the
seconds that it took and the memory that is used more than before the lab (MemAvailable of
/proc/meminfo, proc(5)); at the end the processor's share of all programs of the machine while
nothing happens. Exit status 1 if a pair of LAN hosts does not reach each other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from typing import TypeVar

from reporting import at_most, finish, machine, say
from sites import exit_with

from uno.lab import rehearsal
from uno.lab.cleanup import ended_by_signals, temporary_lab
from uno.lab.evidence import lan_pairs
from uno.lab.ping_matrix import PingMatrix

SPEC = Path(__file__).parents[1] / "examples" / "fifty-sites" / "uvn.yml"
# Seconds of rest in which the processor's share is measured.
REST = 20.0

T = TypeVar("T")


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", action="store_true")
    parser.add_argument("--spec", type=Path, default=SPEC, metavar="YAML")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before = machine()
    free = available()
    found: dict[str, object] = {}

    def step(name: str, work: Callable[[], T]) -> T:
        began = time.monotonic()
        result = work()
        found[name] = {"seconds": time.monotonic() - began, "megabytes": free - available()}
        say(f"{name}: {time.monotonic() - began:.1f} s; memory {free - available():.0f} MB")
        return result

    with ended_by_signals(), temporary_lab() as lab_id:
        uvn = rehearsal.definition(asked.spec)
        world = step("world", lambda: rehearsal.build_world(uvn, lab_id, report=say))
        deployment = step(
            "define and install", lambda: rehearsal.deploy(world, uvn, asked.spec, report=say)
        )
        pairs = lan_pairs(world)
        agents = None
        if asked.agents:
            agents = step("agents", lambda: rehearsal.start_agents(deployment, report=say))
            with PingMatrix(pair.path for pair in pairs) as prober:
                missing = len(prober.reach(within=deployment.pace.network).missing)
        else:
            start = partial(rehearsal.start_network, deployment, pairs, report=say)
            missing = len(step("network", start).reached.missing)
        say(f"{len(pairs) - missing} of {len(pairs)} pairs of LAN hosts reach each other")
        found["busy at rest"] = busy(REST)
        say(f"at rest: {found['busy at rest']:.0%} of the processors")
        if agents:
            agents.stop()
        began = time.monotonic()
    say(f"lab removed: {time.monotonic() - began:.1f} s")
    goals = [at_most("pairs that do not reach each other", missing, 0)]
    return finish(before=before, found=found, goals=goals, file=asked.json, say=say)


def available() -> float:
    """Return the memory that programs could still have, in MB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("MemAvailable")) / 1024


def busy(seconds: float) -> float:
    """Return the share of the machine's processors that programs take in so many seconds."""
    first = _ticks()
    Event().wait(seconds)
    second = _ticks()
    total, idle = (after - before for before, after in zip(first, second, strict=True))
    return 1 - idle / total


def _ticks() -> tuple[int, int]:
    """Return the clock ticks of all processors, and those of them that were idle (proc(5))."""
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]


if __name__ == "__main__":
    exit_with(main)
