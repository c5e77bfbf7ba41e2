"""What agents cost at rest: processor, memory, and bytes on the links.

    python benchmarks/idle.py [--rest SECONDS] [--middleware NAME] [--json FILE]

Ten cells with agents and a registry, in a lab, in which nothing happens: nobody watches either,
which takes 45 s to be so (`uno.statesync.timers`). Of each agent the share of
one core and its memory, with the processes of its bus and its page; of that memory what a bare
Python takes, what one with uno's modules, and what one with DDS; of each cell what it sends into
its links for the bus and for probes, beside BGP and BFD, as packets that cross the Internet: with
the headers of WireGuard, UDP and IPv4. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from living import living
from reporting import Summary, below, finish, machine, say
from sites import exit_with

from uno.host.command import run
from uno.lab.agents import Agent, Agents
from uno.lab.node import Node
from uno.model.plan import BusPlan
from uno.model.routing_policy import BGP_PORT
from uno.model.uvn import Middleware, Settings
from uno.ports.bus import CELL_INDEX, REGISTRY_INDEX, ports

# What WireGuard (16 bytes of header, 16 of tag), UDP and IPv4 add to each packet; padding not.
AROUND = 16 + 16 + 8 + 20
KINDS = ("bus", "probes", "bgp", "bfd", "other")
# What an agent has loaded, step by step; each is measured in a process of its own.
_MODULES = "import uno.cli.commands.run_agent, uno.agent.daemon, uno.host.linux, cryptography"
STEPS = {
    "bare Python": "",
    "uno's modules": _MODULES,
    "the process of the bus": "import uno.bus.child, uno.bus.cyclone",
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an agent took: percent of a core, and memory in MB: its share (PSS), and its alone."""

    name: str
    cpu: float
    proportional: float
    private: float


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Packets and bytes that a cell sent into links, by kind."""

    packets: dict[str, int]
    bytes: dict[str, int]

    def per_hour(self, kind: str, seconds: float) -> float:
        """Bytes an hour on the Internet."""
        return (self.bytes[kind] + AROUND * self.packets[kind]) * 3600 / seconds


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rest", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--settle", type=float, default=90, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--middleware", type=Middleware, default=Settings().middleware)
    asked = parser.parse_args()
    before = machine()
    with living(say, middleware=asked.middleware) as agents:
        say(f"{asked.settle:g} s to settle, {asked.rest:g} s at rest")
        Event().wait(asked.settle)
        costs, traffic = rest(agents, asked.rest)
    steps = {name: memory_of(code) for name, code in STEPS.items()}
    for each in costs:
        say(f"{each.name}: {each.cpu:.2f} % of a core, {each.proportional:.0f} MB")
    for name, resident in steps.items():
        say(f"memory, {name}: {resident:.0f} MB")
    cells = [each for each in costs if each.name != "registry"]
    hourly = {
        kind: Summary(values=tuple(t.per_hour(kind, asked.rest) for t in traffic.values()))
        for kind in KINDS
    }
    for kind, sent in hourly.items():
        say(f"bytes an hour and cell, {kind}: {sent}")
    cpu = Summary(values=tuple(each.cpu for each in cells))
    goals = [
        below("median share of a core of a cell's agent, %", cpu.median, 1.0),
        below("largest share of a core of an agent, %", max(each.cpu for each in costs), 1.0),
        below("largest memory of an agent, MB", max(each.proportional for each in costs), 90.0),
    ]
    found = {"costs": [vars(each) for each in costs], "memory": steps, "bytes_per_hour": hourly}
    return finish(before=before, found=found, goals=goals, file=asked.json, say=say)


def rest(agents: Agents, seconds: float) -> tuple[list[Cost], dict[str, Traffic]]:
    """Measure the cost of some seconds at rest."""
    nodes = [agent.node for agent in agents.cells.values()]
    for node in nodes:
        node.run(["nft", "-f", "-"], stdin=counters())
    began, used = time.monotonic(), {agent.name: ticks(agent) for agent in agents.all}
    Event().wait(seconds)
    took = time.monotonic() - began
    costs = [cost(agent, (ticks(agent) - used[agent.name]) / took) for agent in agents.all]
    return costs, {node.name: traffic(node) for node in nodes}


def counters(interface: str = "uwg-*") -> str:
    """Rules that count what goes into links, or another interface, by kind."""
    domain = BusPlan().domain
    first, last = min(ports(domain, CELL_INDEX)), max(ports(domain, REGISTRY_INDEX))
    kinds = {
        "bus": [
            f"udp dport {first}-{last}",
            f"tcp dport {first}-{last}",
            f"tcp sport {first}-{last}",
        ],
        "probes": ["meta l4proto { icmp, ipv6-icmp }"],
        "bgp": [f"tcp dport {BGP_PORT}", f"tcp sport {BGP_PORT}"],
        "bfd": ["udp dport { 3784, 3785 }"],
        "other": [""],
    }
    rules = [
        f"{match} counter name {kind} return" for kind, found in kinds.items() for match in found
    ]
    lines = "\n".join(f"    {rule}" for rule in rules)
    named = "\n".join(f"  counter {kind} {{ }}" for kind in kinds)
    return f"""
table inet bench {{
{named}
  chain sent {{
{lines}
  }}
  chain output {{ type filter hook output priority 300; oifname "{interface}" jump sent; }}
  chain forward {{ type filter hook forward priority 300; oifname "{interface}" jump sent; }}
}}
"""


def traffic(node: Node) -> Traffic:
    """What has been counted on a cell."""
    listed = json.loads(
        node.run(["nft", "-j", "list", "counters", "table", "inet", "bench"]).stdout
    )
    found = {
        each["counter"]["name"]: each["counter"] for each in listed["nftables"] if "counter" in each
    }
    return Traffic(
        packets={kind: found[kind]["packets"] for kind in KINDS},
        bytes={kind: found[kind]["bytes"] for kind in KINDS},
    )


def processes(agent: Agent) -> tuple[int, ...]:
    """The agent, and those of its bus and its page that there are."""
    found = (agent.pid, agent.bus_pid, agent.page_pid)
    return tuple(pid for pid in found if pid is not None)


def ticks(agent: Agent) -> float:
    """Seconds of processor that an agent, its processes, and what it waited for have used."""
    used = 0
    for pid in processes(agent):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        used += sum(map(int, fields[11:15]))
    return used / os.sysconf("SC_CLK_TCK")


def cost(agent: Agent, share: float) -> Cost:
    """What an agent takes, with its processes."""
    sizes = Counter[str]()
    for pid in processes(agent):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.MULTILINE)
        sizes.update({name: int(size) for name, size in found})
    return Cost(
        name=agent.name,
        cpu=100 * share,
        proportional=sizes["Pss"] / 1024,
        private=(sizes["Private_Clean"] + sizes["Private_Dirty"]) / 1024,
    )


def memory_of(code: str) -> float:
    """Resident MB of a Python that has run `code`."""
    ask = "import re; print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    return int(run([sys.executable, "-c", f"{code}\n{ask}"]).stdout) / 1024


if __name__ == "__main__":
    exit_with(main)
