"""Keeping the host as the cell's package wants it: passes, and what links need that do not work.

All of it blocks, and is for one thread. A pass takes no hints: it looks at all there is, and a
second one does nothing. So what somebody removed, or what died, comes back.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from uno import files
from uno.agent.commit import drain_runner
from uno.agent.commit.drain_plan import DrainSchedule
from uno.agent.commit.drain_runner import RemainingSteps
from uno.agent.commit.package_checks import own_lans
from uno.agent.host_loop.handshake_retry import EXPIRED, HandshakeRetry, is_name
from uno.agent.host_loop.stale_routes import StaleRoutes
from uno.model.net import Network
from uno.model.package import Package
from uno.model.status import LinkState
from uno.model.tunnel import Peer, Tunnel
from uno.ports.host import (
    Action,
    ConfigureTunnel,
    CreateTunnel,
    Facts,
    Host,
    Observed,
    RemoveTunnel,
    StartRouting,
)
from uno.reconcile.converge import cell_target
from uno.reconcile.lans import attached

_log = logging.getLogger(__name__)

LOCK = "service.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassOutcome:
    """What a pass came to.

    `missing` are the cell's LANs that the host is not in. With `again` a pass is to follow soon:
    the routing daemons were not all there, and somebody else may be starting them.
    """

    facts: Facts
    actions: tuple[Action, ...] = ()
    missing: tuple[Network, ...] = ()
    wireguard: str = ""
    again: bool = False


class HostReconciler:
    """One host, and the cell that it is."""

    def __init__(
        self, host: Host, directory: Path, *, wall: Callable[[], float], now: Callable[[], float]
    ) -> None:
        """Keep `host`; commands that change it too take turns through a lock in `directory`.

        `wall` returns seconds since the epoch, `now` those of a monotonic clock.
        """
        self.host = host
        self.stopping = threading.Event()
        self._directory = directory
        self._wall = wall
        self._now = now
        self._redial = HandshakeRetry()
        self._stale = StaleRoutes()
        self._tunnels: dict[str, Tunnel] = {}
        self._had_routing = False
        self._registry_due = 0.0

    def missing(self, package: Package) -> tuple[Network, ...]:
        """Return the cell's LANs that the host is not in."""
        lans = own_lans(package)
        there = {each.network for each in attached(lans, self.host.facts().nics)}
        return tuple(lan for lan in lans if lan not in there)

    def is_up(self) -> bool:
        """Whether the network runs on this host, whoever started it."""
        return self.host.observe(()).node is not None

    def reconcile(self, package: Package) -> PassOutcome:
        """Make the host as `package` wants it, with the LANs that are there.

        Raises `UnoError`, and then the host is as it was before.
        """
        target = cell_target(self.host, package)
        difference = target.compare(self.host)
        again = self._is_coming_back(difference.observed)
        if again:
            difference = difference.without(StartRouting)
        if difference.actions:
            with self.pidfile():
                difference.apply(self.host, progress=_say)
        self._had_routing = not again
        self._tunnels = {tunnel.name: tunnel for tunnel in target.desired.tunnels}
        return PassOutcome(
            facts=target.facts,
            actions=difference.actions,
            missing=target.missing,
            wireguard=self.host.wireguard_kind(),
            again=again,
        )

    def switch(self, old: Package, new: Package, schedule: DrainSchedule) -> RemainingSteps | None:
        """Take the host from the package `old` to `new`, as `schedule` says when.

        Returns what is left to take back of the old one, for `proceed`. Raises `UnoError`, and then
        the host is as it was before.
        """
        with self.pidfile():
            done, rest = self._walk().begin(old, new, schedule)
        self._note(done)
        return rest

    def proceed(self, rest: RemainingSteps) -> RemainingSteps | None:
        """Take the next step in taking back what is old, if it is time; return what is left then.

        Raises `UnoError`.
        """
        walk = self._walk()
        if walk.keeps(rest):
            return rest
        with self.pidfile():
            done, left = walk.proceed(rest)
        self._note(done)
        return left

    def _walk(self) -> drain_runner.DrainRunner:
        return drain_runner.DrainRunner(
            host=self.host,
            progress=_say,
            pause=self._pause,
            now=self._now,
            cancelled=self.stopping.is_set,
        )

    def _note(self, done: Iterable[Action]) -> None:
        for action in done:
            match action:
                case CreateTunnel(tunnel) | ConfigureTunnel(tunnel):
                    self._tunnels[tunnel.name] = tunnel
                case RemoveTunnel(name):
                    self._tunnels.pop(name, None)
                case _:
                    pass

    def pidfile(self) -> AbstractContextManager[None]:
        """Hold the lock that commands take before they change the host."""
        return files.locked(self._directory / LOCK)

    def maintain_links(self, package: Package, links: Sequence[LinkState]) -> None:
        """Do what is to be done about those links of the running `package` that do not work.

        Routes through dead ones are dropped, and neighbours that are silent called, where this cell
        can call. Raises `UnoError`.
        """
        self._drop_stale(package, links)
        self._call_silent(links)

    def _drop_stale(self, package: Package, links: Iterable[LinkState]) -> None:
        due = self._stale.due(links, now=self._now())
        if due:
            due &= self.host.interfaces_with_bgp_routes()
        for link in package.plan.links:
            if link.interface in due:
                self.host.drop_routes(str(link.remote4))
                self._stale.dropped(link.interface)
                _log.info("%s is dead: dropped routes that were kept through it", link.interface)

    def _call_silent(self, links: Iterable[LinkState]) -> None:
        peers = {name: _callable(tunnel) for name, tunnel in self._tunnels.items()}
        mine = [link for link in links if peers.get(link.interface)]
        due = self._redial.due(mine, now=self._now())
        known = self.host.peer_status() if due else {}
        # One that has answered for the first time since it was looked at would be broken off.
        new = {link.interface for link in mine if link.handshake is None}
        for name in due:
            answered = name in new and any(each.handshake for each in known.get(name, ()))
            if (peer := peers[name]) is not None and not answered:
                self._call(name, peer)

    def find_registry(self, interface: str) -> None:
        """Look up the registry's name again if it has not been heard for long. Raises `UnoError`.

        It may be off for weeks, so that it is asked for once in a while only.
        """
        peer = _callable(self._tunnels.get(interface))
        if peer is None or not is_name(peer.endpoint) or self._now() < self._registry_due:
            return
        self._registry_due = self._now() + EXPIRED
        known = self.host.peer_status().get(interface, ())
        if all(self._wall() - each.handshake > EXPIRED for each in known):
            self.host.refresh_endpoint(interface, peer)

    def _call(self, name: str, peer: Peer) -> None:
        if is_name(peer.endpoint) and self.host.refresh_endpoint(name, peer):
            _log.info("%s leads elsewhere now: called %s there", peer.endpoint, name)
            return
        self.host.initiate_handshake(name, peer)

    def _pause(self, seconds: float) -> None:
        self.stopping.wait(seconds)

    def _is_coming_back(self, observed: Observed) -> bool:
        """Whether routing has just died: watchfrr starts single daemons again, and loses less."""
        return observed.routing is None and self._had_routing


def _callable(tunnel: Tunnel | None) -> Peer | None:
    """Return the one peer of a tunnel that has an endpoint."""
    if tunnel is None or len(tunnel.peers) != 1:
        return None
    (peer,) = tunnel.peers
    return peer if peer.endpoint else None


def _say(text: str) -> None:
    _log.info("%s", text)
