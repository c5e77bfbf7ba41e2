"""Results of a demo: pairs that must reach each other, those that do, and source addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from uno.lab.node import Node
from uno.lab.ping_matrix import PingPath, Reached
from uno.lab.transfer import Transfer
from uno.lab.world import World
from uno.lab.world_layout import GLOBAL6, Role
from uno.model.net import Address


class Pair(NamedTuple):
    """Two nodes, of which the first is to reach the second over one IP version."""

    source: Node
    target: Node
    version: int

    @property
    def path(self) -> PingPath:
        """For the probes."""
        address = self.target.address(self.version)
        assert address is not None
        return PingPath(self.source.namespace, address)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """The result of one pair.

    `expected` is the address that the target should see, where that matters.
    """

    source: str
    target: str
    version: int
    pinged: bool
    transfer: Transfer
    expected: Address | None = None

    @property
    def fault(self) -> str:
        """The fault of the pair; empty if there is none."""
        if not self.pinged:
            return "no answer to ping"
        if self.transfer.seen is None:
            return f"TCP: {self.transfer.problem}"
        if self.expected not in {None, self.transfer.seen}:
            return f"seen as {self.transfer.seen}, not as {self.expected}"
        return ""


def lan_pairs(world: World) -> tuple[Pair, ...]:
    """Each LAN host and each host of another cell's LAN, for each IP version that both have there.

    Addresses outside of the UVN's LANs do not count.
    """
    return tuple(
        Pair(source, target, version)
        for source, target in permutations(world.having(Role.HOST), 2)
        if source.station.cell != target.station.cell
        for version in (4, 6)
        if _is_in_lan(world, source, version) and _is_in_lan(world, target, version)
    )


def particle_pairs(world: World, particle: Node, cell: Node) -> tuple[Pair, ...]:
    """A particle that is connected to `cell`, each LAN host, and the Internet's server.

    The server over IPv6 only where the cell itself could reach it so.
    """
    versions = [4, *([6] if any(a in GLOBAL6 for a in cell.station.addresses) else [])]
    (server,) = world.having(Role.SERVER)
    return (
        *(
            Pair(particle, host, version)
            for host in world.having(Role.HOST)
            for version in (4, 6)
            if _is_in_lan(world, host, version)
        ),
        *(Pair(particle, server, version) for version in versions),
    )


def _is_in_lan(world: World, host: Node, version: int) -> bool:
    at = host.address(version)
    return at is not None and any(at in lan for lan in world.lab.layout.lans)


def pair_results(
    pairs: Iterable[Pair],
    reached: Reached,
    carried: Mapping[PingPath, Transfer],
    *,
    source_kept: bool,
) -> tuple[PairResult, ...]:
    """Return the result of each pair; with `source_kept` targets must see sources' addresses."""
    return tuple(
        PairResult(
            source=pair.source.name,
            target=pair.target.name,
            version=pair.version,
            pinged=pair.path in reached.at,
            transfer=carried.get(pair.path, Transfer(problem="not tried")),
            expected=pair.source.address(pair.version) if source_kept else None,
        )
        for pair in pairs
    )
