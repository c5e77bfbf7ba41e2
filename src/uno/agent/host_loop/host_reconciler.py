"""Reconciles the host with the cell's package, and maintains links that do not work.

All calls block, and are for one thread. A pass takes no hints: it observes everything, and a second
pass does nothing. So what was removed by hand, or has died, is restored.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from msgspec import Struct

from uno import files
from uno.agent.host_loop.handshake_retry import (
    EXPIRED,
    LONGEST_PAUSE,
    HandshakeRetry,
    has_strayed,
    is_name,
)
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
from uno.reconcile.collisions import Collision
from uno.reconcile.converge import cell_target
from uno.reconcile.lans import attached

_log = logging.getLogger(__name__)


@contextmanager
def host_lock(folder: Path) -> Iterator[None]:
    """Hold the lock that every process takes before it changes the host for a cell.

    `folder` is the cell's folder in /run. The lock is beside it: /run can be written where the
    cell's own directory is read-only, and taking the network down removes the folder.
    """
    files.make_open_dir(folder.parent)
    with files.locked(folder.with_name(f"{folder.name}.lock")):
        yield


class PassOutcome(Struct, frozen=True, kw_only=True):
    """The result of a pass.

    `missing` are the cell's LANs that the host is not attached to, `collisions` networks of the
    host's own that are also the UVN's. With `again` another pass has to
    follow soon: not all routing daemons were running, and their watchdog may be starting them.
    """

    facts: Facts
    actions: tuple[Action, ...] = ()
    missing: tuple[Network, ...] = ()
    collisions: tuple[Collision, ...] = ()
    wireguard: str = ""
    again: bool = False


class HostReconciler:
    """Reconciles one host with the packages of one cell."""

    def __init__(
        self, host: Host, folder: Path, *, wall: Callable[[], float], now: Callable[[], float]
    ) -> None:
        """Reconcile `host`; commands that change it too take turns by the lock of `folder`.

        `wall` returns seconds since the epoch, `now` those of a monotonic clock.
        """
        self.host = host
        self.stopping = threading.Event()
        self._folder = folder
        self._wall = wall
        self._now = now
        self._handshake_retry = HandshakeRetry()
        self._stale_routes = StaleRoutes()
        self._tunnels: dict[str, Tunnel] = {}
        self._had_routing = False
        self._registry_due = 0.0
        self._fingerprint: object = None

    def missing(self, package: Package) -> tuple[Network, ...]:
        """Return the cell's LANs that the host is not attached to."""
        lans = package.own.lans
        there = {each.network for each in attached(lans, self.host.facts().nics)}
        return tuple(lan for lan in lans if lan not in there)

    def is_up(self) -> bool:
        """Whether the network is up on this host, started by this process or another one."""
        return self.host.observe(()).node is not None

    def reconcile(self, package: Package) -> PassOutcome:
        """Reconcile the host with `package`, with the LANs that are attached.

        Raises `UnoError`, and then the host is as it was before.
        """
        fingerprint = self.host.fingerprint()
        target = cell_target(self.host, package)
        difference = target.compare(self.host)
        again = self._may_restart_itself(difference.observed)
        if again:
            difference = difference.without(StartRouting)
        if difference.actions:
            with self.host_lock():
                difference.apply(self.host, progress=_log_step)
            fingerprint = self.host.fingerprint()
        self._fingerprint = fingerprint
        self._had_routing = not again
        self._tunnels = {tunnel.name: tunnel for tunnel in target.desired.tunnels}
        return PassOutcome(
            facts=target.facts,
            actions=difference.actions,
            missing=target.missing,
            collisions=target.collisions,
            wireguard=self.host.wireguard_kind(),
            again=again,
        )

    def has_changed(self) -> bool:
        """Whether something of uno's has changed on the host, without a notification, since a pass.

        Raises `UnoError`.
        """
        return self._fingerprint is not None and self.host.fingerprint() != self._fingerprint

    def end_sessions_over_limit(self, package: Package) -> None:
        """End the BGP sessions of neighbours that advertise more than they may. Raises `UnoError`.

        bgpd keeps what it refuses, and would run out of memory.
        """
        over = self.host.end_sessions_over_limit()
        for link in package.plan.links:
            if str(link.remote4) in over:
                _log.warning(
                    "%s advertises more prefixes than the UVN has; ended its BGP session on %s for "
                    "a minute",
                    package.roster.member(link.cell).name,
                    link.interface,
                )

    def note_done(self, done: Iterable[Action]) -> None:
        """Take note of the tunnels that a change of package has made or removed."""
        for action in done:
            match action:
                case CreateTunnel(tunnel) | ConfigureTunnel(tunnel):
                    self._tunnels[tunnel.name] = tunnel
                case RemoveTunnel(name):
                    self._tunnels.pop(name, None)
                case _:
                    pass

    def host_lock(self) -> AbstractContextManager[None]:
        """Hold the lock that every process takes before it changes the host."""
        return host_lock(self._folder)

    def maintain_links(self, package: Package, links: Sequence[LinkState]) -> None:
        """Maintain those links of the running `package` that do not work.

        Routes through dead links are dropped. Handshakes are initiated with neighbours that do not
        answer, where this cell knows an endpoint. Raises `UnoError`.
        """
        self._drop_stale_routes(package, links)
        self._retry_handshakes(links)

    def _drop_stale_routes(self, package: Package, links: Iterable[LinkState]) -> None:
        # Over a metered link BFD may take longer to come up than bgpd keeps stale routes.
        own, roster = package.plan.cell, package.roster
        metered = {
            link.interface
            for link in package.plan.links
            if roster.link_timing(own, link.cell).metered
        }
        quick = (link for link in links if link.interface not in metered)
        due = self._stale_routes.due(quick, now=self._now())
        if due:
            due &= self.host.interfaces_with_bgp_routes()
        for link in package.plan.links:
            if link.interface in due:
                self.host.drop_routes(str(link.remote4))
                self._stale_routes.dropped(link.interface)
                _log.info("%s is dead: dropped the stale routes through it", link.interface)

    def _retry_handshakes(self, links: Iterable[LinkState]) -> None:
        peers = {name: _reachable_peer(tunnel) for name, tunnel in self._tunnels.items()}
        mine = [link for link in links if peers.get(link.interface)]
        strayed = {
            link.interface
            for link in mine
            if (peer := peers[link.interface]) and has_strayed(link, peer.endpoint)
        }
        due = self._handshake_retry.due(mine, now=self._now(), strayed=strayed)
        known = self.host.peer_status() if due else {}
        # A handshake would cancel a first session that is newer than `links`.
        new = {link.interface for link in mine if link.handshake is None}
        self.host.begin_lookups(
            peer for name in due if (peer := peers[name]) and is_name(peer.endpoint)
        )
        for name in due:
            answered = name in new and any(each.handshake for each in known.get(name, ()))
            if (peer := peers[name]) is not None and not answered:
                self._initiate_handshake(name, peer)

    def find_registry(self, interface: str) -> None:
        """Resolve the registry's name again if its last handshake has expired. Raises `UnoError`.

        The registry may be off for weeks, so it is not resolved more often than sessions expire;
        but for a name with several addresses, so that the one that works is found soon.
        """
        peer = _reachable_peer(self._tunnels.get(interface))
        if peer is None or not is_name(peer.endpoint) or self._now() < self._registry_due:
            return
        several = self.host.other_addresses(interface, peer) > 0
        self._registry_due = self._now() + (LONGEST_PAUSE if several else EXPIRED)
        known = self.host.peer_status().get(interface, ())
        if all(self._wall() - each.handshake > EXPIRED for each in known):
            self.host.refresh_endpoint(interface, peer)

    def _initiate_handshake(self, name: str, peer: Peer) -> None:
        if is_name(peer.endpoint) and self.host.refresh_endpoint(name, peer):
            has_others = self.host.other_addresses(name, peer) > 0
            level = logging.DEBUG if has_others else logging.INFO
            text = "%s resolves to another address: updated the endpoint of %s"
            _log.log(level, text, peer.endpoint, name)
            if has_others:
                self._handshake_retry.try_next_soon(name, now=self._now())
        self.host.initiate_handshake(name, peer)

    def _may_restart_itself(self, observed: Observed) -> bool:
        """Whether routing has just died: watchfrr restarts single daemons, and loses less."""
        return observed.routing is None and self._had_routing


def _reachable_peer(tunnel: Tunnel | None) -> Peer | None:
    """Return the one peer of a tunnel that has an endpoint."""
    if tunnel is None or len(tunnel.peers) != 1:
        return None
    (peer,) = tunnel.peers
    return peer if peer.endpoint else None


def _log_step(text: str) -> None:
    _log.info("%s", text)
