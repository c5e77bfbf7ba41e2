"""A cell's routing policy to the configuration of its FRR daemons.

Sources: FRR 8.4 user manual, chapters BGP, BFD, Route Maps, Zebra. What is not obvious there:

- Route-maps stand before the neighbours that use them. A neighbour whose route-map is not there
  yet filters everything.
- No delay timer for route-maps: when it expires bgpd applies them again, and ignores updates that
  arrive meanwhile. What changes a filter must trigger route selection itself (`Frr.reload`).
- Each daemon gets a file of its own: an unknown block in a shared file ends in an `exit` that
  leaves configuration mode, and the rest of the file is lost.
- No `ttl-security`: it makes bgpd ask for a multi-hop BFD session. BFD checks TTL 255 by itself
  (RFC 5881, section 5).
- BFD sessions are in bfdd's own configuration, with address and interface. bgpd requests one
  without the interface first and with it once BGP is established, which would replace the BFD
  session and so end the BGP session once more; and a session that bgpd alone requests ends with
  bgpd, when graceful restart needs it.
- No graceful-restart notification (RFC 8538): with it, a hold timer that runs out keeps the dead
  neighbour's routes for the whole restart time.
- No `bfd check-control-plane-failure`: with graceful restart it would keep routes through a dead
  link.
- A filter compares the first AS number, and not `enforce-first-as`, which is the default since FRR
  9.1, so that a running configuration shows it with one version and not with another.
- `maximum-prefix` counts what is accepted. No `force`: it would count also what the filters refuse,
  but of all neighbours against the one whose route is accepted (`bgp_filtered_routes_count` in
  bgpd/bgp_route.c of FRR 8.4). A session over the limit ends, and is tried again after a minute.
  What one neighbour has refused is limited by the agent (`prefix_limits`).
- Of communities only GRACEFUL_SHUTDOWN is kept: others (NO_EXPORT, BLACKHOLE, LLGR_STALE) would
  have this cell withhold or devalue routes.
- bgpd itself gives a route from another AS that carries the community GRACEFUL_SHUTDOWN the local
  preference 0 (RFC 8326, section 4.2), after the filters (`bgp_update` in bgpd/bgp_route.c). The
  community does not get a route past the filters.

Sequence numbers of route-maps and lists follow from the cell id or the prefix, not from the
position, so that no entry is renumbered when another is added or removed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from uno.model.net import Network, written
from uno.model.plan import Timing
from uno.model.routing_policy import (
    BGP_PORT,
    MAXIMUM_PATHS,
    BgpSession,
    RoutingPolicy,
    gshut_multiplier,
)
from uno.render import as_paths

# The first FRR with graceful-restart notifications, which are on by default.
OLDEST_WITH_NOTIFICATION = (8, 4)

# The route tag of routes learned over a link that is being drained. It stays within this bgpd.
GSHUT = 1

# The list of prefixes that are withheld from all neighbours.
HIDDEN = "HIDDEN"

# The list of AS paths that no neighbour can have, that of communities that are removed.
FORGED, FOREIGN = "FORGED", "FOREIGN"

# Minutes until a neighbour that was over the limit of prefixes is tried again.
RESTART_AFTER = 1

# Lines from which a configuration of bgpd takes longer to read than it delays when read at once, on
# a slow processor.
_LONG = 400

# How the commands of lists begin that have no YANG model, and depend on nothing.
_WITHOUT_YANG = ("bgp as-path access-list ", "bgp community-list ")

# The last number that an entry of a list can have.
LAST_ENTRY = 4294967295


def daemons(
    policy: RoutingPolicy, *, version: tuple[int, int] = OLDEST_WITH_NOTIFICATION
) -> tuple[tuple[str, str], ...]:
    """Return the configuration text of zebra, bfdd and bgpd, in the order to start them.

    `version` is FRR's on the host: a daemon without a command refuses to reload it.
    """
    return (
        ("zebra", _text(_zebra(policy))),
        ("bfdd", _text(_bfdd(policy))),
        ("bgpd", _text(_bgpd(policy, version))),
    )


def integrated(parts: tuple[tuple[str, str], ...]) -> str:
    """Return one configuration of all daemons, as vtysh and frr-reload.py read it."""
    return "".join(text for _, text in parts)


def startup(text: str) -> str:
    """Return a daemon's configuration in the form in which it is up soonest when it starts.

    FRR commits each command of its YANG models by itself, which takes longer the more there is: 1 s
    of a processor for 25 cells, 4 s for 50, 4 min for 200. Between the first and the last command
    here those that follow each other share a transaction, which any other command ends, and so does
    the `exit` of a route-map (`nb_cli_apply_changes` in lib/northbound_cli.c,
    `XFRR_start_configuration` in lib/command.c). But bgpd then advertises only 4 s later
    (`bgp_config_end` in bgpd/bgp_vty.c), so that a short configuration stays as it is.
    """
    if text.count("\n") < _LONG:
        return text
    lists, rest = [], []
    block = ""
    for line in text.splitlines():
        if line.startswith(_WITHOUT_YANG):
            lists.append(line)
            continue
        if not line.startswith((" ", "exit")):
            block = line
        if line != "exit" or not block.startswith("route-map "):
            rest.append(line)
    return _text(["XFRR_start_configuration", *lists, *rest, "XFRR_end_configuration"])


def _zebra(policy: RoutingPolicy) -> Iterator[str]:
    # Next hops as objects would share their numbers with those of a host's own FRR, and stay behind
    # when zebra is killed.
    yield "no zebra nexthop kernel enable"
    # Milliseconds that a route waits for others before it is put into the kernel; 10 by default.
    # Neighbours may already send what goes by it.
    yield "zebra work-queue 1"
    # Routes get the node's address as source hint, so that what the cell itself sends is answered.
    for family, name, source in (
        ("ip", "SET-SRC-V4", policy.node4),
        ("ipv6", "SET-SRC-V6", policy.node6),
    ):
        yield f"route-map {name} permit 10"
        yield f" set src {source}"
        yield "exit"
        yield f"{family} protocol bgp route-map {name}"


def _bfdd(policy: RoutingPolicy) -> Iterator[str]:
    # A multiplier is how long the *neighbour* waits for this end (RFC 5880, section 6.8.4).
    yield "bfd"
    for timing in policy.timings:
        for is_avoided, multiplier in (
            (True, gshut_multiplier(timing)),
            (False, timing.bfd_multiplier),
        ):
            yield f" profile {_bfd_profile(timing, policy, is_avoided=is_avoided)}"
            yield f"  detect-multiplier {multiplier}"
            yield f"  receive-interval {timing.bfd_interval}"
            yield f"  transmit-interval {timing.bfd_interval}"
            yield " exit"
    for each in policy.sessions:
        yield f" peer {each.remote4} local-address {each.local4} interface {each.interface}"
        yield f"  profile {_bfd_profile(each.timing, policy, is_avoided=each.is_avoided)}"
        yield " exit"
    yield "exit"


def _bfd_profile(timing: Timing, policy: RoutingPolicy, *, is_avoided: bool) -> str:
    own = "" if timing == policy.timing else f"-{timing.bfd_interval}"
    return f"uno{own}-gshut" if is_avoided else f"uno{own}"


def _bgpd(policy: RoutingPolicy, version: tuple[int, int]) -> Iterator[str]:
    yield "bgp route-map delay-timer 0"
    yield from _origin_filters(policy)
    yield f"bgp community-list expanded {FOREIGN} seq 5 deny ^graceful-shutdown$"
    yield f"bgp community-list expanded {FOREIGN} seq 10 permit .*"
    if policy.adjacencies:
        yield from _path_filters(policy)
    for session in policy.sessions:
        yield from _import_filters(session, policy)
    if policy.hidden:
        yield from _hidden_filters(policy.hidden)
    yield "route-map EXPORT permit 10"
    yield f" match tag {GSHUT}"
    yield " set community graceful-shutdown additive"
    yield "exit"
    yield "route-map EXPORT permit 20"
    yield "exit"
    yield "route-map EXPORT-GSHUT permit 10"
    yield " set community graceful-shutdown additive"
    yield "exit"
    yield f"router bgp {policy.asn}"
    yield f" bgp router-id {policy.node4}"
    yield " no bgp default ipv4-unicast"
    if not policy.networks_are_in_kernel:
        yield " no bgp network import-check"
    yield " bgp bestpath as-path multipath-relax"
    yield " bgp graceful-restart"
    yield f" bgp graceful-restart restart-time {policy.timing.restart}"
    yield " bgp graceful-restart preserve-fw-state"
    if version >= OLDEST_WITH_NOTIFICATION:
        yield " no bgp graceful-restart notification"
    yield " coalesce-time 50"
    yield f" timers bgp {policy.timing.keepalive} {policy.timing.hold}"
    for session in policy.sessions:
        yield from _neighbor(session, policy)
    yield from _family(policy, 4)
    yield from _family(policy, 6)
    yield "exit"


def _origin_filters(policy: RoutingPolicy) -> Iterator[str]:
    """Yield what every session accepts: each prefix exactly as planned, from its own origin."""
    steps = []
    for origin in policy.origins:
        cell = origin.cell
        path = as_paths.of_members(origin.asn, policy.highest_cell)
        yield f"bgp as-path access-list ORIGIN-{cell} seq 5 permit {path}"
        for version, family in ((4, "ip"), (6, "ipv6")):
            for number, prefix in _numbered(_of(version, origin.prefixes)):
                entry = f"{family} prefix-list PREFIXES-{cell} seq {number}"
                yield f"{entry} permit {written(prefix)}"
            steps.append(f"route-map MEMBERS-V{version} permit {cell}")
            steps.append(f" match {family} address prefix-list PREFIXES-{cell}")
            steps.append(f" match as-path ORIGIN-{cell}")
            steps.append("exit")
    yield from steps


def _path_filters(policy: RoutingPolicy) -> Iterator[str]:
    """Yield what every session accepts of the paths to members."""
    for number, expression in as_paths.impossible(policy.adjacencies, policy.highest_cell):
        yield f"bgp as-path access-list {FORGED} seq {number} permit {expression}"
    for version in (4, 6):
        yield f"route-map PATHS-V{version} deny 10"
        yield f" match as-path {FORGED}"
        yield "exit"
        yield f"route-map PATHS-V{version} permit 20"
        yield f" call MEMBERS-V{version}"
        yield "exit"


def _hidden_filters(prefixes: tuple[Network, ...]) -> Iterator[str]:
    """Yield what no session advertises."""
    for version, family in ((4, "ip"), (6, "ipv6")):
        for number, prefix in _numbered(_of(version, prefixes)):
            yield f"{family} prefix-list {HIDDEN} seq {number} permit {written(prefix)}"
    for name in ("EXPORT", "EXPORT-GSHUT"):
        for version, family in ((4, "ip"), (6, "ipv6")):
            if _of(version, prefixes):
                yield f"route-map {name} deny {version}"
                yield f" match {family} address prefix-list {HIDDEN}"
                yield "exit"


def _numbered(networks: Iterable[Network]) -> Iterator[tuple[int, Network]]:
    """Give each prefix of a list a number that follows from the prefix."""
    taken = {0}
    for network in networks:
        number = zlib.crc32(network.network_address.packed)
        while number in taken:
            number = (number + 1) % LAST_ENTRY
        taken.add(number)
        yield number, network


def _import_filters(session: BgpSession, policy: RoutingPolicy) -> Iterator[str]:
    cells, neighbor = session.import_origins, session.remote_as
    entry = f"bgp as-path access-list ORIGINS-{session.interface} seq"
    verdict = "deny" if cells.complement else "permit"
    for origin in policy.origins:
        if (origin.cell in cells) != cells.complement:
            yield f"{entry} {origin.cell} {verdict} {as_paths.through(neighbor, origin.asn)}"
    if cells.complement:
        yield f"{entry} {LAST_ENTRY} permit {as_paths.from_neighbor(neighbor)}"
    for version in (4, 6):
        name = f"IMPORT-{session.interface}-V{version}"
        yield f"route-map {name} permit 10"
        yield f" match as-path ORIGINS-{session.interface}"
        yield f" call {'PATHS' if policy.adjacencies else 'MEMBERS'}-V{version}"
        yield f" set comm-list {FOREIGN} delete"
        yield " set extcommunity none"
        yield " set large-community none"
        if version == 4:
            yield " set ip next-hop peer-address"
        else:
            yield f" set ipv6 next-hop global {session.remote6}"
            yield " set ipv6 next-hop prefer-global"
        if session.marks_imports:
            yield f" set tag {GSHUT}"
        if session.is_avoided:
            yield " set local-preference 0"
        yield "exit"


def _neighbor(session: BgpSession, policy: RoutingPolicy) -> Iterator[str]:
    timing = session.timing
    neighbor = f" neighbor {session.remote4}"
    yield f"{neighbor} remote-as {session.remote_as}"
    yield f"{neighbor} description {session.description}"
    yield f"{neighbor} bfd"
    # This profile replaces the one in bfdd when bgpd registers the session.
    yield f"{neighbor} bfd profile {_bfd_profile(timing, policy, is_avoided=False)}"
    yield f"{neighbor} port {BGP_PORT}"
    if timing != policy.timing:
        yield f"{neighbor} timers {timing.keepalive} {timing.hold}"
    yield f"{neighbor} timers connect {timing.connect}"
    if session.remote_as < policy.asn:
        # Where BFD comes up first, both ends would connect at the same moment. FRR ends both of the
        # two connections then, more often than not, and both ends try again a second later.
        yield f"{neighbor} passive"


def _family(policy: RoutingPolicy, version: int) -> Iterator[str]:
    yield " !"
    yield f" address-family {'ipv4' if version == 4 else 'ipv6'} unicast"
    for prefix in _of(version, policy.networks):
        yield f"  network {prefix}"
    for session in policy.sessions:
        neighbor = f"  neighbor {session.remote4}"
        yield f"{neighbor} activate"
        yield f"{neighbor} soft-reconfiguration inbound"
        limit = policy.maximum_prefixes(version)
        yield f"{neighbor} maximum-prefix {limit} restart {RESTART_AFTER}"
        yield f"{neighbor} route-map IMPORT-{session.interface}-V{version} in"
        yield f"{neighbor} route-map {'EXPORT-GSHUT' if session.is_avoided else 'EXPORT'} out"
    yield f"  maximum-paths {MAXIMUM_PATHS}"
    yield " exit-address-family"


def _of(version: int, networks: Iterable[Network]) -> list[Network]:
    return [network for network in networks if network.version == version]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
