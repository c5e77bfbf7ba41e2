"""Finds why LAN hosts of a lab do not reach each other, from what its cells and hosts show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from uno import program
from uno.diagnostics import UnoError
from uno.lab import path_faults
from uno.lab.deploy import Deployment, in_parallel
from uno.lab.evidence import Pair
from uno.lab.node import Node, as_on_a_stock_host
from uno.lab.path_faults import CellForwarding, FailedPair, RouteEntry
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.world import World
from uno.model.net import network

# Seconds for a host and its own cell to answer each other.
_NEAR = 3.0


def explain(deployment: Deployment, missing: Sequence[Pair]) -> tuple[FailedPair, ...]:
    """Return these pairs, of which the first does not reach the second, with causes."""
    world = deployment.world
    near = (_to_own_cell(world, pair.source, pair.version) for pair in missing)
    far = (_to_target(world, pair) for pair in missing)
    unanswered = _unanswered([*(path for path in near if path), *far])
    cells = in_parallel(lambda cell: _observe(deployment, cell), deployment.cells)

    def cause(pair: Pair) -> str:
        near, far = pair.source.station.cell, pair.target.station.cell
        there, back = pair.path.target, Pair(pair.target, pair.source, pair.version).path.target
        if _to_own_cell(world, pair.source, pair.version) in unanswered:
            return f"{pair.source.name} does not reach its own cell, {near}"
        if _to_target(world, pair) in unanswered:
            return f"{far} does not reach {pair.target.name} in its own LAN"
        return (
            path_faults.on_the_way(cells, near, far, there)
            or path_faults.on_the_way(cells, far, near, back)
            or path_faults.in_the_way(cells, (near, far))
        )

    return tuple(
        FailedPair(pair.source.name, pair.target.name, pair.version, cause(pair))
        for pair in missing
    )


def _to_own_cell(world: World, host: Node, version: int) -> PingPath | None:
    address = world.nodes[host.station.cell].address(version)
    return PingPath(host.namespace, address) if address else None


def _to_target(world: World, pair: Pair) -> PingPath:
    return PingPath(world.nodes[pair.target.station.cell].namespace, pair.path.target)


def _unanswered(paths: Iterable[PingPath]) -> frozenset[PingPath]:
    with PingMatrix(paths) as prober:
        return frozenset(prober.reach(within=_NEAR).missing)


def _observe(deployment: Deployment, cell: Node) -> CellForwarding:
    root = str(deployment.cell_root(cell))
    words = program.argv("service", "status", "--json", "-r", root)
    try:
        shown = cell.run(as_on_a_stock_host(words), timeout=deployment.pace.command, check=False)
        routes = [route for version in (4, 6) for route in _routes(cell, version)]
    except UnoError as error:
        return CellForwarding(links={}, problem=f"does not show its state: {error}")
    try:
        found: dict[str, Any] = json.loads(shown.stdout)
    except ValueError:
        return CellForwarding(links={}, problem=f"shows no status: {shown.stderr.strip()}")
    return CellForwarding(
        running=found["running"],
        routes=tuple(routes),
        links={link["interface"]: link["neighbor"] for link in found["links"]},
        silent=frozenset(
            link["neighbor"]
            for link in found["links"]
            if (link["bgp"], link["bfd"]) != ("Established", "up")
        ),
        obstacles=tuple(found["obstacles"]),
    )


def _routes(cell: Node, version: int) -> Iterable[RouteEntry]:
    default, whole = ("0.0.0.0/0", "/32") if version == 4 else ("::/0", "/128")
    for route in json.loads(cell.run(["ip", f"-{version}", "-json", "route"]).stdout or "[]"):
        hops = route.get("nexthops", [route])
        written = default if route["dst"] == "default" else route["dst"]
        unreachable = route.get("type", "unicast") != "unicast"
        yield RouteEntry(
            prefix=network(written if "/" in written else written + whole),
            interfaces=() if unreachable else tuple(hop["dev"] for hop in hops if "dev" in hop),
            metric=route.get("metric", 0),
        )
