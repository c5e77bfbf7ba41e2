"""The routing of one cell, as values that no router's syntax shows in.

`routing_policy` derives them from the cell's plan. A renderer (`render.frr`) turns them into the
configuration of one implementation of BGP and BFD. Sources: RFC 4271 (BGP), RFC 4724 (graceful
restart), RFC 5880 (BFD), RFC 7454 (filters), RFC 8326 (graceful shutdown).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from uno.model.attached_lan import AttachedLan
from uno.model.net import Network, network_order
from uno.model.plan import BackbonePeer, CellPlan, CellSet, Member, Roster, Timing, asn_of

# Not 179, so that a BGP daemon of the host's own can run beside uno's.
BGP_PORT = 1790

# Equal paths used at once. No strategy but full-mesh gives more; the kernel takes up to 256.
MAXIMUM_PATHS = 8

# Detection time (RFC 5880, section 6.8.4) of the BFD session of an avoided link, in milliseconds:
# longer than a change of its keys takes. It need not be much longer than BGP's shortest hold time.
GSHUT_DETECTION_TIME = 5000

# The lowest limit of prefixes from one neighbour: some 100 octets of memory each.
LEAST_MAXIMUM_PREFIXES = 1024

# Detect Mult has 8 bits (RFC 5880, section 4.1).
_MAXIMUM_MULTIPLIER = 255


class Drain(StrEnum):
    """How far traffic is drained from a link (RFC 8326).

    `tagged`: routes learned over the link are advertised to others with GRACEFUL_SHUTDOWN, while
    the cell itself goes on using the link, so that no packet returns to where it came from.
    `avoided`: the cell prefers every other path, and the neighbour does too; a cell without another
    path goes on using the link. `closed`: the link has no sessions, and forwards what is in flight.
    """

    TAGGED = "tagged"
    AVOIDED = "avoided"
    CLOSED = "closed"


class RouteOrigin(Struct, frozen=True, kw_only=True):
    """Another cell as an origin of routes: its AS number, and the prefixes that it may originate.

    A prefix is accepted exactly as planned, not a part of it, and only with this AS as origin.
    """

    cell: int
    asn: int
    prefixes: tuple[Network, ...]


class Adjacency(Struct, frozen=True, kw_only=True):
    """The AS number of a cell, and those that may follow it in an AS path: its neighbours'.

    The cell that filters is in none: a path through it is a loop.
    """

    cell: int
    asn: int
    followers: tuple[int, ...]


class BgpSession(Struct, frozen=True, kw_only=True):
    """One eBGP session over one link, with BFD, for IPv4 and IPv6 unicast routes.

    Import policy: only routes whose origin is in `import_origins`. What `drain` adds to the import
    and export policy is in the properties. `timing` is the same at both ends.
    """

    interface: str
    local4: IPv4Address
    remote4: IPv4Address
    remote6: IPv6Address
    remote_as: int
    description: str
    import_origins: CellSet
    timing: Timing
    drain: Drain | None = None

    @property
    def marks_imports(self) -> bool:
        """Whether routes learned here are advertised to others with GRACEFUL_SHUTDOWN."""
        return self.drain is not None

    @property
    def is_avoided(self) -> bool:
        """Whether imports get local preference 0, and all exports carry GRACEFUL_SHUTDOWN."""
        return self.drain is Drain.AVOIDED


class RoutingPolicy(Struct, frozen=True, kw_only=True):
    """The BGP speaker of one cell.

    `networks` are the prefixes that it originates. With `networks_are_in_kernel` the kernel has a
    route for each of them. `node4` is the router id; both node addresses are the source of what the
    cell itself sends. `origins` are all other cells of the UVN, `sessions` those of links that are
    not closed; `timing` is the UVN's. `adjacencies` are those of which AS paths consist, none where
    they are not known. `hidden` are prefixes of others that the host has for itself: what is sent
    to this cell for them does not get there, so they are not advertised to others.
    """

    asn: int
    node4: IPv4Address
    node6: IPv6Address
    networks: tuple[Network, ...]
    networks_are_in_kernel: bool
    timing: Timing
    origins: tuple[RouteOrigin, ...]
    sessions: tuple[BgpSession, ...]
    adjacencies: tuple[Adjacency, ...] = ()
    hidden: tuple[Network, ...] = ()

    @property
    def timings(self) -> tuple[Timing, ...]:
        """The different timers that sessions have, the UVN's first."""
        return tuple(dict.fromkeys((self.timing, *(each.timing for each in self.sessions))))

    @property
    def highest_cell(self) -> int:
        """The highest id of a cell that can be in an AS path."""
        cells = [each.cell for each in self.origins]
        return max((*cells, *(each.cell for each in self.adjacencies)), default=0)

    def maximum_prefixes(self, version: int) -> int:
        """Return how many prefixes of an IP version a neighbour may advertise; more is an attack.

        It is a power of two far above what is planned: while a change is rolled out, a neighbour
        advertises what an earlier or later plan has, and the limit should seldom change.
        """
        planned = sum(each.version == version for one in self.origins for each in one.prefixes)
        return max(LEAST_MAXIMUM_PREFIXES, 1 << (4 * planned - 1).bit_length())

    def origins_of(self, session: BgpSession) -> tuple[RouteOrigin, ...]:
        """Return the cells whose routes the import policy of a session accepts."""
        return tuple(each for each in self.origins if each.cell in session.import_origins)


