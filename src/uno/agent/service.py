"""Connects this host to the UVN and disconnects it, once, without a daemon.

Each is one pass: observe, reconcile, apply. A second pass changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from uno.agent.commit.drain_plan import DrainSchedule
from uno.agent.commit.drain_runner import switch
from uno.agent.host_loop.handshake_retry import is_name
from uno.diagnosis.service_status import LinkStatus, ServiceStatus, silent_links
from uno.diagnostics import UnoError
from uno.model.net import Network
from uno.model.package import Package
from uno.model.status import UvnView
from uno.model.tunnel import Tunnel
from uno.ports.host import (
    Action,
    CreateTunnel,
    Desired,
    Facts,
    Host,
    RemoveUnreachableRoutes,
    SetUnderlay,
    StartRouting,
    StopRouting,
)
from uno.reconcile import forwarding_proof
from uno.reconcile.collisions import Collision, collisions
from uno.reconcile.converge import cell_target, compare, find_obstacles
from uno.reconcile.forwarding_obstacles import Obstacle, ObstacleKind
from uno.reconcile.forwarding_proof import ForwardingProof, ProofPlan
from uno.reconcile.kernel_parameters import forwarded_by_uno
from uno.reconcile.lans import attached, require_all
from uno.reconcile.link_obstacles import link_obstacles
from uno.reconcile.nft_evaluation import source_translations
from uno.render.tunnels import tunnels

Progress = Callable[[str], None]


class UnresolvedLink(Struct, frozen=True, kw_only=True):
    """A link whose other end's `name` cannot be resolved."""

    interface: str
    neighbor: str
    name: str


def up(
    host: Host, package: Package, *, progress: Progress, routed: bool = True
) -> tuple[Action, ...]:
    """Connect the host to the UVN, and return the actions taken.

    Without `routed`, interfaces and firewall alone: routing that does not run is not started.
    Raises `UnoError`, also for a LAN of the cell that is not attached; then the host is as it was.
    """
    difference = cell_target(host, package, all_lans=True).compare(host)
    if not routed and difference.observed.routing is None:
        difference = difference.without(StartRouting).without(StopRouting)
    try:
        difference.apply(host, progress=progress)
    except BaseException:
        _remove_state_if_nothing_owned(host)
        raise
    return difference.actions


def change_over(
    host: Host,
    *,
    old: Package,
    new: Package,
    progress: Progress,
    pause: Callable[[float], object],
    now: Callable[[], float],
) -> tuple[Action, ...]:
    """Change a host that runs `old` to `new` while it forwards, and return what was done.

    Does nothing on a host that does not run `old`. Other cells are changed by hand too, so this
    waits for none of them. Raises `UnoError` as `up` does.
    """
    running = cell_target(host, old)
    require_all(new.own.lans, running.facts.nics)
    if running.compare(host).without(SetUnderlay).actions:
        return ()
    by_hand = DrainSchedule(remove_after=0, timeout=2)
    return switch(host, old=old, new=new, schedule=by_hand, progress=progress, pause=pause, now=now)


def forwarding_users(host: Host) -> Mapping[int, str]:
    """Return the IP versions that the host forwards since uno's `up`, and others use since then.

    Each with a table of nftables that translates addresses of what is forwarded: docker and others
    set forwarding only where it is off, so that they rely on what uno has set. One that translated
    before, without forwarding, gets back what it had.
    """
    state = host.forwarding_state(())
    found = source_translations(state.ruleset)
    return {
        version: found[version]
        for version in forwarded_by_uno(host.observe(()).originals)
        if version in found.keys() - state.translated
    }


def down(
    host: Host, *, forget: bool, progress: Progress, still_forwarded: Collection[int] = ()
) -> tuple[Action, ...]:
    """Remove all that uno owns from the host, and return the actions taken.

    Unless `forget`, the unreachable routes stay: without them what is for another site would leave
    in clear text by the default route. Forwarding of the IP versions `still_forwarded` stays on.
    """
    difference = compare(host, Desired(still_forwarded=frozenset(still_forwarded)))
    if not forget:
        difference = difference.without(RemoveUnreachableRoutes)
    difference.apply(host, progress=progress)
    host.remove_state()
    return difference.actions


def down_routing(host: Host, *, progress: Progress) -> tuple[Action, ...]:
    """Stop routing alone, and return the actions taken: interfaces and firewall stay."""
    everything = compare(host, Desired())
    kept = tuple(each for each in everything.actions if isinstance(each, StopRouting))
    replace(everything, actions=kept).apply(host, progress=progress)
    return kept


def rejected(host: Host) -> frozenset[Network]:
    """Return the prefixes that have unreachable routes of uno's on the host."""
    return host.observe(()).unreachable_routes


def unresolved(host: Host, package: Package) -> tuple[UnresolvedLink, ...]:
    """Return the links that this host has no address for: the names could not be resolved."""
    there = {
        (tunnel.name, peer.public_key): peer.endpoint
        for tunnel in host.observe(()).tunnels
        for peer in tunnel.peers
    }
    names = {member.id: member.name for member in package.roster.members}
    return tuple(
        UnresolvedLink(
            interface=link.interface,
            neighbor=names[link.cell],
            name=link.endpoint.rpartition(":")[0],
        )
        for link in package.plan.links
        if link.endpoint is not None and there.get((link.interface, link.public_key)) is None
    )


