"""What a cell says of itself, put together from what the host, the probes and the agent know.

Asking the host is one call for WireGuard and one for the routing daemons; all else is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import groupby

from uno import __version__
from uno.model.net import Address, Network, overlap
from uno.model.package import Package
from uno.model.plan import BackbonePeer, Member
from uno.model.status import (
    CellStatus,
    LanState,
    LinkState,
    ParticleState,
    PathState,
)
from uno.ports.host import Facts, Host, PeerStatus, SessionStatus
from uno.ports.prober import ProbeResult, ProbeTarget
from uno.reconcile.lans import attached

FORGET_PARTICLE = 3600
"""Seconds after which a particle that has left is not named any more: statuses stay short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInputs:
    """What the agent knows already, and need not ask the host.

    `facts` and `wireguard` (the implementation) are those of its last pass; `probes` is what the
    prober measured; `routed` are the destinations of routes into the cell's links. `now` is the
    host's time in seconds since the epoch, whether it is right or not. The others are as in
    `CellStatus`.
    """

    facts: Facts
    now: int
    probes: Mapping[IPv4Address, ProbeResult]
    routed: Collection[Network]
    wireguard: str = ""
    registry: bool = False
    staged: int | None = None
    pending: tuple[str, ...] = ()
    problem: str = ""


def collect(host: Host, package: Package, known: StatusInputs) -> CellStatus:
    """Look at the host, and return what the cell of `package` says of itself. Changes nothing.

    Raises `UnoError` where WireGuard cannot be asked.
    """
    peers = host.peer_status()
    sessions = {session.neighbor: session for session in host.session_status()}
    own, others = _members(package)
    reached = {lan: _is_reached(member, lan, known) for member in others for lan in member.lans}
    return CellStatus(
        generation=package.manifest.generation,
        staged=known.staged,
        lans=tuple(_lans(own, known.facts)),
        links=tuple(_link(link, peers, sessions, known) for link in package.plan.links),
        paths=tuple(_path(member, known) for member in others),
        particles=tuple(_particles(package, peers, known.now)),
        reachable=tuple(lan for lan, is_reached in reached.items() if is_reached),
        unreachable=tuple(lan for lan, is_reached in reached.items() if not is_reached),
        registry=known.registry,
        wireguard=known.wireguard,
        version=__version__,
        pending=known.pending,
        problem=known.problem,
    )


def targets(package: Package) -> tuple[ProbeTarget, ...]:
    """Return whom the cell probes: the other end of each link, and every other cell."""
    own, others = _members(package)
    links = (
        ProbeTarget(
            address=link.remote4, source=link.local4, adjacent=True, mtu=package.plan.backbone_mtu
        )
        for link in package.plan.links
    )
    cells = (ProbeTarget(address=member.node4, source=own.node4) for member in others)
    return (*links, *cells)


def _members(package: Package) -> tuple[Member, tuple[Member, ...]]:
    own = package.own
    return own, tuple(each for each in package.roster.members if each.id != own.id)


def _is_reached(member: Member, lan: Network, known: StatusInputs) -> bool:
    """Whether packets for a LAN have a way, and the cell that has it is at the end of one.

    Nobody announces a LAN that is not attached, so the route tells that, too.
    """
    return lan in known.routed and _path(member, known).answers


def _path(member: Member, known: StatusInputs) -> PathState:
    found = known.probes.get(member.node4, ProbeResult())
    return PathState(cell=member.id, rtt=found.rtt, loss=found.loss)


def _lans(own: Member, facts: Facts) -> Iterator[LanState]:
    there = groupby(attached(own.lans, facts.nics), key=lambda each: each.network)
    nics = {network: tuple(each.nic for each in group) for network, group in there}
    for lan in own.lans:
        names = nics.get(lan, ())
        yield LanState(
            network=lan,
            interface=", ".join(names) or None,
            address=_address_in(lan, names, facts),
        )


def _address_in(lan: Network, names: tuple[str, ...], facts: Facts) -> Address | None:
    addresses = (
        address.ip
        for nic in facts.nics
        if nic.name in names
        for address in nic.addresses
        if overlap(address.network, lan)
    )
    return next(addresses, None)


def _link(
    link: BackbonePeer,
    peers: Mapping[str, tuple[PeerStatus, ...]],
    sessions: Mapping[str, SessionStatus],
    known: StatusInputs,
) -> LinkState:
    peer = next(iter(peers.get(link.interface, ())), None)
    session = sessions.get(str(link.remote4))
    probed = known.probes.get(link.remote4, ProbeResult())
    return LinkState(
        interface=link.interface,
        cell=link.cell,
        handshake=_age(peer, known.now),
        bgp=session.state if session else "",
        bfd=session.bfd if session else "",
        rtt=probed.rtt,
        loss=probed.loss,
        mtu=probed.mtu,
        received=peer.received if peer else 0,
        sent=peer.sent if peer else 0,
    )


def _particles(
    package: Package, peers: Mapping[str, tuple[PeerStatus, ...]], now: int
) -> Iterator[ParticleState]:
    hub = package.plan.particles
    if hub is None:
        return
    ids = {peer.public_key: peer.particle.id for peer in package.particles}
    for peer in peers.get(hub.interface, ()):
        age = _age(peer, now)
        if age is not None and age < FORGET_PARTICLE and peer.public_key in ids:
            yield ParticleState(
                id=ids[peer.public_key], handshake=age, received=peer.received, sent=peer.sent
            )


def _age(peer: PeerStatus | None, now: int) -> int | None:
    """Return the age of the last handshake; a clock that was set back makes it 0."""
    return max(0, now - peer.handshake) if peer and peer.handshake else None
