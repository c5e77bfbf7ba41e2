"""What a cell reaches, and what of it a change of package has cost.

Pure. A cell that a change has cut off must roll back by itself. It can judge that only by what it
reaches: the registry, and the neighbours that it has links to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from uno.model.net import Network, network_order
from uno.model.plan import CellPlan, Roster
from uno.model.status import LinkState

# Seconds for FRR to act on BFD.
_NOTIFY = 0.3


class Reachability(Struct, frozen=True, kw_only=True):
    """What a cell reaches: the registry itself, and neighbours (cell ids) whose link works.

    `lans` are LANs of its own that it has been proved to forward for.
    """

    registry: bool = False
    neighbours: frozenset[int] = frozenset()
    lans: frozenset[Network] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is reached."""
        return self.registry or bool(self.neighbours) or bool(self.lans)


def observed(
    links: Iterable[LinkState], *, registry: bool, lans: frozenset[Network] = frozenset()
) -> Reachability:
    """Return what a cell with these links reaches that is proved to forward for these LANs.

    After a change of keys a link keeps its sessions for a while even if the keys are wrong. So a
    link counts only if it has had a handshake.
    """
    working = (link.cell for link in links if link.works and link.handshake is not None)
    return Reachability(
        registry=registry,
        neighbours=frozenset(working),
        lans=lans,
    )


def have_answered(
    neighbours: frozenset[int], answered: Mapping[int, float | None], *, since: float
) -> bool:
    """Whether all these neighbours that have a link have answered a probe sent since then.

    `answered` has for each link when the newest answered probe was sent. A round trip shows at once
    what BFD shows by staying up for its detection time: that packets pass in both directions. Where
    none of the neighbours has a link, nothing is shown.
    """
    times = [answered[each] for each in neighbours if each in answered]
    return bool(times) and all(each is not None and each >= since for each in times)


def detection_time(plan: CellPlan, roster: Roster) -> float:
    """Return in how many seconds FRR has taken any link of a cell down that is broken."""
    timings = (roster.link_timing(plan.cell, link.cell) for link in plan.links)
    slowest = max((each.detection for each in timings), default=roster.timing.detection)
    return slowest / 1000 + _NOTIFY


def missing_after(
    before: Reachability,
    now: Reachability,
    *,
    planned: Iterable[int],
    registry_elsewhere: bool,
    unforwarded: frozenset[Network] = frozenset(),
) -> Reachability:
    """Return the part of `before` that is not reached `now`; it is empty once all is regained.

    Of the LANs only those are missing that are proved to be `unforwarded`.

    Neighbours that are not `planned` any more do not count. Where none of them is, one of those
    planned has to be reached, or all of these are missing. The registry does not count where the
    registry itself has failed: a neighbour is reached, and no cell that is reached reaches the
    registry, which is what `registry_elsewhere` reports.
    """
    return Reachability(
        registry=_registry_missing(before, now, registry_elsewhere=registry_elsewhere),
        neighbours=_neighbours_missing(before.neighbours, now.neighbours, frozenset(planned)),
        lans=before.lans & unforwarded,
    )


def describe(missing: Reachability, names: Mapping[int, str]) -> str:
    """Return what is missing, for people: `the registry, lan-b, forwarding for 10.1.0.0/24`."""
    cells = [names.get(each, f"cell {each}") for each in sorted(missing.neighbours)]
    lans = [f"forwarding for {each}" for each in sorted(missing.lans, key=network_order)]
    return ", ".join([*(["the registry"] if missing.registry else []), *cells, *lans])


def _neighbours_missing(
    before: frozenset[int], now: frozenset[int], planned: frozenset[int]
) -> frozenset[int]:
    if before and not before & planned:
        return frozenset() if now & planned else planned
    return (before & planned) - now


def _registry_missing(before: Reachability, now: Reachability, *, registry_elsewhere: bool) -> bool:
    if not before.registry or now.registry:
        return False
    return registry_elsewhere or not now.neighbours
