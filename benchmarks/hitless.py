"""What changing a UVN costs those who send while it changes.

    python benchmarks/hitless.py [--runs N] [--json FILE]

Ten cells with agents, in a lab. A hundred pings a second go from each of nine LAN hosts to one of
another LAN, and back, while `uno sync` brings, by turns,

- LAN: another LAN for one cell, and takes it away again;
- cell: a cell more, whose package is installed and whose agent runs, and deletes it again;
- keys: new keys for every link;
- strategy: circular instead of crossed, and back.

Pairs that a change concerns are left out: the cell that changes, and those on one path alone while
that path gets new keys, whose longest gap is reported. A deleted cell loses all its links at
once, and traffic through it loses packets until there is another path: no goal. Time is that of
`uno sync -C`, until every cell has confirmed the new generation, beside all those pings, which
take a good part of one machine: `benchmarks/sync.py` has the time without them. Exit status 1 if a
goal is missed.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from threading import Event

from living import GROWING, LATER_CELL, LATER_CELL_LAN, LATER_LAN, living
from reporting import Goal, Summary, at_most, below, finish, machine, say
from sites import exit_with

from uno.lab.agents import Agent, Agents, agents_of
from uno.lab.node import Node
from uno.lab.ping_matrix import PingFlow, PingMatrix, PingPath
from uno.lab.world_layout import Role

# Seconds until a change that does not come to an end stops the benchmark.
PATIENCE = 120.0
# Seconds of pings before and after a change.
MARGIN = 0.5
# Each host's partner, as places further on in the list of hosts.
STEP = 4

PRIVATE = frozenset({"site-7", "site-8", "site-9"})


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change: packets sent and lost by those not concerned, and seconds until all had it.

    `gap` is the longest time, in seconds, that a cell with a single path was disconnected.
    """

    what: str
    sent: int
    lost: int
    gap: float
    consistent: float


@dataclass(kw_only=True)
class Found:
    """All changes, by kind."""

    changes: dict[str, list[Change]] = field(default_factory=dict)

    def add(self, kind: str, change: Change) -> None:
        """Store a result, and print it."""
        self.changes.setdefault(kind, []).append(change)
        say(
            f"{change.what}: {change.lost} of {change.sent} packets lost, longest gap on one path "
            f"alone {change.gap:.2f} s; consistent after {change.consistent:.2f} s"
        )


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before, found = machine(), Found()
    with living(say) as agents:
        for _ in range(asked.runs):
            change_lan(agents, found)
            change_cells(agents, found)
            change_keys(agents, found)
            change_strategy(agents, found)
    goals = [goal for kind, changes in found.changes.items() for goal in judge(kind, changes)]
    return finish(before=before, found=found.changes, goals=goals, file=asked.json, say=say)


def judge(kind: str, changes: list[Change]) -> list[Goal]:
    """Say what a kind of change came to, and whether it is good enough."""
    taken = Summary(values=tuple(each.consistent for each in changes))
    lost = sum(each.lost for each in changes)
    sent = sum(each.sent for each in changes)
    say(f"{kind}: {lost} of {sent} packets lost in {len(changes)} changes; consistent {taken}")
    if kind == "cell deleted":
        return []
    goals = [at_most(f"{kind}: packets lost in {len(changes)} changes", lost, 0)]
    if kind == "keys":
        gap = max(each.gap for each in changes)
        goals.append(below(f"{kind}: longest gap on one path alone", gap, 1.0))
    return goals


def change_lan(agents: Agents, found: Found) -> None:
    """Give a cell another LAN, and take it away."""
    for verb, option in (("gets", "-N"), ("loses", "--remove-network")):
        edit(agents, "config", "cell", GROWING, "-U", option, LATER_LAN)
        found.add("LAN", sync(agents, f"{GROWING} {verb} {LATER_LAN}", but={GROWING}))


def change_cells(agents: Agents, found: Found) -> None:
    """Add a cell, which is installed by hand as the first time always is, and delete it."""
    deployment = agents.deployment
    node = deployment.world.nodes[LATER_CELL]
    address = f"{LATER_CELL}.example.net"
    edit(agents, "define", "cell", LATER_CELL, "-a", address, "-N", LATER_CELL_LAN)
    deployment.install([node])
    added = agents_of(deployment).cells[LATER_CELL]
    agents.start([added])
    found.add("cell added", sync(agents, f"{LATER_CELL} is added", with_=[added]))
    edit(agents, "delete", "cell", LATER_CELL)
    found.add("cell deleted", sync(agents, f"{LATER_CELL} is deleted"))
    added.stop()
    deployment.service(node, "down")
    shutil.rmtree(deployment.cell_root(node))


def change_keys(agents: Agents, found: Found) -> None:
    """Give every link new keys."""
    edit(agents, "rekey", "backbone")
    found.add("keys", sync(agents, "all links get new keys", but=PRIVATE))


def change_strategy(agents: Agents, found: Found) -> None:
    """Have fewer links, then more again."""
    for strategy in ("circular", "crossed"):
        edit(agents, "config", "uvn", "-U", "-S", strategy)
        found.add("strategy", sync(agents, f"links are {strategy}"))


def edit(agents: Agents, *arguments: str) -> None:
    """Change the definition in the registry only."""
    agents.deployment.registry(*arguments, "-y")


def sync(
    agents: Agents,
    what: str,
    *,
    but: Iterable[str] = (),
    with_: Iterable[Agent] = (),
) -> Change:
    """Run the command while hosts send, and wait until every agent sees all well."""
    concerned = frozenset(but)
    ways = {
        way: concerned.isdisjoint(cells)
        for way, cells in _ways(agents.deployment.world.having(Role.HOST))
    }
    with PingMatrix(ways) as prober, prober.stream() as stream:
        Event().wait(MARGIN)
        began = time.monotonic()
        agents.sync("-C", "-t", f"{PATIENCE:.0f}", timeout=PATIENCE + 30)
        consistent = time.monotonic() - began
        agents.await_settled(agents=[*agents.all, *with_], within=PATIENCE)
        Event().wait(MARGIN)
    spared, alone = (
        [flow for way, flow in stream.flows.items() if ways[way] == wanted]
        for wanted in (True, False)
    )
    return Change(
        what=what,
        sent=total(spared, lambda flow: flow.sent),
        lost=total(spared, lambda flow: flow.lost),
        gap=max((flow.longest_gap for flow in alone), default=0.0),
        consistent=consistent,
    )


def _ways(hosts: Iterable[Node]) -> Iterator[tuple[PingPath, tuple[str, ...]]]:
    """Yield the ways that pings go, with the cells of both ends."""
    lasting = {
        each.station.cell: (each, address)
        for each in hosts
        if each.station.cell != LATER_CELL
        and (address := each.address(4)) is not None
        and address not in IPv4Network(LATER_LAN)
    }
    names = sorted(lasting)
    for place, name in enumerate(names):
        other = names[(place + STEP) % len(names)]
        yield PingPath(lasting[name][0].namespace, lasting[other][1]), (name, other)


def total(flows: Iterable[PingFlow], count: Callable[[PingFlow], int]) -> int:
    """Add something up."""
    return sum(count(flow) for flow in flows)


if __name__ == "__main__":
    exit_with(main)
