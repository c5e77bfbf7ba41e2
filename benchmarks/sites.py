"""The UVN that the benchmarks measure: four sites and a relay, in a lab of this machine."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from msgspec.structs import replace

from uno.diagnostics import TransientFailure, UnoError
from uno.host.routing_frr import vty
from uno.host.routing_frr.daemons import Frr
from uno.lab import rehearsal, requirements
from uno.lab.arrange import arrange
from uno.lab.cleanup import ended_by_signals
from uno.lab.deploy import Deployment
from uno.lab.evidence import lan_pairs
from uno.lab.node import Node
from uno.lab.world import temporary_world
from uno.lab.world_layout import Cable, Role, Station, WorldLayout

SPEC = Path(__file__).parents[1] / "examples" / "four-sites" / "uvn.yml"

# Both cells are public, so there is a link between them, and others that can do without it.
SOURCE, TARGET = "lan-b-host1", "lan-c-host1"
CELLS = frozenset({"lan-b", "lan-c"})

# A cell and the address of the neighbour that it has no session with.
Broken = frozenset[tuple[str, str]]


@contextmanager
def installed(
    say: Callable[[str], None], *, direct: frozenset[str] | None = None
) -> Iterator[Deployment]:
    """The UVN installed on all cells, nothing started; gone after the block, however it ends.

    `direct` are the cells on the Internet themselves, as for `arrange`.
    """
    requirements.require(requirements.for_a_deployment())
    uvn = rehearsal.definition(SPEC)
    with ended_by_signals(), temporary_world(arrange(uvn, direct=direct)) as world:
        yield rehearsal.deploy(world, uvn, SPEC, report=say)


@contextmanager
def running(
    say: Callable[[str], None], *, direct: frozenset[str] | None = None
) -> Iterator[Deployment]:
    """The UVN, with every pair of hosts reached and every session up."""
    with installed(say, direct=direct) as deployment:
        _raise(deployment, say)
        yield deployment


def _raise(deployment: Deployment, say: Callable[[str], None]) -> None:
    raised = rehearsal.start_network(deployment, lan_pairs(deployment.world), report=say)
    if raised.reached.missing:
        raise TransientFailure("not all hosts of the lab reach each other")
    await_sessions(deployment)


@contextmanager
def routers(say: Callable[[str], None]) -> Iterator[Deployment]:
    """The UVN without particles, up, in which `CELLS` are the routers of their LANs."""
    requirements.require(requirements.for_a_deployment())
    with tempfile.TemporaryDirectory() as folder, ended_by_signals():
        spec = Path(folder) / SPEC.name
        spec.write_text(SPEC.read_text().partition("particles:")[0])
        uvn = rehearsal.definition(spec)
        with temporary_world(
            with_routers(arrange(uvn, hosts_per_lan=1, direct=CELLS), CELLS)
        ) as world:
            deployment = rehearsal.deploy(world, uvn, spec, report=say)
            _raise(deployment, say)
            yield deployment


def with_routers(layout: WorldLayout, cells: frozenset[str]) -> WorldLayout:
    """The same world in which cells that are on the Internet are the routers of their LANs.

    Each has one host, at the other end of a cable; the routers that were there lose their LANs.
    """
    near = [*layout.having(Role.HOST), *layout.having(Role.CELL)]
    moved = {station.name: station for station in near if station.cell in cells}
    lost = [c for c in layout.cables if c.node in moved and c.far_node.endswith("-router")]
    ports = {(cable.far_node, cable.far_interface) for cable in lost}
    inside = {c.node: c.interface for c in lost if moved[c.node].role is Role.CELL}

    def changed(station: Station) -> Station:
        lines = station.commands
        if station.role is Role.ROUTER:
            kept = (x for x in lines if not any((station.name, w) in ports for w in x.split()))
            return replace(station, commands=tuple(kept))
        if station.name not in moved:
            return station
        if station.role is Role.CELL:
            return replace(station, forwards=True)
        # Addresses in LANs come first.
        via = {each.version: str(each) for each in reversed(moved[station.cell].addresses)}
        return replace(station, commands=tuple(_led(line, via) for line in lines))

    hosts = [station for station in moved.values() if station.role is Role.HOST]
    cables = [
        Cable(node=h.name, interface="eth0", far_node=h.cell, far_interface=inside[h.cell])
        for h in hosts
    ]
    return replace(
        layout,
        stations=tuple(map(changed, layout.stations)),
        cables=(*(cable for cable in layout.cables if cable not in lost), *cables),
    )


def _led(line: str, via: dict[int, str]) -> str:
    prefix, _, gateway = line.rpartition(" ")
    return f"{prefix} {via[6 if ':' in gateway else 4]}" if "default via" in line else line


def await_sessions(deployment: Deployment, *, but: Broken = frozenset()) -> float:
    """Wait until all BGP and BFD sessions but those in `but` are up; return the seconds."""
    try:
        return await_true(lambda: broken(deployment) == but, "not every session is as it should be")
    except UnoError as error:
        ends = (" ".join(each) for each in sorted(broken(deployment) ^ but))
        raise TransientFailure(f"{error.what}: {', '.join(ends)}") from error


def broken(deployment: Deployment) -> Broken:
    """Say which BGP sessions are not established, or have no BFD session that is up."""
    return frozenset(
        (cell.name, neighbor) for cell in deployment.cells for neighbor in _broken_at(cell)
    )


def bfd_losses(deployment: Deployment) -> int:
    """How often BFD sessions went down since FRR was started, all cells together."""
    losses = 0
    for cell in deployment.cells:
        peers = json.loads(vty.query(frr(cell), "bfdd", "show bfd peers counters json"))
        losses += sum(peer["session-down"] for peer in peers)
    return losses


def frr(cell: Node) -> Path:
    """The folder of a cell's FRR."""
    return next(cell.directory.glob("run/uno/*/frr"), cell.directory / "no-frr")


def await_true(condition: Callable[[], bool], otherwise: str, *, within: float = 60) -> float:
    """Wait for `condition`; return the seconds. Raises `UnoError` if it does not come true."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() > began + within:
            raise TransientFailure(f"{otherwise}, after {within:g} s")
        Event().wait(0.05)
    return time.monotonic() - began


def exit_with(main: Callable[[], int]) -> None:
    """Run a benchmark as a program: an error is a line, not a traceback."""
    try:
        sys.exit(main())
    except UnoError as error:
        sys.exit(f"error: {error}")


def _broken_at(cell: Node) -> list[str]:
    sessions = Frr(frr(cell)).sessions()
    if not sessions:
        return ["all"]
    good = {each.neighbor for each in sessions if (each.state, each.bfd) == ("Established", "up")}
    return [each.neighbor for each in sessions if each.neighbor not in good]
