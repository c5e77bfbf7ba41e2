"""How long `uno sync` takes until every cell runs what was changed.

    python benchmarks/sync.py [--runs N] [--json FILE]

Ten cells with agents, in a lab. By turns

- LAN: a cell gets another LAN, and loses it again;
- cell: a cell is added whose package has been installed and whose agent runs, and deleted again;
- location: a change that concerns one cell's package alone.

What is measured is the command, from its start to its end: `uno sync -C` until all cells run the
new generation and have confirmed it; when the registry had received that from all cells but the one
added, by its log; and how long after the start every agent sees all well. Exit status 1 if a goal
is missed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from living import GROWING, LATER_CELL, LATER_CELL_LAN, LATER_LAN, living
from reporting import Goal, Summary, below, finish, machine, say
from sites import exit_with

from uno.diagnostics import TransientFailure
from uno.lab.agents import Agent, Agents, agents_of, is_healthy

# Seconds until a change that does not come to an end stops the benchmark.
PATIENCE = 120.0
# Seconds that a changed LAN may take, and the others when a cell is added.
LIMIT = 3.0

# A line of the registry's agent about a cell, with its time.
CONFIRMED = re.compile(r"^(\S+ \S+) .*?(\S+) +confirmed generation (\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change: seconds until the command had ended, and until all was routed.

    `others` is when all cells but the one added had confirmed; 0 where none had to.
    """

    what: str
    consistent: float
    routed: float
    others: float


@dataclass(kw_only=True)
class Found:
    """All changes, by kind."""

    changes: dict[str, list[Change]] = field(default_factory=dict)

    def add(self, kind: str, change: Change) -> None:
        """Store a result, and print it."""
        self.changes.setdefault(kind, []).append(change)
        say(
            f"{change.what}: consistent {change.consistent:.2f} s, but for a cell that is added "
            f"{change.others:.2f} s, routed {change.routed:.2f} s"
        )


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before, found = machine(), Found()
    with living(say) as agents:
        for number in range(asked.runs):
            change_lan(agents, found)
            change_cells(agents, found)
            change_location(agents, found, number)
    goals = []
    for kind, changes in found.changes.items():
        taken = Summary(values=tuple(each.consistent for each in changes))
        routed = Summary(values=tuple(each.routed for each in changes))
        others = Summary(values=tuple(each.others for each in changes))
        say(f"{kind}: consistent {taken}; without a cell that is added {others}; routed {routed}")
        if kind.startswith("LAN"):
            goals += within(kind, taken)
        if kind == "cell added":
            goals += within(f"{kind}, the others", others)
    return finish(before=before, found=found.changes, goals=goals, file=asked.json, say=say)


def within(what: str, taken: Summary) -> list[Goal]:
    """Return the goals for how long something may take."""
    count = len(taken.values)
    return [
        below(f"{what}: median of {count}", taken.median, LIMIT),
        below(f"{what}: worst of {count}", max(taken.values), LIMIT),
    ]


def change_lan(agents: Agents, found: Found) -> None:
    """Give a cell another LAN, and take it away."""
    config = agents.deployment.registry
    config("config", "cell", GROWING, "-U", "--add-network", LATER_LAN, "-y")
    found.add("LAN added", sync(agents, f"{GROWING} gets {LATER_LAN}"))
    config("config", "cell", GROWING, "-U", "--remove-network", LATER_LAN, "-y")
    found.add("LAN removed", sync(agents, f"{GROWING} loses {LATER_LAN}"))


def change_cells(agents: Agents, found: Found) -> None:
    """Add a cell, which is installed by hand as the first time always is, and delete it."""
    deployment = agents.deployment
    node = deployment.world.nodes[LATER_CELL]
    deployment.registry(
        *("define", "cell", LATER_CELL, "-a", f"{LATER_CELL}.example.net"),
        *("-N", LATER_CELL_LAN, "-y"),
    )
    deployment.install([node])
    added = agents_of(deployment).cells[LATER_CELL]
    agents.start([added])
    found.add("cell added", sync(agents, f"{LATER_CELL} is added", with_=added))
    deployment.registry("delete", "cell", LATER_CELL, "-y")
    found.add("cell deleted", sync(agents, f"{LATER_CELL} is deleted"))
    added.stop()
    deployment.service(node, "down")
    shutil.rmtree(deployment.cell_root(node))


def change_location(agents: Agents, found: Found, number: int) -> None:
    """Change the package of one cell only."""
    agents.deployment.registry("config", "cell", "site-5", "-U", "--location", f"at-{number}", "-y")
    found.add("one package", sync(agents, "site-5 is elsewhere"))


def sync(agents: Agents, what: str, *, with_: Agent | None = None) -> Change:
    """Run the command, and wait until every agent sees all well."""
    before = agents.registry.view().generation
    offset = len(agents.registry.log_text())
    began = time.monotonic()
    began_at = time.time()  # noqa: TID251 - logs have times of day
    agents.sync("-C", "-t", f"{PATIENCE:.0f}", timeout=PATIENCE + 30)
    consistent = time.monotonic() - began
    chosen = [*agents.all, *([with_] if with_ else [])]
    agents.await_views(is_healthy, agents=chosen, within=PATIENCE)
    routed = time.monotonic() - began
    if agents.registry.view().generation <= before:
        raise TransientFailure(f"nothing has changed: {what}")
    # The next change would have to wait for what is left to take back of this one.
    agents.await_settled(agents=chosen, within=PATIENCE)
    times = [
        datetime.fromisoformat(at).timestamp() - began_at
        for at, name, _ in CONFIRMED.findall(agents.registry.log_text()[offset:])
        if name != LATER_CELL
    ]
    return Change(what=what, consistent=consistent, routed=routed, others=max(times, default=0.0))


if __name__ == "__main__":
    exit_with(main)