def gshut_multiplier(timing: Timing) -> int:
    """Return the BFD detection multiplier of avoided links that have these timers otherwise."""
    patient = GSHUT_DETECTION_TIME // timing.bfd_interval
    return max(timing.bfd_multiplier, min(_MAXIMUM_MULTIPLIER, patient))


def routing_policy(
    plan: CellPlan,
    roster: Roster,
    *,
    lans: tuple[AttachedLan, ...],
    drained: Mapping[str, Drain] | None = None,
    hidden: tuple[Network, ...] = (),
) -> RoutingPolicy:
    """Return the routing of a cell.

    `lans` are the cell's LANs that are attached now; only those are originated. `drained` maps
    interfaces of links to how far traffic is drained from them. `hidden` are prefixes of others
    that the host has for itself.
    """
    own = roster.member(plan.cell)
    others = {member.id: member for member in roster.members if member.id != plan.cell}
    drains = drained or {}
    attached = {lan.network for lan in lans}
    return RoutingPolicy(
        asn=own.asn,
        node4=own.node4,
        node6=own.node6,
        networks=(*sorted(attached, key=network_order), *_node_prefixes(own)),
        networks_are_in_kernel=all(lan.exact for lan in lans),
        timing=roster.timing,
        origins=tuple(
            RouteOrigin(cell=each.id, asn=each.asn, prefixes=originated(each))
            for each in others.values()
        ),
        sessions=tuple(
            _session(
                link,
                others[link.cell],
                roster.link_timing(plan.cell, link.cell),
                drains.get(link.interface),
            )
            for link in plan.links
            if drains.get(link.interface) is not Drain.CLOSED
        ),
        adjacencies=_adjacencies(plan.cell, roster),
        hidden=hidden,
    )


def _adjacencies(own: int, roster: Roster) -> tuple[Adjacency, ...]:
    followers: dict[int, list[int]] = {cell: [] for pair in roster.links for cell in pair}
    for one, other in roster.links:
        if own not in {one, other}:
            followers[one].append(asn_of(other))
            followers[other].append(asn_of(one))
    return tuple(
        Adjacency(cell=cell, asn=asn_of(cell), followers=tuple(sorted(its)))
        for cell, its in sorted(followers.items())
        if cell != own
    )


def originated(member: Member) -> tuple[Network, ...]:
    """Return the prefixes that a cell may originate: its LANs and its node addresses, sorted."""
    return tuple(sorted((*member.lans, *_node_prefixes(member)), key=network_order))


def members_of(cells: CellSet, roster: Roster) -> tuple[Member, ...]:
    """Return the members of `roster` that are in `cells`."""
    return tuple(member for member in roster.members if member.id in cells)


def remote_prefixes(own: Member, roster: Roster) -> tuple[Network, ...]:
    """Return every prefix of the UVN but the LANs of `own`, sorted.

    These are the address pools, and the LANs of the other cells.
    """
    pools = roster.pools
    lans = (lan for member in roster.members for lan in member.lans)
    every = {pools.root, pools.particles, pools.backbone, pools.ula, *lans}
    return tuple(sorted(every - set(own.lans), key=network_order))


def _session(link: BackbonePeer, peer: Member, timing: Timing, drain: Drain | None) -> BgpSession:
    return BgpSession(
        interface=link.interface,
        local4=link.local4,
        remote4=link.remote4,
        remote6=link.remote6,
        remote_as=peer.asn,
        description=f"{peer.name} on {link.interface}",
        import_origins=link.import_origins,
        timing=timing,
        drain=drain,
    )


def _node_prefixes(member: Member) -> tuple[Network, ...]:
    # As numbers: from the addresses themselves it takes four times as long, and there are many.
    return IPv4Network((int(member.node4), 32)), IPv6Network((int(member.node6), 128))
