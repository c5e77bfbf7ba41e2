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
class AgentIntervals:
    """Intervals and timeouts of an agent, in seconds.

    The agent reconciles the host every `reconcile_every`, but not twice within
    `reconcile_spacing`. It observes links and routes every `observe_every`, and every
    `observe_fast` for `fast_for` after the last change. Where routing was found dead it reconciles
    again after `routing_retry`. LANs may take `lan_timeout` to come up at boot. An agent whose loop
    has not turned for `hung_after` sends no watchdog keep-alive. Cells report the registry as
    absent after `registry_grace`: a short interruption would else make every cell advertise twice.
    """

    reconcile_every: float = 60.0
    reconcile_spacing: float = 1.0
    observe_every: float = 5.0
    observe_fast: float = 0.5
    fast_for: float = 10.0
    routing_retry: float = 5.0
    lan_timeout: float = 60.0
    hung_after: float = 600.0
    registry_grace: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEnvironment:
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
    intervals: AgentIntervals = field(default_factory=AgentIntervals)
    limits: Limits = field(default_factory=Limits)


def bus_config(package: Package) -> BusConfig:
    """Return how the cell of `package` is on the bus: with the registry and its own neighbours."""
    plan = package.plan
    addresses = {member.id: member.node4 for member in package.roster.members}
    peers = [BusPeer(addresses[link.cell]) for link in plan.links]
    if plan.root:
        peers.append(BusPeer(plan.root.remote4, REGISTRY_INDEX))
    return BusConfig(
        domain=plan.bus.domain,
        address=addresses[plan.cell],
        tag=plan.identity,
        peers=tuple(sorted(peers)),
    )
