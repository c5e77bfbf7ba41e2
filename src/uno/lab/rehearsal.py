"""From a specification to a UVN that runs in a world; `uno lab up`, and the demo's first half."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uno import files
from uno.lab import path_faults, requirements
from uno.lab.agents import Agents, agents_of
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.evidence import Pair
from uno.lab.fault_finding import explain
from uno.lab.ping_matrix import PingMatrix, PingPath, Reached
from uno.lab.world import World, build
from uno.lab.world_layout import Role
from uno.model.uvn import Uvn
from uno.spec import load, parse

Report = Callable[[str], None]

# Much more than any file that a person writes.
_SPEC_LIMIT = 10_000_000


def definition(spec: Path) -> Uvn:
    """Read a specification. Raises `Rejected` with all that is wrong with it."""
    text = files.read(spec, limit=_SPEC_LIMIT).decode(errors="replace")
    written = parse(text, file=str(spec)).spec.name
    name = written or re.sub(r"[^a-z0-9]+", "-", spec.absolute().parent.name.lower()).strip("-")
    # The lab's own copy of the definition: without logins, with another identity.
    uvn, _warnings = load(
        text, file=str(spec), identity="0" * 32, hash_password=lambda _password: "", name=name
    )
    return uvn


def build_world(uvn: Uvn, lab_id: str, *, report: Report) -> World:
    """Build the world of a definition, as `build` does.

    Raises `UnoError` if this machine cannot.
    """
    requirements.require(requirements.for_a_deployment())
    began = time.monotonic()
    world = build(arrange(uvn), lab_id, report=report)
    counts = [(role, len(world.having(role))) for role in (Role.ROUTER, Role.HOST, Role.CELL)]
    parts = ", ".join(f"{count} {role}s" for role, count in counts)
    report(f"lab {world.id}: Internet, {parts} in {time.monotonic() - began:.1f} s")
    return world


def deploy(world: World, uvn: Uvn, spec: Path, *, report: Report) -> Deployment:
    """Define the UVN on the registry's host, and install each cell's package on its own."""
    deployment = Deployment(world=world, uvn=uvn.name)
    began = time.monotonic()
    deployment.define(spec)
    report(f"registry: uno define uvn {uvn.name} -s {spec.name}: {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    deployment.install()
    count = len(deployment.cells)
    report(f"{count} cells: package copied, uno install: {time.monotonic() - began:.1f} s")
    return deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStart:
    """How a network came up: what was reached when, in seconds from the first `service up`."""

    reached: Reached
    commands: float
    all_pairs: float


def start_network(deployment: Deployment, pairs: Sequence[Pair], *, report: Report) -> NetworkStart:
    """Run `uno service up` on all cells, and ping until all pairs are reached.

    The time that this may take grows with the cells. Pairs that are not reached are reported, each
    with the cause if one is found. Raises `UnoError` if a cell does not come up.
    """
    with PingMatrix(pair.path for pair in pairs) as prober:
        began = time.monotonic()
        with deployment.start_up() as starting:
            reached = prober.reach(within=deployment.pace.network, stop=lambda: starting.failed)
            starting.finish()
    commands = max(starting.ended) - began
    report(f"{len(deployment.cells)} cells: uno service up: {commands:.1f} s")
    _report_missing(deployment, pairs, frozenset(reached.missing), report=report)
    return NetworkStart(reached=reached, commands=commands, all_pairs=reached.last - began)


def _report_missing(
    deployment: Deployment, pairs: Sequence[Pair], missing: frozenset[PingPath], *, report: Report
) -> None:
    failed = [pair for pair in pairs if pair.path in missing]
    if failed:
        report(f"{len(failed)} pairs of LAN hosts do not reach each other:")
        for line in path_faults.lines(explain(deployment, failed)):
            report(line)


def start_agents(deployment: Deployment, *, report: Report) -> Agents:
    """Start the agents of the registry and of all cells, and wait until each view is healthy.

    Cells need not be connected yet. Raises `UnoError` if all is not consistent and routed in time.
    """
    began = time.monotonic()
    agents = agents_of(deployment)
    try:
        agents.start()
        agents.await_settled(within=deployment.pace.agents)
    except BaseException:
        # Killed, since an agent that does not end would hide what went wrong.
        agents.kill()
        raise
    count = len(agents.cells)
    report(
        f"registry and {count} cells: uno agent, all healthy after {time.monotonic() - began:.1f} s"
    )
    return agents
