"""What is in the way, on a host, of packets that its cell forwards. Pure.

Rules of other firewalls, kernel parameters, and interfaces without a carrier. Each obstacle is
named, with what to do. What cannot be evaluated is not an obstacle: false alarms would soon be
ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from uno.model.attached_lan import AttachedLan
from uno.model.listening_ports import BFD_PORT
from uno.model.net import Address, Network, network, overlap
from uno.model.package import Package
from uno.model.routing_policy import BGP_PORT
from uno.ports.host import Facts, ForwardingState, KernelPath, LinkMode
from uno.reconcile import nft_evaluation
from uno.reconcile.nft_evaluation import (
    FORWARDED,
    RECEIVED,
    Packet,
    PacketDrop,
    Passage,
    SourceTranslation,
)
from uno.reconcile.underlay import underlay

_FORWARD4 = "net.ipv4.ip_forward"
_FORWARD6 = "net.ipv6.conf.all.forwarding"
_IGNORE_ECHO = "net.ipv4.icmp_echo_ignore_all"


class ObstacleKind(StrEnum):
    """What kind of thing is in the way; `DOCKER` are chains of iptables, as docker and ufw have."""

    LAN = "lan"
    LINK = "link"
    FORWARDING = "forwarding"
    ROUTE = "route"
    RP_FILTER = "rp-filter"
    DOCKER = "docker"
    FIREWALL = "firewall"
    MTU = "mtu"
    LOSS = "loss"


class Obstacle(Struct, frozen=True, kw_only=True):
    """`what` is in the way, and the `remedy`.

    `links` are the interfaces of links that it silences. A loss is what probes show without its
    cause.
    """

    what: str
    remedy: str
    kind: ObstacleKind = ObstacleKind.LOSS
    links: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def parameters(package: Package, lans: Iterable[AttachedLan], facts: Facts) -> tuple[str, ...]:
    """Return the kernel parameters that `obstacles` needs."""
    names = [*dict.fromkeys(lan.nic for lan in lans), *_tunnels(package)]
    keys = [_FORWARD4, _IGNORE_ECHO, _parameter("all", "rp_filter")]
    keys += [_parameter(name, "forwarding") for name in names]
    outside = (nic.name for nic in facts.nics if nic.has_default_route)
    keys += [_parameter(name, "rp_filter") for name in dict.fromkeys((*names, *outside))]
    return (*keys, _FORWARD6) if facts.has_ipv6 else tuple(keys)


def obstacles(
    package: Package,
    state: ForwardingState,
    *,
    lans: tuple[AttachedLan, ...],
    facts: Facts,
    silent: Collection[str],
    endpoints: Collection[Address] = (),
) -> tuple[Obstacle, ...]:
    """Return the obstacles on the host of a package's cell, where `lans` are attached.

    `silent` are the interfaces of links whose sessions are not up: only for these does it matter
    what this host itself does not receive. `endpoints` are those of their peers.
    """
    return (
        *_interfaces(package, state, lans, facts),
        *_parameters(package, state, lans),
        *_endpoints(package, state, facts, endpoints),
        *_reverse_paths(package, state, facts),
        *_rules(package, state, lans, facts, silent),
        *_translations(package, state, lans, facts),
    )


def _tunnels(package: Package) -> tuple[str, ...]:
    """Return the interfaces that packets of LANs pass through."""
    plan = package.plan
    hub = (plan.particles.interface,) if plan.particles else ()
    return (*(link.interface for link in plan.links), *hub)


# Interfaces.


def _interfaces(
    package: Package, state: ForwardingState, lans: tuple[AttachedLan, ...], facts: Facts
) -> Iterator[Obstacle]:
    for lan in package.own.lans:
        nics = [each.nic for each in lans if each.network == lan]
        modes = {nic: state.interfaces.get(nic, LinkMode.UP) for nic in nics}
        if modes and set(modes.values()) == {LinkMode.NO_CARRIER}:
            named = " and ".join(modes)
            yield Obstacle(
                kind=ObstacleKind.LAN,
                what=f"LAN {lan}: {named} has no carrier",
                remedy="check the cable and the switch, or the access point",
            )
        for name in (each for each, mode in modes.items() if mode is LinkMode.NO_ARP):
            yield Obstacle(
                kind=ObstacleKind.LAN,
                what=f"LAN {lan}: {name} has ARP off; it and the LAN's hosts do not find "
                "each other",
                remedy=f"ip link set {name} arp on",
            )
        for nic in facts.nics:
            addressed = any(overlap(address.network, lan) for address in nic.addresses)
            if not nics and addressed and not nic.up:
                yield Obstacle(
                    kind=ObstacleKind.LAN,
                    what=f"LAN {lan}: {nic.name} is down",
                    remedy=f"ip link set {nic.name} up",
                )
    for name in _tunnels(package):
        if state.interfaces.get(name) is LinkMode.DOWN:
            yield Obstacle(
                kind=ObstacleKind.LINK,
                what=f"{name} is down",
                remedy=f"ip link set {name} up",
                links=frozenset({name}),
            )


# Kernel parameters.


def _parameters(
    package: Package, state: ForwardingState, lans: tuple[AttachedLan, ...]
) -> Iterator[Obstacle]:
    off = [key for key in (_FORWARD4, _FORWARD6) if state.sysctls.get(key) == "0"]
    nics = [*dict.fromkeys(lan.nic for lan in lans)]
    tunnels = _tunnels(package)
    if _FORWARD4 not in off:
        keys = (_parameter(name, "forwarding") for name in (*nics, *tunnels))
        off += [key for key in keys if state.sysctls.get(key) == "0"]
    for key in off:
        yield Obstacle(
            kind=ObstacleKind.FORWARDING,
            what=f"{key} is 0: {_without(key)}",
            remedy=f"sysctl -w {key}=1, and see what sets it to 0 (/etc/sysctl.d)",
        )
    for name in (*_redundant(lans), *tunnels):
        if _is_strict(state, name):
            key = _parameter(name, "rp_filter")
            yield Obstacle(
                kind=ObstacleKind.RP_FILTER,
                what=f"{key} is 1: packets are dropped whose answers take another interface",
                remedy=f"sysctl -w {key}=2, and see what sets it to 1 (/etc/sysctl.d)",
            )


def _endpoints(
    package: Package, state: ForwardingState, facts: Facts, endpoints: Collection[Address]
) -> Iterator[Obstacle]:
    """Yield where answers of an endpoint in a LAN are dropped: their source is behind a tunnel.

    For IPv6 the kernel has no such filter; firewalld has one (firewalld.conf(5), IPv6_rpfilter).
    """
    around = underlay(package, facts).routes if endpoints else ()
    for endpoint in endpoints:
        ways = [each for each in around if endpoint in each.destination]
        way = max(ways, key=lambda each: each.destination.prefixlen, default=None)
        if endpoint.version == 4 and way and _is_strict(state, way.interface):
            key = _parameter(way.interface, "rp_filter")
            yield Obstacle(
                kind=ObstacleKind.RP_FILTER,
                what=f"{key} is 1: answers of the endpoint {endpoint}, which is in a LAN of the "
                "UVN, are dropped",
                remedy=f"sysctl -w {key}=2, and see what sets it to 1 (/etc/sysctl.d)",
            )
        if way and (drop := _drops_answers(state.ruleset, endpoint, way.interface)):
            yield Obstacle(
                kind=ObstacleKind.FIREWALL,
                what=f"{_where(drop)} drops answers of the endpoint {endpoint}, which is in a LAN "
                f"of the UVN, {_by(drop)}",
                remedy=_loosely(drop),
            )


def _reverse_paths(package: Package, state: ForwardingState, facts: Facts) -> Iterator[Obstacle]:
    """Yield where a rule drops what comes in by one link and is answered by another."""
    links = [link.interface for link in package.plan.links]
    versions = {lan.version for member in package.roster.members for lan in member.lans}
    if len(links) < 2:
        return
    found: dict[PacketDrop, list[str]] = {}
    for version in sorted(versions if facts.has_ipv6 else versions - {6}):
        for link in links:
            packet = Packet(version=version, iif=link, returns=False)
            if drop := _drops_by_route(state.ruleset, packet, FORWARDED):
                found.setdefault(drop, []).append(link)
    for drop, names in found.items():
        yield Obstacle(
            kind=ObstacleKind.RP_FILTER,
            what=f"{_where(drop)} drops packets from {_named(names)} whose answers take another "
            f"link, {_by(drop)}",
            remedy=_loosely(drop),
        )


def _loosely(drop: PacketDrop) -> str:
    if drop.table == "firewalld":
        return "set IPv6_rpfilter=loose in /etc/firewalld/firewalld.conf, and reload it"
    return f"have it look for a route by any interface, without iif, in {drop.chain}"


def _drops_answers(ruleset: str, endpoint: Address, interface: str) -> PacketDrop | None:
    """Return where a rule drops what an endpoint sends, since the route back is a tunnel."""
    packet = Packet(
        version=endpoint.version,
        iif=interface,
        source=network(f"{endpoint}/{endpoint.max_prefixlen}"),
        protocol="udp",
        local=True,
        returns=False,
    )
    return _drops_by_route(ruleset, packet, RECEIVED)


def _drops_by_route(ruleset: str, packet: Packet, hooks: tuple[str, ...]) -> PacketDrop | None:
    """Return where a rule drops a packet since the host's route back is another interface."""
    if not nft_evaluation.has_chains(ruleset, hooks):
        return None
    outcome = nft_evaluation.evaluate(ruleset, packet, hooks)
    others = nft_evaluation.evaluate(ruleset, replace(packet, returns=None), hooks)
    return outcome if isinstance(outcome, PacketDrop) and outcome != others else None


