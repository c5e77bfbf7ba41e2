"""A cell's plan to the configuration of its FRR daemons.

Sources: FRR 8.4 user manual, chapters BGP, BFD, Route Maps, Zebra. What is not obvious there:

- Route-maps stand before the neighbours that use them. A neighbour whose route-map is not there
  yet filters everything.
- No delay timer for route-maps: when it runs out bgpd applies them again, and loses sight of what
  comes meanwhile. Whoever changes a filter has to have it applied (`Frr.reload`).
- Each daemon gets a file of its own: an unknown block in a shared file ends in an `exit` that
  leaves configuration mode, and the rest of the file is lost.
- No `ttl-security`: it makes bgpd ask for a multi-hop BFD session. BFD checks TTL 255 by itself
  (RFC 5881, section 5).
- BFD sessions are bfdd's own configuration, with address and interface. bgpd asks for less at
  first and for the interface once a session is established, which would replace the BFD session
  and so end the BGP session once more; and a session of bgpd's alone ends with bgpd, when graceful
  restart needs it.
- No graceful-restart notification (RFC 8538): with it, a hold timer that runs out keeps the dead
  neighbour's routes for the whole restart time.
- No `bfd check-control-plane-failure`: with graceful restart it would keep routes through a dead
  link.
- bgpd itself gives a route from another AS that carries the community GRACEFUL_SHUTDOWN the local
  preference 0 (RFC 8326, section 4.2), after the filters (`bgp_update` in bgpd/bgp_route.c). A
  route that is not let in does not come in by carrying it.

Steps of route-maps and entries of lists are numbered by what they are about, not by their place, so
that nothing is renumbered when something else comes or goes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from msgspec.structs import replace as altered

from uno.model.attached_lan import AttachedLan
from uno.model.net import Network, network_order, written
from uno.model.plan import BackbonePeer, CellPlan, CellSet, Member, Roster

# Not 179, so that a BGP daemon of the host's own can run beside ours.
BGP_PORT = 1790

# The first FRR that knows graceful-restart notifications, and has them on.
OLDEST_WITH_NOTIFICATION = (8, 4)

# Equal paths used at once. No strategy but full-mesh gives more; the kernel takes up to 256.
MAXIMUM_PATHS = 8

# The route tag of what has come through a link that is being left. It stays within this bgpd.
GSHUT = 1

# Milliseconds of silence after which BFD gives up a link that is about to change. It need not be
# much longer than BGP's shortest hold time.
PATIENT_BFD = 5000

# The last number that an entry of a list can have.
LAST_ENTRY = 4294967295


class Drain(StrEnum):
    """How far traffic has been led away from a link (RFC 8326).

    `tagged`: others are told to prefer other ways, while this cell goes on using the link, so that
    nobody sends packets back whom they come from. `avoided`: this cell, too, prefers other ways,
    and so does the neighbour. Whoever has no other way goes on using the link. `closed`: it has no
    sessions any more, so that nobody uses it, and still carries what is on its way.
    """

    TAGGED = "tagged"
    AVOIDED = "avoided"
    CLOSED = "closed"


def daemons(
    plan: CellPlan,
    roster: Roster,
    *,
    lans: tuple[AttachedLan, ...],
    version: tuple[int, int] = OLDEST_WITH_NOTIFICATION,
    drained: Mapping[str, Drain] | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the configuration text of zebra, bfdd and bgpd, in the order to start them.

    `lans` are the cell's LANs that are attached now; only those are announced. `version` is FRR's
    on the host: one that is told what it does not know refuses to reload. `drained` are the
    interfaces of the links that are to be left.
    """
    own = roster.member(plan.cell)
    leaving = drained or {}
    links = tuple(each for each in plan.links if leaving.get(each.interface) is not Drain.CLOSED)
    plan = altered(plan, links=links)
    return (
        ("zebra", _text(_zebra(own))),
        ("bfdd", _text(_bfdd(plan, roster, leaving))),
        ("bgpd", _text(_bgpd(plan, roster, own, lans=lans, version=version, drained=leaving))),
    )


