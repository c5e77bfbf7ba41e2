"""The demo: a UVN in its world, and the proof that everything in it reaches everything."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from uno.lab import demo_tables
from uno.lab.cleanup import tidied
from uno.lab.deploy import Deployment
from uno.lab.evidence import Pair, Verdict, judge, lan_pairs, particle_pairs
from uno.lab.node import Node
from uno.lab.particle_peer import connected, tunnels
from uno.lab.ping_matrix import PingMatrix
from uno.lab.rehearsal import Raised, Say, definition, deploy, raise_network, raise_world
from uno.lab.transfer import transfers
from uno.lab.world import World
from uno.lab.world_layout import Role

# Bytes that each TCP transfer carries there and back.
TRANSFER = 65536
# Seconds for a particle to reach what it should, once its tunnel is up.
_PARTICLE_PATIENCE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the demo found: all LAN pairs, and each particle at each cell."""

    lab: str
    raised: Raised
    lans: tuple[Verdict, ...]
    particles: dict[tuple[str, str], tuple[Verdict, ...]]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All of them."""
        return (*self.lans, *(v for found in self.particles.values() for v in found))

    @property
    def passed(self) -> bool:
        """Whether every pair is as it should be."""
        return not any(verdict.fault for verdict in self.verdicts)


def run_demo(spec: Path, *, keep: bool, say: Say, console: Console) -> Outcome:
    """Run the demo and print its tables. The world is gone afterwards, unless it is to be kept."""
    uvn = definition(spec)
    with tidied(keep=keep) as lab_id:
        world = raise_world(uvn, lab_id, say=say)
        deployment = deploy(world, uvn, spec, say=say)
        outcome = prove(deployment, say=say)
        show(outcome, world, console)
    return outcome


def prove(deployment: Deployment, *, say: Say) -> Outcome:
    """Bring the network up, and try every pair in it."""
    world = deployment.world
    pairs = lan_pairs(world)
    raised = raise_network(deployment, pairs, say=say)
    began = time.monotonic()
    carried = transfers([p.path for p in pairs], servers=_hosts(world), size=TRANSFER)
    say(f"{len(pairs)} TCP transfers of {TRANSFER // 1024} KiB: {time.monotonic() - began:.1f} s")
    lans = judge(pairs, raised.reached, carried, source_kept=True)
    return Outcome(
        lab=world.id, raised=raised, lans=lans, particles=try_particles(deployment, say=say)
    )


def show(outcome: Outcome, world: World, console: Console) -> None:
    """Print the tables."""
    hosts = world.having(Role.HOST)
    addresses = {host.name: str(host.address(4) or host.address(6)) for host in hosts}
    if len(addresses) <= demo_tables.WIDEST:
        console.print(demo_tables.lan_table(outcome.lans, addresses))
    good = sum(not verdict.fault for verdict in outcome.lans)
    console.print(
        f"{good} of {len(outcome.lans)} pairs: ping, {TRANSFER // 1024} KiB over TCP there and"
        " back, source address kept"
    )
    if outcome.particles:
        console.print(demo_tables.particle_table(outcome.particles, "server"))
    for line in demo_tables.faults(outcome.verdicts):
        console.print(line, style="red", markup=False)
    if outcome.raised.reached.missing:
        console.print("not all LAN hosts reached each other", style="bold red")
    else:
        console.print(
            f"from the first `uno service up` to all pairs: {outcome.raised.all_pairs:.1f} s",
            style="bold",
        )


def try_particles(
    deployment: Deployment, *, say: Say
) -> dict[tuple[str, str], tuple[Verdict, ...]]:
    """Connect all particles to one cell after the other."""
    world = deployment.world
    particles = world.having(Role.PARTICLE)
    files = {p.name: tunnels(deployment.particle_package(p)) for p in particles}
    began = time.monotonic()
    found: dict[tuple[str, str], tuple[Verdict, ...]] = {}
    for cell in deployment.cells:
        guests = [p for p in particles if cell.name in files[p.name]]
        with ExitStack() as stack:
            for guest in guests:
                stack.enter_context(connected(guest, files[guest.name][cell.name]))
            for name, verdicts in _try(world, cell, guests).items():
                found[name, cell.name] = verdicts
    if found:
        say(f"{len(found)} connections of particles to cells: {time.monotonic() - began:.1f} s")
    return dict(sorted(found.items()))


def _try(world: World, cell: Node, guests: Sequence[Node]) -> dict[str, tuple[Verdict, ...]]:
    pairs: dict[str, tuple[Pair, ...]] = {g.name: particle_pairs(world, g, cell) for g in guests}
    paths = [pair.path for some in pairs.values() for pair in some]
    with PingMatrix(paths) as prober:
        reached = prober.reach(within=_PARTICLE_PATIENCE)
    carried = transfers(
        [path for path in paths if path in reached.at],
        servers=[*_hosts(world), world.nodes["server"].namespace],
        size=TRANSFER,
    )
    return {name: judge(some, reached, carried, source_kept=False) for name, some in pairs.items()}


def _hosts(world: World) -> list[str]:
    return [host.namespace for host in world.having(Role.HOST)]
