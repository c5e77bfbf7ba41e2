"""The status of a cell, from its host, its probes and its agent.

It takes one query of WireGuard, one of the routing daemons, and one of the host's network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import groupby

from msgspec import Struct, field
from msgspec.structs import replace

from uno import __version__
from uno.model import package_formats
from uno.model.net import Address, Network, overlap
from uno.model.package import Package
from uno.model.plan import BackbonePeer, Member
from uno.model.status import (
    CellStatus,
    LanState,
    LinkState,
    ParticleState,
    PathState,
    sessions_up,
)
from uno.ports.host import Facts, Host, PeerStatus, SessionStatus
from uno.ports.prober import ProbeResult, ProbeTarget
from uno.reconcile.converge import find_obstacles
from uno.reconcile.forwarding_proof import ForwardingProof
from uno.reconcile.lans import attached

FORGET_PARTICLE = 3600
"""Seconds without a handshake after which a particle is left out, so that statuses stay short."""


class StatusInputs(Struct, frozen=True, kw_only=True):
    """What the agent has already, and need not query.

    `facts` and `wireguard` (the implementation) are those of its last pass; `probes` are the
    results of the prober; `routed` are the destinations of routes over the cell's links, each with
    the interfaces. `now` is the host's clock in seconds since the epoch, right or wrong. `proof` is
    what is proved about forwarding. The others are as in `CellStatus`.
    """

    facts: Facts
    now: int
    probes: Mapping[IPv4Address, ProbeResult]
    routed: Mapping[Network, tuple[str, ...]]
    proof: ForwardingProof = field(default_factory=ForwardingProof)
    wireguard: str = ""
    registry: bool = False
    staged: int | None = None
    pending: tuple[str, ...] = ()
    problem: str = ""
    uptime: int | None = None
    watched: bool = False


def collect(host: Host, package: Package, inputs: StatusInputs) -> CellStatus:
    """Observe the host, and return the status of the cell of `package`. Changes nothing.

    Raises `UnoError` if WireGuard or the kernel's network cannot be queried.
    """
    peers = host.peer_status()
    sessions = {session.neighbor: session for session in host.session_status()}
    vitals = host.vitals()
    own, others = _members(package)
    neighbors = {link.interface: link.cell for link in package.plan.links}
    reached = {lan: _is_reached(member, lan, inputs) for member in others for lan in member.lans}
    links = tuple(_link(link, peers, sessions, inputs) for link in package.plan.links)
    silent = {link.interface for link in links if not link.works}
    found = find_obstacles(host, package, facts=inputs.facts, silent=silent, probed=True)
    obstacles = (
        *(each.what for each in (*found, *inputs.proof.obstacles)),
        *_narrow(links, package.plan.backbone_mtu, inputs.proof),
    )
    return CellStatus(
        generation=package.manifest.generation,
        staged=inputs.staged,
        lans=tuple(_lans(own, inputs)),
        links=links,
        paths=tuple(
            replace(_path(member, inputs), via=_via(member, neighbors, inputs)) for member in others
        ),
        particles=tuple(_particles(package, peers, inputs.now)),
        reachable=tuple(lan for lan, is_reached in reached.items() if is_reached),
        unreachable=tuple(lan for lan, is_reached in reached.items() if not is_reached),
        registry=inputs.registry,
        obstacles=obstacles,
        unproved=inputs.proof.unproved,
        wireguard=inputs.wireguard,
        version=__version__,
        pending=inputs.pending,
        problem=inputs.problem,
        package_format=package_formats.FORMAT,
        watched=inputs.watched,
        clock=inputs.now,
        uptime=inputs.uptime,
        host_uptime=vitals.uptime,
        dropped=dict(vitals.dropped),
    )


def probe_targets(package: Package) -> tuple[ProbeTarget, ...]:
    """Return what the cell probes: the other end of each link, and every other cell."""
    own, others = _members(package)
    metered = {each.id for each in others if package.roster.link_timing(own.id, each.id).metered}
    links = (
        ProbeTarget(
            address=link.remote4,
            source=link.local4,
            adjacent=True,
            mtu=package.plan.backbone_mtu,
            metered=link.cell in metered,
        )
        for link in package.plan.links
    )
    cells = (
        ProbeTarget(address=member.node4, source=own.node4, metered=member.id in metered)
        for member in others
    )
    return (*links, *cells)


def working_links(package: Package, sessions: Iterable[SessionStatus]) -> frozenset[str]:
    """Return the interfaces of the links whose sessions are all up."""
    up = {each.neighbor for each in sessions if sessions_up(bgp=each.state, bfd=each.bfd)}
    return frozenset(each.interface for each in package.plan.links if str(each.remote4) in up)


def _members(package: Package) -> tuple[Member, tuple[Member, ...]]:
    own = package.own
    return own, tuple(each for each in package.roster.members if each.id != own.id)


def _is_reached(member: Member, lan: Network, inputs: StatusInputs) -> bool:
    """Whether a LAN has a route, its cell answers probes, and none into the LAN has failed.

    A cell advertises no LAN that is not attached, so the route shows that it is.
    """
    has_route = lan in inputs.routed and lan not in inputs.proof.unreached
    return has_route and _path(member, inputs).answers


def _path(member: Member, inputs: StatusInputs) -> PathState:
    found = inputs.probes.get(member.node4, ProbeResult())
    return PathState(cell=member.id, rtt=found.rtt, loss=found.loss)


def _via(member: Member, neighbors: Mapping[str, int], inputs: StatusInputs) -> tuple[int, ...]:
    """Return the neighbours that the kernel sends packets for another cell to, by cell id."""
    through = inputs.routed.get(IPv4Network(member.node4), ())
    return tuple(sorted({neighbors[each] for each in through if each in neighbors}))


def _lans(own: Member, inputs: StatusInputs) -> Iterator[LanState]:
    facts = inputs.facts
    there = groupby(attached(own.lans, facts.nics), key=lambda each: each.network)
    nics = {network: tuple(each.nic for each in group) for network, group in there}
    for lan in own.lans:
        names = nics.get(lan, ())
        yield LanState(
            network=lan,
            interface=", ".join(names) or None,
            address=_address_in(lan, names, facts),
            forwards=inputs.proof.forwards.get(lan),
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
    inputs: StatusInputs,
) -> LinkState:
    peer = next(iter(peers.get(link.interface, ())), None)
    session = sessions.get(str(link.remote4))
    probed = inputs.probes.get(link.remote4, ProbeResult())
    return LinkState(
        interface=link.interface,
        cell=link.cell,
        handshake=_age(peer, inputs.now),
        bgp=session.state if session else "",
        bfd=session.bfd if session else "",
        rtt=probed.rtt,
        loss=probed.loss,
        mtu=probed.mtu,
        received=peer.received if peer else 0,
        sent=peer.sent if peer else 0,
        endpoint=(peer.endpoint or "") if peer else "",
        prefixes=session.prefixes if session else None,
        flaps=session.flaps if session else None,
    )


def _narrow(links: Iterable[LinkState], mtu: int, proof: ForwardingProof) -> Iterator[str]:
    """Yield the links that work, and lose packets as large as other links carry."""
    for link in links:
        if link.works and link.mtu is not None and link.mtu < mtu:
            yield f"{link.interface} carries packets of at most {link.mtu} octets, not {mtu}"
        elif link.works and link.interface in proof.narrow:
            yield proof.narrow[link.interface].what


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