def _without(key: str) -> str:
    if key == _FORWARD6:
        return "the kernel forwards no IPv6"
    if key == _FORWARD4:
        return "the kernel forwards no IPv4"
    return "the kernel forwards no IPv4 from this interface"


def _redundant(lans: tuple[AttachedLan, ...]) -> tuple[str, ...]:
    """Return the interfaces to LANs that another interface leads to as well."""
    networks = [lan.network for lan in lans]
    return tuple(dict.fromkeys(lan.nic for lan in lans if networks.count(lan.network) > 1))


def _is_strict(state: ForwardingState, interface: str) -> bool:
    """Whether reverse path filtering is strict (RFC 3704, 2.2); the larger value is in force."""
    names = ("all", interface)
    values = [state.sysctls.get(_parameter(name, "rp_filter"), "") for name in names]
    return max((int(each) for each in values if each.isdigit()), default=0) == 1


def _parameter(interface: str, name: str) -> str:
    return f"net.ipv4.conf.{interface.replace('.', '/')}.{name}"


# Routes and rules of the host's own.


def diverted(
    package: Package, paths: Mapping[Network, KernelPath], hidden: Collection[Network]
) -> Iterator[tuple[Network, Obstacle]]:
    """Yield where the host sends packets for LANs of other cells elsewhere than into a link.

    `paths` are where the kernel sends those of the cell's LANs; what is for LANs in `hidden` is
    explained already. An unreachable route is uno's own, for a LAN to which there is no path. With
    each obstacle comes the first LAN.
    """
    links = {link.interface for link in package.plan.links}
    owners = {lan: member.name for member in package.roster.members for lan in member.lans}
    elsewhere: dict[KernelPath, list[Network]] = {}
    for lan, path in paths.items():
        is_sent = path.interface is not None and path.interface not in links
        if lan not in hidden and (is_sent or path.kind == "prohibit"):
            elsewhere.setdefault(path, []).append(lan)
    for path, lans in elsewhere.items():
        first, more = lans[0], len(lans) - 1
        to = f"packets to LAN {first} of {owners.get(first)}"
        to += f" and {more} more" if more else ""
        if path.kind == "prohibit":
            what, remedy = f"a rule of this host prohibits {to}", "see which: ip rule"
        else:
            what = f"{to} leave by {path.interface}, and by no link: "
            what += f"a route of table {path.table} comes first"
            remedy = f"see ip rule, and: ip route get {first.network_address + 1}"
        yield first, Obstacle(kind=ObstacleKind.ROUTE, what=what, remedy=remedy)


