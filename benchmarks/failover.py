"""How long two hosts do not reach each other when something on their way fails.

    python benchmarks/failover.py [--runs N] [--rest SECONDS] [--json FILE]

Four sites in a lab, every BGP and BFD session up; a hundred pings a second go from a LAN host to
one of another LAN. Then

- link: the one link that carries them goes dark: its UDP is dropped on the Internet, no interface
  goes down;
- cell: the link between the two sites stays cut, so that a third cell carries them, and that one
  loses its power: its cables first, so that it sends no final message.

A gap is the longest time in which no ping that was sent was answered. At rest, with no traffic, no
BFD session may go down. Exit status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from reporting import Goal, Summary, at_most, below, finish, machine, say
from sites import (
    SOURCE,
    TARGET,
    await_sessions,
    await_true,
    bfd_losses,
    broken,
    exit_with,
    running,
)

from uno.diagnostics import TransientFailure
from uno.lab.carrier import Carrier, carrier
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix, PingPath

# Seconds of pings before and after what is measured.
MARGIN = 1.0
# Seconds until a failure that nothing routes around ends the benchmark.
PATIENCE = 30.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What became of the pings when something failed, and when it came back.

    `recovery` is the time from there until every session was up again. All in seconds.
    """

    what: str
    gap: float
    lost: int
    lost_when_mended: int
    recovery: float


def main() -> int:
    """Measure, print, and write JSON where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, metavar="N")
    parser.add_argument("--rest", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    before = machine()
    with running(say) as deployment:
        links = [fail_link(deployment) for _ in range(asked.runs)]
        cells = fail_cells(deployment, asked.runs)
        lost = rest(deployment, asked.rest)
    goals = [*_judge("link", links), *_judge("cell", cells)]
    goals.append(at_most(f"BFD sessions lost in {asked.rest:g} s at rest", lost, 0))
    found = {"link": links, "cell": cells, "bfd_sessions_lost": lost, "rest": asked.rest}
    return finish(before=before, found=found, goals=goals, file=asked.json, say=say)


def fail_link(deployment: Deployment) -> Failure:
    """Cut the link that carries the pings, and restore it when all is well again."""
    world, link = deployment.world, carrying(deployment)
    return failure(
        deployment,
        f"link {link.near} to {link.far}",
        fail=lambda: link.cut(world),
        restore=lambda: link.restore(world),
    )


def fail_cells(deployment: Deployment, runs: int) -> list[Failure]:
    """Cut the sites' own link, and fail the cell that carries the pings instead, several times."""
    world, direct = deployment.world, carrying(deployment)
    direct.cut(world)
    # Both of its ends have lost it, and the kernel has the other way.
    await_true(lambda: len(broken(deployment)) == 2, "a cut link is not noticed")
    await_true(lambda: carrying(deployment).far != direct.far, "no cell steps in")
    failures = [fail_cell(deployment) for _ in range(runs)]
    direct.restore(world)
    await_sessions(deployment)
    return failures


def fail_cell(deployment: Deployment) -> Failure:
    """Take the power from the cell between the two sites, and give it back."""
    cell = deployment.world.nodes[carrying(deployment).far]
    return failure(
        deployment,
        f"cell {cell.name}",
        fail=lambda: power_off(deployment, cell),
        restore=lambda: power_on(deployment, cell),
    )


def failure(
    deployment: Deployment, what: str, *, fail: Callable[[], None], restore: Callable[[], None]
) -> Failure:
    """Fail something, wait for answers to the pings, restore it, wait for the state before."""
    usual = broken(deployment)
    with PingMatrix([way(deployment)]) as pings, PingMatrix([way(deployment)]) as watch:
        with pings.stream() as failing:
            Event().wait(MARGIN)
            fail()
            if watch.reach(within=PATIENCE).missing:
                raise TransientFailure(f"nothing routes around {what} within {PATIENCE:g} s")
            Event().wait(MARGIN)
        with pings.stream() as mending:
            restore()
            recovery = await_sessions(deployment, but=usual)
            Event().wait(MARGIN)
    (flow,), (mended,) = failing.flows.values(), mending.flows.values()
    found = Failure(
        what=what,
        gap=flow.longest_gap,
        lost=flow.lost,
        lost_when_mended=mended.lost,
        recovery=recovery,
    )
    say(
        f"{what}: gap {found.gap:.2f} s, {found.lost} lost; mended: {found.lost_when_mended} lost, "
        f"all sessions up after {found.recovery:.1f} s"
    )
    return found


def carrying(deployment: Deployment) -> Carrier:
    """The link through which the source's cell sends the pings."""
    source, target = ends(deployment)
    cell = deployment.world.nodes[source.station.cell]
    at = target.address(4)
    assert at is not None
    return carrier(deployment.world, cell, at, sender=source)


def way(deployment: Deployment) -> PingPath:
    """From the one host to the other."""
    source, target = ends(deployment)
    at = target.address(4)
    assert at is not None
    return PingPath(source.namespace, at)


def ends(deployment: Deployment) -> tuple[Node, Node]:
    """Both hosts."""
    return deployment.world.nodes[SOURCE], deployment.world.nodes[TARGET]


def power_off(deployment: Deployment, cell: Node) -> None:
    """Take all cables of a cell down in one command, then end every program there."""
    lines = "".join(f"link set {name} down\n" for name in _plugs(deployment, cell))
    cell.run(["ip", "-batch", "-"], stdin=lines)
    cell.kill()


def power_on(deployment: Deployment, cell: Node) -> None:
    """Plug the cell's cables in, and connect it as its init system would."""
    for name in _plugs(deployment, cell):
        cell.plug(name)
    deployment.service(cell, "up")


def rest(deployment: Deployment, seconds: float) -> int:
    """How many BFD sessions go down in so many seconds in which nothing happens."""
    lost = bfd_losses(deployment)
    say(f"at rest for {seconds:g} s")
    Event().wait(seconds)
    return bfd_losses(deployment) - lost


def _plugs(deployment: Deployment, cell: Node) -> list[str]:
    cables = deployment.world.lab.layout.cables
    return [cable.interface for cable in cables if cable.node == cell.name]


def _judge(what: str, failures: list[Failure]) -> list[Goal]:
    gaps = Summary(values=tuple(each.gap for each in failures))
    return [
        below(f"{what}: median of {len(failures)} gaps", gaps.median, 1.0),
        at_most(f"{what}: longest gap", max(gaps.values), 1.5),
    ]


if __name__ == "__main__":
    exit_with(main)
