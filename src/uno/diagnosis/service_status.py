"""A cell's host, compared with the package that it runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from uno.model.attached_lan import AttachedLan
from uno.model.net import Network
from uno.model.package import Package
from uno.ports.host import Action, PeerStatus, SessionStatus, SetUnderlay
from uno.reconcile.collisions import Collision
from uno.reconcile.forwarding_obstacles import Obstacle
from uno.reconcile.forwarding_proof import ForwardingProof


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """The status of a backbone link. `session` is None if routing does not run."""

    interface: str
    neighbor: str
    peer: PeerStatus | None
    session: SessionStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
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

        Where the host permits no proof that it forwards, that is no fault.

        Routes of WireGuard's packets may be pending: without an agent, they are set by `up` alone,
        and the host's routes change more often. They matter for endpoints in LANs only.
        """
        pending = any(not isinstance(each, SetUnderlay) for each in self.pending)
        lacking = pending or self.missing or self.obstacles or not self.proof.is_good
        return self.running and not lacking and not silent_links(self.links)


def silent_links(links: Iterable[LinkStatus]) -> frozenset[str]:
    """Return the interfaces of links without BGP and BFD sessions."""
    return frozenset(
        link.interface for link in links if link.session is None or not link.session.works
    )