# Rules of other firewalls.


def _rules(
    package: Package,
    state: ForwardingState,
    lans: tuple[AttachedLan, ...],
    facts: Facts,
    silent: Collection[str],
) -> Iterator[Obstacle]:
    found: dict[PacketDrop, list[Packet]] = {}
    remote = _remote(package)
    if nft_evaluation.has_chains(state.ruleset, FORWARDED):
        for packet in dict.fromkeys(_forwarded(package, lans, remote, facts)):
            if drop := _dropped(state.ruleset, packet, remote):
                found.setdefault(drop, []).append(packet)
    if nft_evaluation.has_chains(state.ruleset, RECEIVED):
        for packet in _received(package, facts, silent):
            outcome = nft_evaluation.evaluate(state.ruleset, packet, RECEIVED)
            if isinstance(outcome, PacketDrop):
                found.setdefault(outcome, []).append(packet)
    for drop, packets in found.items():
        yield _obstacle(drop, packets, package, state.ruleset)


def _forwarded(
    package: Package, lans: tuple[AttachedLan, ...], remote: tuple[Network, ...], facts: Facts
) -> Iterator[Packet]:
    """Yield a packet of each kind that the cell forwards, in both directions."""
    plan, pools = package.plan, package.roster.pools
    links = [link.interface for link in plan.links]
    versions = {network.version for network in (*package.own.lans, *remote)}
    if not facts.has_ipv6:
        versions -= {6}
    for lan in lans:
        version = lan.network.version
        for link in links if any(each.version == version for each in remote) else ():
            yield Packet(version=version, iif=lan.nic, oif=link, source=lan.network)
            yield Packet(version=version, iif=link, oif=lan.nic, destination=lan.network)
        if plan.particles and package.particles:
            source = pools.particles if version == 4 else pools.particles6
            hub = plan.particles.interface
            yield Packet(
                version=version, iif=hub, oif=lan.nic, source=source, destination=lan.network
            )
    for version in sorted(versions):
        for one in links:
            for other in links:
                if one != other:
                    yield Packet(version=version, iif=one, oif=other)