def integrated(parts: tuple[tuple[str, str], ...]) -> str:
    """Return one configuration of all daemons, as vtysh and frr-reload.py read it."""
    return "".join(text for _, text in parts)


def prefixes(member: Member) -> tuple[Network, ...]:
    """Return all that a cell may announce: its LANs and its node addresses."""
    # As numbers: from the addresses themselves it takes four times as long, and there are many.
    own = (IPv4Network((int(member.node4), 32)), IPv6Network((int(member.node6), 128)))
    return tuple(sorted((*member.lans, *own), key=network_order))


def scope_members(scope: CellSet, roster: Roster) -> tuple[Member, ...]:
    """Return the members of `roster` that `scope` names."""
    return tuple(member for member in roster.members if member.id in scope)


def _zebra(own: Member) -> Iterator[str]:
    # Next hops as objects would share their numbers with those of a host's own FRR, and stay behind
    # when zebra is killed.
    yield "no zebra nexthop kernel enable"
    # Milliseconds that a route waits for others before it is put into the kernel; 10 by default.
    # Neighbours may already send what goes by it.
    yield "zebra work-queue 1"
    # Routes get the node's address as source hint, so that what the cell itself sends is answered.
    for family, name, source in (
        ("ip", "SET-SRC-V4", own.node4),
        ("ipv6", "SET-SRC-V6", own.node6),
    ):
        yield f"route-map {name} permit 10"
        yield f" set src {source}"
        yield "exit"
        yield f"{family} protocol bgp route-map {name}"