def refresh_endpoints(
    host: Host, package: Package, actions: tuple[Action, ...]
) -> tuple[Tunnel, ...]:
    """Resolve the endpoints of links that do not work again, and return those that have moved.

    A name may lead elsewhere since the last `up`. Links that `actions` created are left alone; the
    registry's endpoint is resolved again, too, but not returned: it may be off for weeks.
    """
    new = {each.tunnel.name for each in actions if isinstance(each, CreateTunnel)}
    named = [
        (tunnel, peer)
        for tunnel in tunnels(package)
        for peer in tunnel.peers
        if tunnel.name not in new and is_name(peer.endpoint)
    ]
    works = {
        link.interface
        for link in (_links(host, package) if named else ())
        if link.session is not None and link.session.works
    }
    silent = [(tunnel, peer) for tunnel, peer in named if tunnel.name not in works]
    host.begin_lookups(peer for _, peer in silent)
    moved = [tunnel for tunnel, peer in silent if host.refresh_endpoint(tunnel.name, peer)]
    awaited = tuple(tunnel for tunnel in moved if not tunnel.routes)
    for tunnel in awaited:
        _initiate_handshakes(host, tunnel)
    return awaited


def retry_handshakes(host: Host, awaited: tuple[Tunnel, ...]) -> tuple[Tunnel, ...]:
    """Initiate handshakes on those of the `awaited` links that have had none; return these.

    Where a name has several addresses, the next is tried.
    """
    status = host.peer_status()
    silent = tuple(
        tunnel
        for tunnel in awaited
        if not any(peer.handshake for peer in status.get(tunnel.name, ()))
    )
    host.begin_lookups(peer for tunnel in silent for peer in tunnel.peers if is_name(peer.endpoint))
    for tunnel in silent:
        for peer in tunnel.peers:
            if is_name(peer.endpoint):
                host.refresh_endpoint(tunnel.name, peer)
        _initiate_handshakes(host, tunnel)
    return silent


def created(host: Host, actions: tuple[Action, ...]) -> tuple[Tunnel, ...]:
    """Return the links created by `actions` that this cell has to open.

    The other end cannot where this one has no listen port. Where the other end's name has several
    addresses, the one that is called may not be the one that works.
    """
    links = (
        action.tunnel
        for action in actions
        if isinstance(action, CreateTunnel) and not action.tunnel.routes
    )
    return tuple(
        tunnel
        for tunnel in links
        if tunnel.port is None
        or any(peer.endpoint and host.other_addresses(tunnel.name, peer) for peer in tunnel.peers)
    )


def _initiate_handshakes(host: Host, tunnel: Tunnel) -> None:
    for peer in tunnel.peers:
        host.initiate_handshake(tunnel.name, peer)


def status(host: Host, package: Package) -> ServiceStatus:
    """Compare the host with the package. Changes nothing."""
    target = cell_target(host, package)
    difference = target.compare(host)
    observed = difference.observed
    running = observed.node is not None or bool(observed.tunnels)
    links = _links(host, package)
    wrong = link_obstacles(
        package,
        desired=target.desired.tunnels,
        observed=observed.tunnels,
        silent=silent_links(links),
    )
    return ServiceStatus(
        package=package,
        running=running,
        pending=difference.actions,
        wireguard=host.wireguard_kind(),
        lans=target.lans,
        missing=target.missing,
        collisions=target.collisions,
        obstacles=(*_obstacles(host, package, target.facts, links), *wrong) if running else (),
        links=links,
    )


def proof_plan(host: Host, package: Package) -> ProofPlan:
    """Return what to probe to prove that the host forwards for the cell. Changes nothing."""
    facts, links = host.facts(), _links(host, package)
    working = {link.interface for link in links} - silent_links(links)
    lans = attached(package.own.lans, facts.nics)
    return forwarding_proof.proof_plan(package, lans=lans, facts=facts, working=working)


def proof_of_agent(view: UvnView, *, known: Collection[Obstacle]) -> ForwardingProof:
    """Return what the agent that has this view of the UVN has proved about its own host.

    What it reports beside the obstacles that are `known` is among its proof's.
    """
    status = next((each.status for each in view.cells if each.id == view.viewer), None)
    if status is None:
        return ForwardingProof()
    named = {each.what for each in known}
    links = tuple(f"{link.interface} " for link in status.links)
    return ForwardingProof(
        forwards={lan.network: lan.forwards for lan in status.lans if lan.forwards is not None},
        obstacles=tuple(
            Obstacle(
                kind=ObstacleKind.MTU if what.startswith(links) else ObstacleKind.LOSS,
                what=what,
                remedy="see uno status",
            )
            for what in status.obstacles
            if what not in named
        ),
        unproved=status.unproved,
    )


def obstacles(host: Host, package: Package) -> tuple[Obstacle, ...]:
    """Return what is in the way of packets that the cell forwards. Changes nothing.

    Raises `UnoError`.
    """
    return _obstacles(host, package, host.facts(), _links(host, package))


def _obstacles(
    host: Host, package: Package, facts: Facts, links: Iterable[LinkStatus]
) -> tuple[Obstacle, ...]:
    return find_obstacles(host, package, facts=facts, silent=silent_links(links))


def find_collisions(host: Host, package: Package) -> tuple[Collision, ...]:
    """Return where networks of the host's own overlap the UVN's. Changes nothing."""
    return collisions(package, host.facts())


def _remove_state_if_nothing_owned(host: Host) -> None:
    """Remove the host's record of a cell that, after a failure, owns nothing that needs one."""
    with suppress(UnoError):
        if not compare(host, Desired()).without(RemoveUnreachableRoutes).actions:
            host.remove_state()


def _links(host: Host, package: Package) -> tuple[LinkStatus, ...]:
    names = {member.id: member.name for member in package.roster.members}
    peers = host.peer_status()
    sessions = {session.neighbor: session for session in host.session_status()}
    return tuple(
        LinkStatus(
            interface=link.interface,
            neighbor=names[link.cell],
            peer=next(iter(peers.get(link.interface, ())), None),
            session=sessions.get(str(link.remote4)),
        )
        for link in package.plan.links
    )