@lru_cache(maxsize=4096)
def _dropped(ruleset: str, packet: Packet, remote: tuple[Network, ...]) -> PacketDrop | None:
    """Return where a packet is dropped; of one from or to other cells' LANs, for any of them."""
    outcome = nft_evaluation.evaluate(ruleset, packet, FORWARDED)
    if isinstance(outcome, PacketDrop):
        return outcome
    if outcome is Passage.ACCEPTED or (packet.source is None) == (packet.destination is None):
        return None
    for lan in remote:
        if lan.version == packet.version:
            if packet.source is None:
                one = replace(packet, source=lan)
            else:
                one = replace(packet, destination=lan)
            outcome = nft_evaluation.evaluate(ruleset, one, FORWARDED)
            if isinstance(outcome, PacketDrop):
                return outcome
    return None


def _received(package: Package, facts: Facts, silent: Collection[str]) -> Iterator[Packet]:
    """Yield what this host has to receive for the links that are silent."""
    outside = [nic.name for nic in facts.nics if nic.has_default_route]
    for link in package.plan.links:
        if link.interface not in silent:
            continue
        for protocol, port in (("udp", BFD_PORT), ("tcp", BGP_PORT)):
            yield Packet(
                version=4,
                iif=link.interface,
                source=IPv4Network(link.remote4),
                destination=IPv4Network(link.local4),
                protocol=protocol,
                port=port,
                local=True,
            )
        if link.port is not None:
            for nic in outside:
                yield Packet(version=4, iif=nic, protocol="udp", port=link.port, local=True)


