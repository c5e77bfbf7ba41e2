"""The demo: a UVN in a world, and the proof that every host in it reaches every other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from uno.lab import demo_tables
from uno.lab.cleanup import temporary_lab
from uno.lab.deploy import Deployment
from uno.lab.evidence import Pair, PairResult, lan_pairs, pair_results, particle_pairs
from uno.lab.node import Node
from uno.lab.particle_peer import connected, tunnels
from uno.lab.ping_matrix import PingMatrix
from uno.lab.rehearsal import NetworkStart, Report, build_world, definition, deploy, start_network
from uno.lab.transfer import transfers
from uno.lab.world import World
from uno.lab.world_layout import Role

# Bytes that each TCP transfer carries there and back.
TRANSFER = 65536
# Seconds for a particle to reach what it should, once its tunnel is up.
_PARTICLE_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOutcome:
    """What the demo found: all LAN pairs, and each particle at each cell."""

    lab: str
    raised: NetworkStart
    lans: tuple[PairResult, ...]
    particles: dict[tuple[str, str], tuple[PairResult, ...]]

    @property
    def results(self) -> tuple[PairResult, ...]:
        """All of them."""
        return (*self.lans, *(v for found in self.particles.values() for v in found))

    @property
    def passed(self) -> bool:
        """Whether every pair is as it should be."""
        return not any(result.fault for result in self.results)


def run_demo(spec: Path, *, keep: bool, report: Report, console: Console) -> DemoOutcome:
    """Run the demo and print its tables. The world is gone afterwards, unless it is to be kept."""
    uvn = definition(spec)
    with temporary_lab(keep=keep) as lab_id:
        world = build_world(uvn, lab_id, report=report)
        deployment = deploy(world, uvn, spec, report=report)
        outcome = prove(deployment, report=report)
        show(outcome, world, console)
    return outcome


def prove(deployment: Deployment, *, report: Report) -> DemoOutcome:
    """Bring the network up, and try every pair in it."""
    world = deployment.world
    pairs = lan_pairs(world)
    raised = start_network(deployment, pairs, report=report)
    began = time.monotonic()
    carried = transfers([p.path for p in pairs], servers=_hosts(world), size=TRANSFER)
    report(
        f"{len(pairs)} TCP transfers of {TRANSFER // 1024} KiB: {time.monotonic() - began:.1f} s"
    )
    lans = pair_results(pairs, raised.reached, carried, source_kept=True)
    return DemoOutcome(
        lab=world.id, raised=raised, lans=lans, particles=probe_particles(deployment, report=report)
    )


def show(outcome: DemoOutcome, world: World, console: Console) -> None:
    """Print the tables."""
    hosts = world.having(Role.HOST)
    addresses = {host.name: str(host.address(4) or host.address(6)) for host in hosts}
    if len(addresses) <= demo_tables.WIDEST:
        console.print(demo_tables.lan_table(outcome.lans, addresses))
    good = sum(not result.fault for result in outcome.lans)
    console.print(
        f"{good} of {len(outcome.lans)} pairs: ping, {TRANSFER // 1024} KiB over TCP there and"
        " back, source address kept"
    )
    if outcome.particles:
        console.print(demo_tables.particle_table(outcome.particles, "server"))
    for line in demo_tables.faults(outcome.results):
        console.print(line, style="red", markup=False)
    if outcome.raised.reached.missing:
        console.print("not all LAN hosts reached each other", style="bold red")
    else:
        console.print(
            f"from the first `uno service up` to all pairs: {outcome.raised.all_pairs:.1f} s",
            style="bold",
        )


def probe_particles(
    deployment: Deployment, *, report: Report
) -> dict[tuple[str, str], tuple[PairResult, ...]]:
    """Connect all particles to one cell after the other."""
    world = deployment.world
    particles = world.having(Role.PARTICLE)
    files = {p.name: tunnels(deployment.particle_package(p)) for p in particles}
    began = time.monotonic()
    found: dict[tuple[str, str], tuple[PairResult, ...]] = {}
    for cell in deployment.cells:
        guests = [p for p in particles if cell.name in files[p.name]]
        with ExitStack() as stack:
            for guest in guests:
                stack.enter_context(connected(guest, files[guest.name][cell.name]))
            for name, results in _try(world, cell, guests).items():
                found[name, cell.name] = results
    if found:
        report(f"{len(found)} connections of particles to cells: {time.monotonic() - began:.1f} s")
    return dict(sorted(found.items()))


def _try(world: World, cell: Node, guests: Sequence[Node]) -> dict[str, tuple[PairResult, ...]]:
    pairs: dict[str, tuple[Pair, ...]] = {g.name: particle_pairs(world, g, cell) for g in guests}
    paths = [pair.path for some in pairs.values() for pair in some]
    with PingMatrix(paths) as prober:
        reached = prober.reach(within=_PARTICLE_TIMEOUT)
    carried = transfers(
        [path for path in paths if path in reached.at],
        servers=[*_hosts(world), world.nodes["server"].namespace],
        size=TRANSFER,
    )
    return {
        name: pair_results(some, reached, carried, source_kept=False)
        for name, some in pairs.items()
    }


def _hosts(world: World) -> list[str]:
    return [host.namespace for host in world.having(Role.HOST)]
