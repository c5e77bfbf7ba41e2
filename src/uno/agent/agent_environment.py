"""What a cell's agent works with, and how often it does what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from uno.agent.commit.decisions import Limits
from uno.model.package import Package
from uno.ports.bus import REGISTRY_INDEX, Bus, BusConfig, BusPeer
from uno.ports.events import NetworkWatch
from uno.ports.host import Host
from uno.ports.prober import Prober


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, in seconds.

    A pass every `upkeep`, but not two within `apart`; a look at links and routes every `look`, but
    every `hurry` while something changes, which it does for `calming` after the last change. A pass
    that found routing dead is followed by another after `again`. LANs may take `lan_patience` to
    come up at boot, and a piece of work `stuck`. Others are told that the registry is not heard
    when that has been so for `grace`: were it only slow, every cell would tell every other, twice.
    """

    upkeep: float = 60.0
    apart: float = 1.0
    look: float = 5.0
    hurry: float = 0.5
    calming: float = 10.0
    again: float = 5.0
    lan_patience: float = 60.0
    stuck: float = 600.0
    grace: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that the agent works with: adapters, clocks, and what tells its supervisor.

    `prober` makes a prober that calls what it is given when somebody starts or ceases to answer.
    `folder` is for lock and socket; `now` is a monotonic clock and `wall` tells seconds since the
    epoch. `notify` takes what sd_notify(3) does, and is None where nobody supervises; `watchdog` is
    how often the supervisor wants a sign of life, 0 for never. `config` says how the cell of a
    package is on the bus.
    """

    host: Host
    bus: Bus
    prober: Callable[[Callable[[], None]], Prober]
    watch: NetworkWatch
    folder: Path
    now: Callable[[], float]
    wall: Callable[[], float]
    notify: Callable[[str], None] | None = None
    watchdog: float = 0.0
    config: Callable[[Package], BusConfig] = field(default_factory=lambda: bus_config)
    pace: Pace = field(default_factory=Pace)
    limits: Limits = field(default_factory=Limits)


def bus_config(bundle: Package) -> BusConfig:
    """Return how the cell of `bundle` is on the bus: with the registry and its own neighbours."""
    plan = bundle.plan
    addresses = {member.id: member.node4 for member in bundle.roster.members}
    peers = [BusPeer(addresses[link.cell]) for link in plan.links]
    if plan.root:
        peers.append(BusPeer(plan.root.remote4, REGISTRY_INDEX))
    return BusConfig(
        domain=plan.bus.domain,
        address=addresses[plan.cell],
        tag=plan.identity,
        peers=tuple(sorted(peers)),
    )
