"""Scaling of agents: 2 to 64 on this machine, extrapolated to 500.

    python benchmarks/scale.py [--sizes N,N,...] [--limit SECONDS] [--rest SECONDS] [--json FILE]

The control plane alone: real agents, a real bus between network namespaces, and hosts that only
are in memory (`uno.host.fake`), so that there is no WireGuard and no FRR. Processes
are forked from one that has loaded everything, since in earnest each has a machine of its own to
start on. For each size

- converge: from the first fork until every agent sees every cell well;
- push: from `uno sync`'s question to the registry's agent, after a change that concerns every
  cell, until all run it and have confirmed it;
- what a cell and the registry send on the bus in an hour, measured for `--rest` seconds (0: not)
  while nobody watches, once no cell has anything to advertise, as packets that cross the Internet;
  of a cell also by kind (`agent_board.OCTETS`), with what is around: the frames of the protocol,
  packets that only acknowledge, and headers from TCP to IPv4 outside of WireGuard; and what has
  changed in the statuses that cells have advertised meanwhile (`agent_board.CAUSES`);
- death: from the end of one agent, whose links BFD reports as down at once, until the views of all
  other cells have lost it;
- shares of a core at rest, processor time for the push, of the registry and of all, and until all
  agents have converged, and memory: of a process, and what each takes of the machine's.

No step of a size may take longer than `--limit`; what the machine does not carry is printed, and
the next size is measured. Exit status 1 then, and if a goal is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from threading import Event

from agent_board import OCTETS, AgentBoard
from control_plane import preload, serve_cell, serve_registry
from idle import AROUND, counters, traffic
from reporting import at_least, below, finish, machine, say
from sites import await_true, exit_with

from uno import control
from uno.agent.commit.ledger import Ledger
from uno.diagnostics import UnoError
from uno.host.command import run
from uno.lab import netns
from uno.lab.cleanup import ended_by_signals
from uno.lab.node import Node as LabNode
from uno.lab.world import World, temporary_world
from uno.lab.world_layout import GATEWAY4, Cable, Role, Station, WorldLayout
from uno.model.messages import REGISTRY
from uno.model.net import Address
from uno.model.status import UvnView

HUB = "hub"
REST = 60.0
QUIET = 10.0
PATIENCE = 180.0


@dataclass(frozen=True, kw_only=True)
class Node:
    """An agent to be: its namespace's name in the lab, its cell, address and directory."""

    name: str
    cell: int
    address: Address
    root: Path


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What agents cost at rest: shares in percent of a core, what is sent in MB an hour.

    `cell_sent` and `cell_share` are medians, `most_sent` is of the cell that sends most. `octets`
    are of a cell, the mean, in kB an hour by kind. `causes` count the statuses of all cells in
    `seconds` by what had changed.
    """

    seconds: float
    sent: float
    cell_sent: float
    most_sent: float
    share: float
    cell_share: float
    octets: dict[str, float]
    causes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One size. Times in seconds, memory in MB.

    `push_cpu` is of the registry, `push_cpu_all` and `converge_cpu` of all agents. `memory_each` is
    what the machine has less of for each.
    """

    cells: int
    converge: float
    converge_cpu: float
    push: float
    push_cpu: float
    push_cpu_all: float
    memory: float
    cell_memory: float
    memory_each: float
    death: float
    rest: Rest | None


