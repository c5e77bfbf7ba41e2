"""Whom a cell is in contact with, and what of it a change has cost.

Pure. A cell that cannot be reached any more because of a change must go back by itself, and it can
judge by nothing but whom it hears: the registry, and the neighbours that it has links to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from uno.model.plan import BackbonePeer
from uno.model.status import LinkState
from uno.ports.prober import ProbeResult, ProbeResults


class Reachability(Struct, frozen=True, kw_only=True):
    """Who is heard: the registry itself, and neighbours (cell ids) whose link works."""

    registry: bool = False
    neighbours: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        """Whether anybody is heard at all."""
        return self.registry or bool(self.neighbours)


def seen(links: Iterable[LinkState], *, registry: bool) -> Reachability:
    """Return whom a cell with these links is in contact with.

    A link whose keys were changed keeps its sessions for a while, whether or not the keys are
    right; only a handshake tells.
    """
    working = (link.cell for link in links if link.works and link.handshake is not None)
    return Reachability(registry=registry, neighbours=frozenset(working))


def proven(
    links: Iterable[BackbonePeer],
    measured: ProbeResults,
    *,
    neighbours: frozenset[int],
    since: float,
) -> bool:
    """Whether these neighbours have answered what was sent through their links `since` then.

    A round trip tells at once what BFD tells by staying up for its detection time: that packets
    get through, there and back. Where none of the neighbours has a link, nothing is proven.
    """
    addresses = [link.remote4 for link in links if link.cell in neighbours]
    heard = [measured.get(each, ProbeResult()).last_answered for each in addresses]
    return bool(heard) and all(each is not None and each >= since for each in heard)


def lost(
    before: Reachability, now: Reachability, *, planned: Iterable[int], registry_elsewhere: bool
) -> Reachability:
    """Return the part of `before` that is not there `now`; it is empty once all is regained.

    Neighbours that are not `planned` any more do not count; where none of them is, one of those
    planned has to be there, or these are what is missing. The registry does not count where it is
    the registry that has gone: a neighbour is reachable, and no cell that is heard hears it, which
    `registry_elsewhere` tells.
    """
    return Reachability(
        registry=_registry_lost(before, now, registry_elsewhere=registry_elsewhere),
        neighbours=_neighbours_lost(before.neighbours, now.neighbours, frozenset(planned)),
    )


def describe(missing: Reachability, names: Mapping[int, str]) -> str:
    """Return who is missing, for people: `the registry, lan-b`."""
    cells = [names.get(each, f"cell {each}") for each in sorted(missing.neighbours)]
    return ", ".join([*(["the registry"] if missing.registry else []), *cells])


def _neighbours_lost(
    before: frozenset[int], now: frozenset[int], planned: frozenset[int]
) -> frozenset[int]:
    if before and not before & planned:
        return frozenset() if now & planned else planned
    return (before & planned) - now


def _registry_lost(before: Reachability, now: Reachability, *, registry_elsewhere: bool) -> bool:
    if not before.registry or now.registry:
        return False
    return registry_elsewhere or not now.neighbours
