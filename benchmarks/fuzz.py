"""What becomes of agents that receive altered datagrams of the bus.

    python benchmarks/fuzz.py [--datagrams N] [--seconds S] [--seed N] [--json FILE]

Four sites with agents, in a lab. The agent of one cell is dead, and its host sends altered
datagrams, made of captured ones, to the bus ports of another cell's agent and of the registry's.
Counted are agents that have ended; measured is their memory before and after, and whether they
still receive a change. Exit status 1 if one has ended, or takes 10 MB more.

Statements and packages are fed by `scripts/fuzz.py`, without a lab.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from reporting import at_most, finish, machine, say
from sites import SPEC, exit_with

from uno.agent.commit.ledger import Ledger
from uno.lab import rehearsal, requirements
from uno.lab.agents import Agent, Agents
from uno.lab.arrange import arrange
from uno.lab.cleanup import ended_by_signals
from uno.lab.world import temporary_world
from uno.model.plan import BusPlan
from uno.ports.bus import CELL_INDEX, REGISTRY_INDEX, ports

THIEF, VICTIM = "lan-b", "lan-c"
SENDER = Path(__file__).with_name("altered_datagrams.py")
# Datagrams that one run of the sender sends.
_PORTION = 50_000


def main() -> int:
    """Send, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datagrams", type=int, default=1_000_000, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=3600, help="begin no portion after so long"
    )
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    requirements.require(requirements.for_a_deployment())
    before = machine()
    uvn = rehearsal.definition(SPEC)
    with ended_by_signals(), temporary_world(arrange(uvn)) as world:
        agents = rehearsal.start_agents(rehearsal.deploy(world, uvn, SPEC, report=say), report=say)
        try:
            found = bombard(agents, asked.datagrams, seed=asked.seed, seconds=asked.seconds)
        finally:
            agents.stop()
    goals = [
        goal
        for name, each in found["agents"].items()
        for goal in (
            at_most(f"times that the agent of {name} ended", each["ended"], 0),
            at_most(f"MB more of the agent of {name}", each["after"] - each["before"], 10),
        )
    ]
    return finish(before=before, found=found, goals=goals, file=asked.json, say=say)


def bombard(agents: Agents, count: int, *, seed: int, seconds: float) -> dict[str, Any]:
    """Send altered datagrams in portions, and return what became of the agents."""
    thief, victims = agents.cells[THIEF], (agents.registry, agents.cells[VICTIM])
    thief.kill()
    targets = [
        f"{node_address(agents, each)}:{port}"
        for each in victims
        for port in ports(BusPlan().domain, CELL_INDEX if each.cell else REGISTRY_INDEX)
    ]
    watched = {each.name: {"before": resident(each), "ended": 0} for each in victims}
    began, sent, captured = monotonic(), 0, 0
    while sent < count and monotonic() - began < seconds:
        portion = min(_PORTION, count - sent)
        argv = [sys.executable, str(SENDER), str(thief.root), str(portion), str(seed + sent)]
        done = json.loads(thief.node.run([*argv, *targets], timeout=600).stdout)
        if not done["sent"]:
            break
        sent, captured = sent + done["sent"], max(captured, done["captured"])
        for each in victims:
            if each.ended() is not None:
                watched[each.name]["ended"] += 1
                say(f"the agent of {each.name} ended with status {each.ended()}")
                agents.start([each])
        say(f"{sent:,} of {count:,} datagrams sent, made of {captured}")
    for each in victims:
        watched[each.name]["after"] = resident(each)
    thief.start()
    settled = agents.await_settled(within=120)
    say(f"all is well {settled:.1f} s after the agent of {THIEF} has started")
    return {"sent": sent, "captured": captured, "settled": settled, "agents": watched}


def node_address(agents: Agents, agent: Agent) -> str:
    """Return the address at which an agent is on the bus."""
    package = Ledger(agents.cells[THIEF].root).current()
    assert package is not None
    assert package.plan.root is not None
    members = {each.id: str(each.node4) for each in package.roster.members}
    return members.get(agent.cell, str(package.plan.root.remote4))


def resident(agent: Agent) -> float:
    """Return the resident memory of an agent and its bus in MB (proc_pid_statm(5))."""
    both = [Path(f"/proc/{pid}/statm").read_text() for pid in (agent.pid, agent.bus_pid)]
    pages = sum(int(each.split()[1]) for each in both)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    exit_with(main)