def _translations(
    package: Package, state: ForwardingState, lans: tuple[AttachedLan, ...], facts: Facts
) -> Iterator[Obstacle]:
    """Yield the rules that give packets into links another source than they had.

    A cell forwards only sources that can be behind the link that they come from (BCP 38), and hosts
    have no route to a link's own address.
    """
    if not nft_evaluation.has_chains(state.ruleset, ("postrouting",)):
        return
    links = {link.interface for link in package.plan.links}
    remote = _remote(package)
    found: dict[SourceTranslation, list[Packet]] = {}
    for packet in dict.fromkeys(_forwarded(package, lans, remote, facts)):
        if packet.oif in links and (rule := _translation(state.ruleset, packet, remote)):
            found.setdefault(rule, []).append(packet)
    for rule, packets in found.items():
        kinds = sorted({name.rstrip("0123456789") for name in links})
        way = _named(packet.iif for packet in packets), _named(packet.oif for packet in packets)
        yield Obstacle(
            kind=ObstacleKind.FIREWALL,
            what=f"chain {rule.chain} of nftables table {rule.family} {rule.table} gives packets "
            f"from {way[0]} to {way[1]} another source (NAT), by the rule with handle "
            f"{rule.handle}: further cells drop them",
            remedy=" and ".join(f'leave out what leaves by "{kind}*"' for kind in kinds),
        )


@lru_cache(maxsize=4096)
def _translation(
    ruleset: str, packet: Packet, remote: tuple[Network, ...]
) -> SourceTranslation | None:
    """Return the rule that translates the source of a packet to any LAN of other cells."""
    networks = [each for each in remote if each.version == packet.version]
    to = [packet, *(replace(packet, destination=network) for network in networks)]
    return next((rule for each in to if (rule := nft_evaluation.translation(ruleset, each))), None)


def _remote(package: Package) -> tuple[Network, ...]:
    """Return the LANs of other cells."""
    return tuple(
        network
        for member in package.roster.members
        if member.id != package.plan.cell
        for network in member.lans
    )


def unanswered_probes(package: Package, state: ForwardingState) -> Iterator[Obstacle]:
    """Yield why this host does not answer probes, by which agents judge whether it is reached."""
    if state.sysctls.get(_IGNORE_ECHO) == "1":
        yield Obstacle(
            kind=ObstacleKind.FIREWALL,
            what=f"{_IGNORE_ECHO} is 1: this host answers no probes, so other cells report that "
            "they do not reach it",
            remedy=f"sysctl -w {_IGNORE_ECHO}=0, and see what sets it to 1 (/etc/sysctl.d)",
        )
    own = IPv4Network(package.own.node4)
    for link in package.plan.links:
        if drop := _drops_probe(state.ruleset, link.interface, own):
            chain = f"chain {drop.chain} of nftables table {drop.family} {drop.table}"
            yield Obstacle(
                kind=ObstacleKind.FIREWALL,
                what=f"{chain} drops probes of other cells (ICMP echo requests from "
                f"{_named(each.interface for each in package.plan.links)}), so they report that "
                "they do not reach this host",
                remedy=f"accept ICMP echo requests there, in chain {drop.base}",
            )
            return