@dataclass(kw_only=True)
class Fleet:
    """All agents, as processes."""

    nodes: tuple[Node, ...]
    identity: str
    places: Path
    limit: float
    board: AgentBoard
    neighbors: dict[int, tuple[int, ...]]
    pids: dict[int, int] = field(default_factory=dict)

    def socket(self, cell: int) -> Path:
        """Where an agent listens."""
        return control.socket_path(self.identity, cell, run=self.places)

    def seen(self, cell: int) -> UvnView | None:
        """What an agent sees, None while it does not answer."""
        try:
            # Whoever watches has all cells advertise what they measure.
            return control.request_view(self.socket(cell), control.ControlRequest.FOLLOW)
        except UnoError:
            return None

    def await_all(self, condition: Callable[[UvnView], bool], what: str) -> None:
        """Wait until every agent sees something."""
        waiting = [node.cell for node in self.nodes]

        def all_do() -> bool:
            while waiting:
                view = self.seen(waiting[-1])
                if view is None or not condition(view):
                    return False
                waiting.pop()
            return True

        await_true(all_do, what, within=self.limit)

    def cpu(self, cell: int) -> float:
        """Seconds of processor that an agent has used."""
        fields = Path(f"/proc/{self.pids[cell]}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def causes(self) -> Counter[str]:
        """How often cells have advertised their statuses, by what had changed."""
        found = Counter[str]()
        for node in self.nodes:
            found += Counter(self.board.causes(node.cell))
        return found

    def all_cpu(self) -> float:
        """Seconds of processor that all agents have used."""
        return sum(self.cpu(cell) for cell in self.pids)

    def await_rest(self) -> None:
        """Wait until no cell has advertised its status for `QUIET` seconds."""
        seen, since = self.causes(), time.monotonic()

        def is_quiet() -> bool:
            nonlocal seen, since
            if (found := self.causes()) != seen:
                seen, since = found, time.monotonic()
            return time.monotonic() - since >= QUIET

        await_true(is_quiet, "cells advertise without end", within=self.limit)

    def memory(self, cell: int) -> float:
        """Resident MB of an agent, what it shares with others included."""
        lines = Path(f"/proc/{self.pids[cell]}/status").read_text().splitlines()
        return next(int(each.split()[1]) for each in lines if each.startswith("VmRSS")) / 1024


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="2,4,8,16,32,64", metavar="N,N")
    parser.add_argument("--limit", type=float, default=PATIENCE, metavar="SECONDS")
    parser.add_argument("--rest", type=float, default=REST, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before, sizes = machine(), [int(each) for each in asked.sizes.split(",")]
    preload()
    with ended_by_signals():
        tried = {size: tried_size(size, asked.limit, asked.rest) for size in sizes}
    found = [each for each in tried.values() if isinstance(each, Measured)]
    sizes = [each.cells for each in found]
    if not found:
        return 1
    last = found[-1]
    for what, values in (
        ("converge, s", [each.converge for each in found]),
        ("push, s", [each.push for each in found]),
        ("registry's memory, MB", [each.memory for each in found]),
    ):
        say(f"{what}: with 500 cells {extrapolated(sizes, values, 500):.1f} by a straight line")
    goals = [
        below(f"{last.cells} agents converge, s", last.converge, 20.0),
        below(f"push to {last.cells}, s", last.push, 5.0),
        *(
            below("sent on the bus by a cell in an hour at rest, MB", rest.cell_sent, 1.0)
            for rest in (last.rest,)
            if rest is not None
        ),
        below(f"the death of one of {last.cells} known to all others, s", last.death, 3.0),
        at_least("sizes that the machine carries", len(found), len(tried)),
    ]
    kept = [dataclasses.asdict(each) for each in found]
    return finish(before=before, found={"sizes": kept}, goals=goals, file=asked.json, say=say)


def tried_size(cells: int, limit: float, rest: float) -> Measured | None:
    """One size, or why the machine does not carry it, which is printed."""
    free = available()
    try:
        return measure(cells, limit, rest)
    except (UnoError, OSError, MemoryError) as error:
        say(
            f"{cells} cells: not carried: {error}; load {os.getloadavg()[0]:.1f},"
            f" {free:.0f} MB were free before"
        )
        return None


def available() -> float:
    """MB of memory that programs could have."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("MemAvailable")) / 1024


def measure(cells: int, limit: float, rest: float) -> Measured:
    """One size, from nothing to nothing."""
    with (
        tempfile.TemporaryDirectory() as folder,
        fleet(cells, Path(folder), limit) as (world, agents),
    ):
        free = available()
        began = time.monotonic()
        for node in agents.nodes:
            agents.pids[node.cell] = launch(world, node, agents)
        agents.await_all(lambda view: well(view, cells), f"{cells} agents do not converge")
        converge, converge_cpu = time.monotonic() - began, agents.all_cpu()
        say(f"{cells} cells: converge {converge:.1f} s ({converge_cpu:.1f} s of processor)")
        agents.await_rest()
        at_rest = rested(world, agents, rest) if rest else None
        if at_rest is not None:
            tell_rest(cells, at_rest)
        each = (free - available()) / len(agents.nodes)
        push, cpu, cpu_all = push_to_all(agents, cells)
        say(f"{cells} cells: push {push:.2f} s ({cpu:.2f} s of processor, of all {cpu_all:.2f} s)")
        memory = {node.cell: agents.memory(node.cell) for node in agents.nodes}
        agents.await_rest()
        death = death_of_one(agents)
        found = Measured(
            cells=cells,
            converge=converge,
            converge_cpu=converge_cpu,
            push=push,
            push_cpu=cpu,
            push_cpu_all=cpu_all,
            memory=memory[REGISTRY],
            cell_memory=statistics.median(memory[cell] for cell in memory if cell != REGISTRY),
            memory_each=each,
            death=death,
            rest=at_rest,
        )
    say(
        f"{cells} cells: {found.memory:.0f} MB the registry, {found.cell_memory:.0f} MB a cell;"
        f" the death of one known to all others after {found.death:.2f} s;"
        f" {found.memory_each:.0f} MB of the machine each"
    )
    return found


def rested(world: World, agents: Fleet, rest: float) -> Rest:
    """Measure for so many seconds what agents cost at rest."""
    places = {each.cell: world.nodes[each.name] for each in agents.nodes}
    for place in places.values():
        place.run(["nft", "-f", "-"], stdin=counters("eth0"))
        place.run(["nft", "-f", "-"], stdin=ACKNOWLEDGEMENTS)
    before = {cell: agents.board.octets(cell) for cell in places}
    causes, used = agents.causes(), {cell: agents.cpu(cell) for cell in places}
    began = time.monotonic()
    Event().wait(rest)
    took = time.monotonic() - began
    shares = {cell: 100 * (agents.cpu(cell) - used[cell]) / took for cell in used}
    causes = agents.causes() - causes
    sent = {cell: traffic(at).per_hour("bus", took) / 1e6 for cell, at in places.items()}
    octets = split(places, agents.board, before, took)
    some = [cell for cell in places if cell != REGISTRY]
    return Rest(
        seconds=took,
        sent=sent[REGISTRY],
        cell_sent=statistics.median(sent[cell] for cell in some),
        most_sent=max(sent[cell] for cell in some),
        share=shares[REGISTRY],
        cell_share=statistics.median(shares[cell] for cell in some),
        octets=octets,
        causes=dict(causes),
    )


def tell_rest(cells: int, found: Rest) -> None:
    """Print what agents cost at rest."""
    say(
        f"{cells} cells: at rest registry {found.share:.2f} % of a core,"
        f" cell {found.cell_share:.2f} %; sent on the bus in an hour: registry {found.sent:.2f},"
        f" cell {found.cell_sent:.2f}, most {found.most_sent:.2f} MB"
    )
    kinds = ", ".join(f"{kind} {value:.0f}" for kind, value in found.octets.items())
    say(f"{cells} cells: sent by one of them in an hour, mean, kB: {kinds}")
    why = ", ".join(f"{cause} {number}" for cause, number in found.causes.items()) or "none"
    say(f"{cells} cells: statuses in {found.seconds:.0f} s, by what had changed: {why}")


# Segments of TCP that only acknowledge: IPv4, and TCP with timestamps.
ACKNOWLEDGEMENTS = """
table inet bench {
  counter acknowledgements { }
  chain acknowledged { type filter hook output priority 301; oifname "eth0" meta l4proto tcp \
ip length <= 52 counter name acknowledgements; }
}
"""


def split(
    places: dict[int, LabNode],
    board: AgentBoard,
    before: dict[int, dict[str, int]],
    seconds: float,
) -> dict[str, float]:
    """Return what a cell has sent on the bus since `before`, by kind, in kB an hour: the mean."""
    cells = [cell for cell in places if cell != REGISTRY]
    sent = {
        kind: sum(board.octets(cell)[kind] - before[cell][kind] for cell in cells)
        for kind in OCTETS
    }
    frames = sent["all"] - sum(sent[kind] for kind in OCTETS if kind != "all")
    whole = sum(traffic(places[cell]).per_hour("bus", seconds) for cell in cells) * seconds / 3600
    bare = sum(map(acknowledged, (places[cell] for cell in cells)))
    found = {
        **{kind: sent[kind] for kind in OCTETS if kind != "all"},
        "frames of the protocol": frames,
        "acknowledgements of TCP": bare,
        "headers": whole - sent["all"] - bare,
    }
    return {kind: value * 3600 / seconds / len(cells) / 1e3 for kind, value in found.items()}


def acknowledged(place: LabNode) -> float:
    """Octets on the Internet of a node's packets that only acknowledge."""
    listed = place.run(["nft", "-j", "list", "counter", "inet", "bench", "acknowledgements"])
    (counter,) = (
        each["counter"] for each in json.loads(listed.stdout)["nftables"] if "counter" in each
    )
    return float(counter["bytes"] + AROUND * counter["packets"])


def death_of_one(agents: Fleet) -> float:
    """End a cell's agent with its links; return the seconds until all other cells have lost it."""
    cells = [node.cell for node in agents.nodes if node.cell != REGISTRY]
    victim = cells[len(cells) // 2]
    others = [cell for cell in cells if cell != victim]
    agents.board.dead = victim
    began = time.monotonic()
    pid = agents.pids.pop(victim)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for neighbor in agents.neighbors[victim]:
        os.kill(agents.pids[neighbor], signal.SIGUSR1)
    await_true(
        lambda: all(agents.board.lost_at(cell) for cell in others),
        "the death of a cell is not known to all",
        within=agents.limit,
    )
    return max(agents.board.lost_at(cell) for cell in others) - began


def push_to_all(agents: Fleet, cells: int) -> tuple[float, float, float]:
    """Change every cell's package, and have it rolled out.

    Return the seconds, and those of processor: of the registry, and of all.
    """
    registry = next(node for node in agents.nodes if node.cell == REGISTRY)
    uno("config", "uvn", "-U", "--timing-profile", "fast", "-y", root=registry.root)
    view = agents.seen(REGISTRY)
    assert view is not None
    old, used = view.generation, {node.cell: agents.cpu(node.cell) for node in agents.nodes}
    began = time.monotonic()
    control.request_view(agents.socket(REGISTRY), control.ControlRequest.SYNC)

    def done() -> bool:
        found = agents.seen(REGISTRY)
        return found is not None and found.generation > old and well(found, cells)

    await_true(done, f"a push to {cells} cells does not end", within=agents.limit)
    took = time.monotonic() - began
    cpu = {cell: agents.cpu(cell) - before for cell, before in used.items()}
    return took, cpu[REGISTRY], sum(cpu.values())


def well(view: UvnView, cells: int) -> bool:
    """Whether all cells run what they should, and nothing is under way."""
    return len(view.cells) == cells and view.consistent and not view.rollout


def extrapolated(sizes: Sequence[int], values: Sequence[float], size: int) -> float:
    """Where a straight line through the larger half of what was measured leads."""
    half = len(sizes) // 2 if len(sizes) > 3 else 0
    if len(sizes) - half < 2:
        return values[-1]
    slope, start = statistics.linear_regression(sizes[half:], values[half:])
    return slope * size + start


@contextmanager
def fleet(cells: int, folder: Path, limit: float) -> Iterator[tuple[World, Fleet]]:
    """Namespaces and directories for so many agents; no agent outlives the block."""
    root = folder / "registry"
    spec = folder / "uvn.yml"
    spec.write_text(specification(cells))
    uno("define", "uvn", "many", "-s", str(spec), "-y", root=root)
    nodes, identity, registry4 = [], "", IPv4Address(0)
    neighbors: dict[int, tuple[int, ...]] = {}
    for number in range(1, cells + 1):
        directory = folder / f"cell-{number}"
        package = root / "cells" / f"many__cell-{number}.uvn-agent"
        held = Ledger(directory).accept(package.read_bytes()).package
        member = next(each for each in held.roster.members if each.id == held.plan.cell)
        assert held.plan.root is not None
        neighbors[member.id] = tuple(link.cell for link in held.plan.links)
        identity, registry4 = held.plan.identity, held.plan.root.remote4
        nodes.append(
            Node(name=held.plan.name, cell=member.id, address=member.node4, root=directory)
        )
    nodes.insert(0, Node(name="registry", cell=REGISTRY, address=registry4, root=root))
    agents = Fleet(
        nodes=tuple(nodes),
        identity=identity,
        places=folder / "run",
        limit=limit,
        board=AgentBoard(cells),
        neighbors=neighbors,
    )
    with temporary_world(layout(nodes)) as world:
        try:
            yield world, agents
        finally:
            for pid in agents.pids.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def specification(cells: int) -> str:
    """Public cells with a LAN each."""
    rows = "\n".join(
        f"  - {{name: cell-{n}, address: c{n}.example.net,"
        f" allowed_lans: [172.{16 + n // 200}.{n % 200}.0/24]}}"
        for n in range(1, cells + 1)
    )
    return f"""\
name: many
address: registry.example.net
owner: john@example.org
users: [{{email: john@example.org, name: John, password: a-password}}]
cells:
{rows}
"""


def layout(nodes: Sequence[Node]) -> WorldLayout:
    """A star: a router in the middle that all are plugged into, each at a port of its own.

    One bridge for all would take an entry of the kernel's neighbour table for each pair, and the
    table has 1024 for all namespaces together.
    """
    hub, stations = ["link set lo up"], []
    for number, node in enumerate(nodes):
        hub += [
            f"addr add {GATEWAY4}/32 dev p{number}",
            f"link set p{number} up",
            f"route add {node.address} dev p{number}",
        ]
        own = (
            "link set lo up",
            f"addr add {node.address}/32 dev eth0",
            "link set eth0 up",
            f"route add {GATEWAY4} dev eth0",
            f"route add default via {GATEWAY4} dev eth0",
        )
        stations.append(
            Station(name=node.name, role=Role.CELL, commands=own, addresses=(node.address,))
        )
    middle = Station(name=HUB, role=Role.INTERNET, forwards=True, commands=tuple(hub))
    cables = tuple(
        Cable(node=node.name, interface="eth0", far_node=HUB, far_interface=f"p{number}")
        for number, node in enumerate(nodes)
    )
    return WorldLayout(stations=(middle, *stations), cables=cables, names={}, registry="registry")


def launch(world: World, node: Node, agents: Fleet) -> int:
    """Fork an agent into its namespace; return its process id."""
    gc.freeze()
    pid = os.fork()
    if pid:
        return pid
    # Only ever leaves by os._exit: what the parent would tidy up is not the child's.
    status = 1
    try:
        log = os.open(node.root.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with netns.entered(world.lab.namespace(node.name)):
            serve = serve_cell if node.cell else serve_registry
            status = serve(node.root, agents.places, agents.board)
    finally:
        os._exit(status)


def uno(*arguments: str, root: Path) -> None:
    """Run a command of uno for a registry."""
    run([sys.executable, "-m", "uno", *arguments, "-r", str(root)], timeout=PATIENCE)


if __name__ == "__main__":
    exit_with(main)
