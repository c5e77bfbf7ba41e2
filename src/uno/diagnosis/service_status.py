"""A cell's host, compared with the package that it runs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, field

from uno.model.attached_lan import AttachedLan
from uno.model.net import Network
from uno.model.package import Package
from uno.model.plan import BackbonePeer
from uno.model.status import CellStatus, LanState, LinkState
from uno.ports.host import Action, PeerStatus, SessionStatus, SetUnderlay
from uno.reconcile.collisions import Collision, summary
from uno.reconcile.forwarding_obstacles import Obstacle
from uno.reconcile.forwarding_proof import ForwardingProof


class LinkStatus(Struct, frozen=True, kw_only=True):
    """The status of a backbone link. `session` is None if routing does not run."""

    interface: str
    neighbor: str
    peer: PeerStatus | None
    session: SessionStatus | None


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """This host compared with its cell's package.

    `pending` are the actions that `up` would take; `running` is whether uno owns anything here.
    `obstacles` are in the way of what the cell forwards, `collisions` networks of
    the host's own that are also the UVN's. `proof` is what probes have proved.
    """

    package: Package
    running: bool
    pending: tuple[Action, ...]
    wireguard: str
    lans: tuple[AttachedLan, ...]
    missing: tuple[Network, ...]
    obstacles: tuple[Obstacle, ...]
    collisions: tuple[Collision, ...]
    links: tuple[LinkStatus, ...]
    proof: ForwardingProof = field(default_factory=ForwardingProof)

    @property
    def healthy(self) -> bool:
        """Whether nothing is pending, missing or in the way, and every link has its sessions.

        A network of the host's own that takes packets of the UVN is in the way.

        Where the host permits no proof that it forwards, that is no fault.

        Routes of WireGuard's packets may be pending: without an agent, they are set by `up` alone,
        and the host's routes change more often. They matter for endpoints in LANs only.
        """
        pending = any(not isinstance(each, SetUnderlay) for each in self.pending)
        lacking = pending or self.missing or self.obstacles or not self.proof.is_good
        lacking = lacking or any(each.takes_packets for each in self.collisions)
        return self.running and not lacking and not silent_links(self.links)


def silent_links(links: Iterable[LinkStatus]) -> frozenset[str]:
    """Return the interfaces of links without BGP and BFD sessions."""
    return frozenset(
        link.interface for link in links if link.session is None or not link.session.works
    )


def link_state(link: LinkStatus, planned: BackbonePeer, *, now: int) -> LinkState:
    """Return a link of this host as its status has it, without measurements.

    `now` is the host's clock, in seconds since the epoch.
    """
    peer, session = link.peer, link.session
    return LinkState(
        interface=link.interface,
        cell=planned.cell,
        handshake=max(0, now - peer.handshake) if peer and peer.handshake else None,
        bgp=session.state if session else "",
        bfd=session.bfd if session else "",
        received=peer.received if peer else 0,
        sent=peer.sent if peer else 0,
    )


def local_status(found: ServiceStatus, *, now: int, routed: Collection[Network] = ()) -> CellStatus:
    """Return the status of a cell without an agent, as far as its host shows it.

    `routed` are LANs of other cells that the kernel sends packets for into links.
    """
    package = found.package
    planned = {each.interface: each for each in package.plan.links}
    nics = {lan.network: lan.nic for lan in found.lans}
    every = (*found.obstacles, *found.proof.obstacles, *found.proof.narrow.values())
    remote = [lan for it in package.roster.members if it.id != package.own.id for lan in it.lans]
    return CellStatus(
        generation=package.manifest.generation,
        lans=tuple(
            LanState(network=lan, interface=nics.get(lan), forwards=found.proof.forwards.get(lan))
            for lan in package.own.lans
        ),
        links=tuple(
            link_state(each, planned[each.interface], now=now)
            for each in found.links
            if each.interface in planned
        ),
        reachable=tuple(lan for lan in remote if lan in routed),
        obstacles=tuple(each.what for each in every),
        problem=summary(found.collisions),
        unproved=found.proof.unproved,
        wireguard=found.wireguard,
        clock=now,
    )