@lru_cache(maxsize=64)
def _drops_probe(ruleset: str, interface: str, own: IPv4Network) -> PacketDrop | None:
    packet = Packet(version=4, iif=interface, destination=own, protocol="icmp", local=True)
    if not nft_evaluation.has_chains(ruleset, RECEIVED):
        return None
    outcome = nft_evaluation.evaluate(ruleset, packet, RECEIVED)
    return outcome if isinstance(outcome, PacketDrop) else None


def _obstacle(drop: PacketDrop, packets: list[Packet], package: Package, ruleset: str) -> Obstacle:
    tunnels = _tunnels(package)
    does = "rejects" if drop.rejects else "drops"
    local = [each for each in packets if each.local]
    return Obstacle(
        kind=ObstacleKind.DOCKER if _is_of_iptables(drop) else ObstacleKind.FIREWALL,
        what=f"{_where(drop)} {does} {_described(packets)}, {_by(drop)}",
        remedy=_remedy(drop, packets, ruleset, tunnels=tunnels),
        links=frozenset(
            link.interface
            for link in package.plan.links
            if any(link.interface == each.iif or link.port == each.port for each in local)
        ),
    )


def _where(drop: PacketDrop) -> str:
    return f"chain {drop.chain} of nftables table {drop.family} {drop.table}"


def _by(drop: PacketDrop) -> str:
    return "by its policy" if drop.handle is None else f"by the rule with handle {drop.handle}"


def _is_of_iptables(drop: PacketDrop) -> bool:
    return drop.family != "inet" and drop.table == "filter" and drop.base.isupper()


def _described(packets: list[Packet]) -> str:
    if packets[0].local:
        ports = sorted({f"{each.protocol} port {each.port}" for each in packets})
        return f"what links need ({', '.join(ports)} from {_named(each.iif for each in packets)})"
    pairs = {(each.iif, each.oif) for each in packets}
    backwards = {(oif, iif) for iif, oif in pairs}
    if pairs & backwards:
        return f"packets between {_named(name for pair in pairs for name in pair)}"
    return f"packets from {_named(iif for iif, _ in pairs)} to {_named(oif for _, oif in pairs)}"


def _named(interfaces: Iterable[str | None]) -> str:
    """Return names of interfaces, several of one kind as a pattern."""
    names = sorted({name for name in interfaces if name})
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.rstrip("0123456789"), []).append(name)
    shown = [each[0] if len(each) == 1 else f"{kind}*" for kind, each in kinds.items()]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _remedy(
    drop: PacketDrop, packets: list[Packet], ruleset: str, *, tunnels: tuple[str, ...]
) -> str:
    kinds = sorted({name.rstrip("0123456789") for name in tunnels})
    if drop.table == "firewalld":
        named = ", ".join(f"{kind}*" for kind in kinds)
        return (
            f"let firewalld pass it: a zone for {named}, and policies (see firewalld.policies(5))"
        )
    if packets[0].local and _UFW in ruleset:
        return " && ".join(sorted({_ufw_command(each, tunnels) for each in packets}))
    if packets[0].local:
        return f"accept them in chain {drop.base}"
    if _is_of_iptables(drop):
        program = "iptables" if drop.family == "ip" else "ip6tables"
        return f"{program} -I {drop.base} -i {kinds[0]}+ -j ACCEPT, and the same with -o"
    names = ", ".join(f'"{kind}*"' for kind in kinds)
    return f"accept iifname {{ {names} }} and oifname {{ {names} }} in chain {drop.base}"


# A chain that ufw has on every host (ufw-framework(8)).
_UFW = '"ufw-user-input"'


def _ufw_command(packet: Packet, tunnels: tuple[str, ...]) -> str:
    """Return the command that has ufw accept a packet to this host (ufw(8))."""
    if packet.iif not in tunnels:
        return f"ufw allow {packet.port}/{packet.protocol}"
    kind = packet.iif.rstrip("0123456789")
    return f"ufw allow in on {kind}+ proto {packet.protocol} to any port {packet.port}"
