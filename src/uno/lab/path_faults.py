"""Why packets do not get from one LAN to another: the way through the cells' routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from uno.model.net import Address, Network


class RouteEntry(NamedTuple):
    """A route of a cell's kernel; `interfaces` are those of its next hops, none if unreachable."""

    prefix: Network
    interfaces: tuple[str, ...]
    metric: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellForwarding:
    """What a cell shows of itself.

    `links` are the neighbours by interface, `silent` those of them without BGP and BFD sessions.
    `problem` is set where the cell could not be observed.
    """

    running: bool = False
    routes: tuple[RouteEntry, ...] = ()
    links: Mapping[str, str]
    silent: frozenset[str] = frozenset()
    obstacles: tuple[str, ...] = ()
    problem: str = ""


class FailedPair(NamedTuple):
    """A pair of hosts of which the first does not reach the second, and why; '' if unknown."""

    source: str
    target: str
    version: int
    cause: str


def on_the_way(
    cells: Mapping[str, CellForwarding], source: str, target: str, address: Address
) -> str:
    """Return what keeps packets of `source` from the cell `target`, which has `address` in a LAN.

    All equal paths are followed. An empty text if packets arrive by each of them.
    """
    passed = {source}
    edge = [source]
    while edge:
        name = edge.pop()
        cell = cells.get(name, _UNOBSERVED)
        if fault := _unable(name, cell):
            return fault
        if name == target:
            continue
        interfaces = _interfaces_to(address, cell.routes)
        if not interfaces:
            return f"{name} has no route to {address}{_why_without_routes(cell)}"
        for interface in interfaces:
            neighbour = cell.links.get(interface)
            if neighbour is None:
                return f"{name} sends packets to {address} out of {interface}, not into a link"
            if neighbour not in passed:
                passed.add(neighbour)
                edge.append(neighbour)
    if target not in passed:
        return f"routes to {address} lead in a circle: {', '.join(sorted(passed))}"
    return ""


def in_the_way(cells: Mapping[str, CellForwarding], names: Iterable[str]) -> str:
    """Return the obstacles that these cells name; an empty text if there are none."""
    known = [name for name in names if name in cells]
    return "; ".join(f"{name}: {each}" for name in known for each in cells[name].obstacles)


def lines(failed: Iterable[FailedPair]) -> Iterator[str]:
    """Yield a line for each source and cause, with all targets."""
    targets: dict[tuple[str, int, str], list[str]] = {}
    for pair in failed:
        targets.setdefault((pair.source, pair.version, pair.cause), []).append(pair.target)
    for (source, version, cause), names in targets.items():
        yield f"{source} → {', '.join(names)} (IPv{version}): {cause or 'no cause found'}"


_UNOBSERVED = CellForwarding(links={}, problem="is not in the lab")


def _unable(name: str, cell: CellForwarding) -> str:
    if cell.problem:
        return f"{name} {cell.problem}"
    return "" if cell.running else f"uno is not up on {name}"


def _interfaces_to(address: Address, routes: Iterable[RouteEntry]) -> tuple[str, ...]:
    """Look an address up as the kernel does: the longest prefix, then the lowest metric."""
    there = [route for route in routes if address in route.prefix]
    best = min(there, key=lambda route: (-route.prefix.prefixlen, route.metric), default=None)
    return best.interfaces if best else ()


def _why_without_routes(cell: CellForwarding) -> str:
    if not cell.silent:
        return ""
    quiet = ", ".join(sorted(cell.silent))
    all_of_them = " (all it has)" if len(cell.silent) == len(cell.links) else ""
    return f"; it has no session with {quiet}{all_of_them}"