def _bfdd(plan: CellPlan, roster: Roster, drained: Mapping[str, Drain]) -> Iterator[str]:
    timing = roster.timing
    # How long the neighbour waits for this side, since each says it for itself (RFC 5880, section
    # 6.8.4). With `uno-gshut` sessions outlast a change of keys.
    patience = min(255, PATIENT_BFD // timing.bfd_interval)
    yield "bfd"
    for profile, multiplier in (("uno-gshut", patience), ("uno", timing.bfd_multiplier)):
        yield f" profile {profile}"
        yield f"  detect-multiplier {multiplier}"
        yield f"  receive-interval {timing.bfd_interval}"
        yield f"  transmit-interval {timing.bfd_interval}"
        yield " exit"
    for link in plan.links:
        avoided = drained.get(link.interface) is Drain.AVOIDED
        yield f" peer {link.remote4} local-address {link.local4} interface {link.interface}"
        yield f"  profile {'uno-gshut' if avoided else 'uno'}"
        yield " exit"
    yield "exit"


def _bgpd(
    plan: CellPlan,
    roster: Roster,
    own: Member,
    *,
    lans: tuple[AttachedLan, ...],
    version: tuple[int, int],
    drained: Mapping[str, Drain],
) -> Iterator[str]:
    others = [member for member in roster.members if member.id != plan.cell]
    yield "bgp route-map delay-timer 0"
    yield from _filters(others)
    for link in plan.links:
        yield from _link_filters(link, others, drained.get(link.interface))
    yield "route-map EXPORT permit 10"
    yield f" match tag {GSHUT}"
    yield " set community graceful-shutdown additive"
    yield "exit"
    yield "route-map EXPORT permit 20"
    yield "exit"
    yield "route-map EXPORT-GSHUT permit 10"
    yield " set community graceful-shutdown additive"
    yield "exit"
    yield f"router bgp {own.asn}"
    yield f" bgp router-id {own.node4}"
    yield " no bgp default ipv4-unicast"
    if any(not lan.exact for lan in lans):
        # The kernel has no route for the very prefix, so that it cannot be asked for.
        yield " no bgp network import-check"
    yield " bgp bestpath as-path multipath-relax"
    yield " bgp graceful-restart"
    yield f" bgp graceful-restart restart-time {roster.timing.restart}"
    yield " bgp graceful-restart preserve-fw-state"
    if version >= OLDEST_WITH_NOTIFICATION:
        yield " no bgp graceful-restart notification"
    yield " coalesce-time 50"
    yield f" timers bgp {roster.timing.keepalive} {roster.timing.hold}"
    names = {member.id: member for member in others}
    for link in plan.links:
        yield from _neighbor(link, names[link.cell], roster)
    announced = sorted({lan.network for lan in lans}, key=network_order)
    sessions = [(link, drained.get(link.interface)) for link in plan.links]
    yield from _family(sessions, 4, [*_of(4, announced), IPv4Network(own.node4)])
    yield from _family(sessions, 6, [*_of(6, announced), IPv6Network(own.node6)])
    yield "exit"


def _filters(others: Iterable[Member]) -> Iterator[str]:
    """Yield what anyone may announce: each prefix by the cell that has it, exactly as planned."""
    steps = []
    for member in others:
        yield f"bgp as-path access-list ORIGIN-{member.id} seq 5 permit _{member.asn}$"
        own = prefixes(member)
        for version, family in ((4, "ip"), (6, "ipv6")):
            listed = f"{family} prefix-list PREFIXES-{member.id}"
            for number, prefix in _numbered(_of(version, own)):
                yield f"{listed} seq {number} permit {written(prefix)}"
            steps.append(f"route-map MEMBERS-V{version} permit {member.id}")
            steps.append(f" match {family} address prefix-list PREFIXES-{member.id}")
            steps.append(f" match as-path ORIGIN-{member.id}")
            steps.append("exit")
    yield from steps


def _numbered(networks: Iterable[Network]) -> Iterator[tuple[int, Network]]:
    """Give each prefix of a list a number that follows from the prefix."""
    taken = {0}
    for network in networks:
        number = zlib.crc32(network.network_address.packed)
        while number in taken:
            number = (number + 1) % LAST_ENTRY
        taken.add(number)
        yield number, network


def _link_filters(
    link: BackbonePeer, others: Iterable[Member], drain: Drain | None
) -> Iterator[str]:
    scope = link.import_origins
    entry = f"bgp as-path access-list ORIGINS-{link.interface} seq"
    verdict = "deny" if scope.complement else "permit"
    for member in others:
        if (member.id in scope) != scope.complement:
            yield f"{entry} {member.id} {verdict} _{member.asn}$"
    if scope.complement:
        yield f"{entry} {LAST_ENTRY} permit .*"
    for version in (4, 6):
        yield f"route-map IMPORT-{link.interface}-V{version} permit 10"
        yield f" match as-path ORIGINS-{link.interface}"
        yield f" call MEMBERS-V{version}"
        if drain:
            yield f" set tag {GSHUT}"
        if drain is Drain.AVOIDED:
            yield " set local-preference 0"
        yield "exit"


def _neighbor(link: BackbonePeer, peer: Member, roster: Roster) -> Iterator[str]:
    neighbor = f" neighbor {link.remote4}"
    yield f"{neighbor} remote-as {peer.asn}"
    yield f"{neighbor} description {peer.name} on {link.interface}"
    yield f"{neighbor} bfd"
    yield f"{neighbor} bfd profile uno"
    yield f"{neighbor} port {BGP_PORT}"
    yield f"{neighbor} timers connect {roster.timing.connect}"


def _family(
    sessions: Iterable[tuple[BackbonePeer, Drain | None]],
    version: int,
    announced: Iterable[Network],
) -> Iterator[str]:
    yield " !"
    yield f" address-family {'ipv4' if version == 4 else 'ipv6'} unicast"
    for prefix in announced:
        yield f"  network {prefix}"
    for link, drain in sessions:
        out = "EXPORT-GSHUT" if drain is Drain.AVOIDED else "EXPORT"
        yield f"  neighbor {link.remote4} activate"
        yield f"  neighbor {link.remote4} soft-reconfiguration inbound"
        yield f"  neighbor {link.remote4} route-map IMPORT-{link.interface}-V{version} in"
        yield f"  neighbor {link.remote4} route-map {out} out"
    yield f"  maximum-paths {MAXIMUM_PATHS}"
    yield " exit-address-family"


def _of(version: int, networks: Iterable[Network]) -> list[Network]:
    return [network for network in networks if network.version == version]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
