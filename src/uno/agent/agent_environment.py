"""What a cell's agent depends on: adapters, clocks and intervals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from uno.agent.commit.commit_machine import ConfirmLimits
from uno.agent.commit.executor import CheckHost
from uno.agent.loop_timers import AgentIntervals
from uno.model.package import Package
from uno.ports.bus import REGISTRY_INDEX, Bus, BusConfig, BusPeer
from uno.ports.events import NetworkWatch
from uno.ports.host import Host
from uno.ports.notifications import Notifications
from uno.ports.prober import ForwardingProber, Prober
from uno.ports.web import WebPage


class AgentEnvironment(Struct, frozen=True, kw_only=True):
    """All that the agent depends on.

    `prober` makes a prober that calls its argument when a target begins or ceases to answer.
    Without `forwarding_prober` nothing is proved about forwarding, without `web` there is no page,
    and without `notifications` nobody is notified.
    `folder` holds the pid file and the socket. `now` is a monotonic clock, and `wall` returns the
    seconds since the epoch. `notify` sends what sd_notify(3) does, None without a supervisor;
    `watchdog` is how often the supervisor expects a keep-alive, 0 for never. `check_host` raises
    `UnoError` where this host cannot run the second package in place of the first. `config` returns
    the bus configuration of a package's cell.
    """

    host: Host
    bus: Bus
    prober: Callable[[Callable[[], None]], Prober]
    watch: NetworkWatch
    folder: Path
    now: Callable[[], float]
    wall: Callable[[], float]
    forwarding_prober: ForwardingProber | None = None
    web: WebPage | None = None
    notifications: Notifications | None = None
    notify: Callable[[str], None] | None = None
    watchdog: float = 0.0
    check_host: CheckHost = lambda _running, _offered, _own_ports: None
    config: Callable[[Package], BusConfig] = field(default_factory=lambda: bus_config)
    intervals: AgentIntervals = field(default_factory=AgentIntervals)
    confirm_limits: ConfirmLimits = field(default_factory=ConfirmLimits)


def bus_config(package: Package) -> BusConfig:
    """Return the bus configuration of a cell: its peers are the registry and its neighbours."""
    plan = package.plan
    addresses = {member.id: member.node4 for member in package.roster.members}
    peers = [BusPeer(addresses[link.cell]) for link in plan.links]
    if plan.root:
        metered = package.roster.timing_of(plan.cell).metered
        peers.append(BusPeer(plan.root.remote4, REGISTRY_INDEX, metered=metered))
    return BusConfig(
        domain=plan.bus.domain,
        address=addresses[plan.cell],
        tag=plan.identity,
        middleware=plan.bus.middleware,
        peers=tuple(sorted(peers)),
    )
