"""From a specification to a UVN that runs in a world; `uno lab up`, and the demo's first half."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uno import files
from uno.lab import requirements
from uno.lab.agents import Agents, agents_of
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.evidence import Pair
from uno.lab.ping_matrix import PingMatrix, Reached
from uno.lab.world import World, allow_interfaces, build
from uno.lab.world_layout import Role
from uno.model.uvn import Uvn
from uno.spec import load, parse

Say = Callable[[str], None]

# Much more than any file that a person writes.
_SPEC_LIMIT = 10_000_000
# Seconds until a network that is not up is given up on.
PATIENCE = 60.0
# The same for agents that are to see all well.
_AGENTS_PATIENCE = 120.0


def definition(spec: Path) -> Uvn:
    """Read a specification. Raises `Rejected` with all that is wrong with it."""
    text = files.read(spec, limit=_SPEC_LIMIT).decode(errors="replace")
    written = parse(text, file=str(spec)).spec.name
    name = written or re.sub(r"[^a-z0-9]+", "-", spec.absolute().parent.name.lower()).strip("-")
    # The lab's own copy of the definition: nobody logs in to it, and its identity is another.
    uvn, _warnings = load(
        text, file=str(spec), identity="0" * 32, hash_password=lambda _password: "", name=name
    )
    return uvn


def raise_world(uvn: Uvn, lab_id: str, *, say: Say) -> World:
    """Build the world of a definition, as `build` does.

    Raises `UnoError` if this machine cannot.
    """
    requirements.require(requirements.for_a_deployment())
    # For each cell its links, the root VPN, and the particle VPN; for each particle one.
    interfaces = 6 * len(uvn.active_cells) + len(uvn.active_particles) + 1
    if allow_interfaces(interfaces):
        say("raised fs.inotify.max_user_instances of this machine: each WireGuard takes one")
    began = time.monotonic()
    world = build(arrange(uvn), lab_id)
    counts = [(role, len(world.having(role))) for role in (Role.ROUTER, Role.HOST, Role.CELL)]
    parts = ", ".join(f"{count} {role}s" for role, count in counts)
    say(f"lab {world.id}: Internet, {parts} in {time.monotonic() - began:.1f} s")
    return world


def deploy(world: World, uvn: Uvn, spec: Path, *, say: Say) -> Deployment:
    """Define the UVN on the registry's host, and install each cell's package on its own."""
    deployment = Deployment(world=world, uvn=uvn.name)
    began = time.monotonic()
    deployment.define(spec)
    say(f"registry: uno define uvn {uvn.name} -s {spec.name}: {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    deployment.install()
    count = len(deployment.cells)
    say(f"{count} cells: package copied, uno install: {time.monotonic() - began:.1f} s")
    return deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """How a network came up: what was reached when, in seconds from the first `service up`."""

    reached: Reached
    commands: float
    all_pairs: float


def raise_network(deployment: Deployment, pairs: Sequence[Pair], *, say: Say) -> Raised:
    """Run `uno service up` on all cells at once, and ping until all pairs are reached.

    Raises `UnoError` if a cell does not come up.
    """
    with PingMatrix(pair.path for pair in pairs) as prober:
        began = time.monotonic()
        with deployment.start_up() as starting:
            reached = prober.reach(within=PATIENCE, stop=lambda: starting.failed)
            starting.finish()
    commands = max(starting.ended) - began
    say(f"{len(deployment.cells)} cells: uno service up: {commands:.1f} s")
    return Raised(reached=reached, commands=commands, all_pairs=reached.last - began)


def raise_agents(deployment: Deployment, *, say: Say) -> Agents:
    """Start the agents of the registry and of all cells, and wait until each sees all well.

    Cells need not be connected yet. Raises `UnoError` if all is not consistent and routed in time.
    """
    began = time.monotonic()
    agents = agents_of(deployment)
    try:
        agents.start()
        agents.await_settled(within=_AGENTS_PATIENCE)
    except BaseException:
        agents.stop()
        raise
    count = len(agents.cells)
    say(f"registry and {count} cells: uno agent, all well after {time.monotonic() - began:.1f} s")
    return agents
