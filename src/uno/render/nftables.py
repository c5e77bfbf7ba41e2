"""A cell's plan to its one nftables table. Source: nft(8).

The table has six purposes. Traffic for the UVN never leaves in clear text. A link passes only
sources that can be behind it (`rpf_X`; BCP 38), and sources of the UVN come through tunnels alone.
Nothing enters the UVN from the Internet. uno's daemons receive from whom they are there for
(`model.listening_ports`). A host that did not forward before forwards no new connections into the
LAN. Particles and other nodes, whose addresses have no route in a LAN, are translated (NAT).

The registry's host has a table of its own, since a cell may be on the same host.

Packets between two LANs are recognized by their input interface, and accepted after a handful of
rules (`from_lans`, `from_X`, `from_links`); all others pass every rule. Each rule costs every
packet of a busy line, so that one LAN, or a few interfaces, are compared instead of looked up in a
set. Connection tracking costs more per packet than all rules: only hosts that need it use `ct`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from msgspec import Struct

from uno.model.attached_lan import AttachedLan
from uno.model.listening_ports import Transport, bus_transport, cell_ports, registry_ports
from uno.model.net import Network, network_order, written
from uno.model.plan import (
    BackbonePeer,
    CellPlan,
    Member,
    ParticlePeer,
    Pools,
    RootVpn,
    Roster,
)
from uno.model.routing_policy import members_of, originated, remote_prefixes
from uno.model.tunnel import UNDERLAY_MARK
from uno.render import nft_bus_rate
from uno.render.nft_input import input_rules, service_chains, to_ports

TABLE = "uno"
REGISTRY_TABLE = "uno_registry"

PROBE_TABLE = "uno_probe"
"""What takes the answers to forwarding probes, while a process sends them."""

NODE_INTERFACE = "uno0"

# Up to so many comparisons, one rule each, are faster than one lookup in a map.
_FEW = 4


class ForeignInterfaces(Struct, frozen=True, kw_only=True):
    """Interfaces of the host that are treated apart.

    New connections to the cell's LANs are dropped on those in `block_inbound_from`: those towards
    the Internet, on a host that did not forward before uno. `kept_networks` are interfaces with
    networks that the host has for itself although they are in a prefix of the UVN; what is from
    them, and from `local_networks`, reaches the host itself.

    `uplinks` are the interfaces with a default route. On others, but those to LANs, such a network
    may appear later, of containers or of a VPN: the kernel's routes then decide. None where it
    cannot look them up for a filter.
    """

    block_inbound_from: tuple[str, ...] = ()
    kept_networks: tuple[tuple[str, Network], ...] = ()
    local_networks: tuple[tuple[str, Network], ...] = ()
    uplinks: tuple[str, ...] | None = None


_NONE_FOREIGN = ForeignInterfaces()


def ruleset(  # noqa: PLR0913 - what rules are made of
    plan: CellPlan,
    roster: Roster,
    *,
    lans: tuple[AttachedLan, ...],
    foreign: ForeignInterfaces = _NONE_FOREIGN,
    bridges: Mapping[str, str] | None = None,
    bus_ports: tuple[int, ...] = (),
    particles: tuple[ParticlePeer, ...],
) -> str:
    """Return the whole table, as nft reads it.

    `bridges` are the host's bridges with their hardware addresses: what they bridge is not judged.
    `bus_ports` are the ports that the agent listens on; other nodes of the UVN alone may send
    to them. `particles` may connect to the cell.
    """
    own = roster.member(plan.cell)
    local = tuple(sorted({*own.lans, *(lan.network for lan in lans)}, key=network_order))
    nics = tuple(sorted({lan.nic for lan in lans}))
    site = _site(nics, local)
    services = cell_ports(plan, roster, bus_ports=bus_ports, lans=lans)
    blocks = [
        *_bus_rate(plan, roster, bus_ports),
        *_address_sets("uvn_prefixes", remote_prefixes(own, roster)),
        *_address_sets("own_prefixes", local),
        *(_address_sets("allowed_ips", allowed) if (allowed := plan.backbone_allowed_ips) else ()),
        _names("links", (link.interface for link in plan.links)),
        _names("nics", nics),
        _names("tunnels", interfaces(plan)),
        *_rpf_chains(plan, roster),
        _chain("from_links", "", _from_links(plan, site)),
        *(_chain(f"from_{link.interface}", "", _from_link(link)) for link in plan.links),
        _chain("to_tunnels", "", _to_tunnels(plan)),
        _chain("from_lans", "", _from_lans(plan, site)),
        _chain("mss_clamp", "", _mss_clamp(plan)),
        *_host_chains(foreign, nics),
        _chain(
            "forward",
            "filter hook forward priority filter; policy accept;",
            (
                *_bridged(bridges or {}),
                *_forward(plan, nics, site, keeps=_keeps(foreign)),
                *_particles_forward(plan, roster, bus_ports, particles=particles),
                "oifname @tunnels counter drop",
                *_block_inbound_from(foreign.block_inbound_from, site),
            ),
        ),
        *(_chain(name, "", rules) for name, rules in service_chains(services)),
        _chain("not_tunnelled", "", _not_tunnelled(plan, foreign)),
        _chain(
            "input",
            "filter hook input priority filter; policy accept;",
            (*_rpf_jumps(plan), *input_rules(services), *_NOT_TUNNELLED),
        ),
        _chain("from_node", "", _from_node(site)),
        _chain("output", "filter hook output priority filter; policy accept;", _output(own)),
    ]
    translated = [
        *(
            _particles_postrouting(own, roster)
            if plan.particles and plan.particles.masquerade and particles
            else ()
        ),
        *(_nodes_postrouting(roster, site) if plan.masquerades_nodes else ()),
    ]
    if translated:
        blocks.append(_chain("postrouting", "nat hook postrouting priority srcnat;", translated))
    return f"table inet {TABLE} {{\n" + "\n".join(blocks) + "}\n"


def _bus_rate(plan: CellPlan, roster: Roster, bus_ports: tuple[int, ...]) -> Iterator[str]:
    if bus_transport(plan.bus) is Transport.TCP:
        # A node that reads slowly has the sender wait.
        return
    links = (link.interface for link in plan.links)
    rules = tuple(nft_bus_rate.of_links(links, ports=bus_ports, cells=len(roster.members)))
    if rules:
        yield _chain(nft_bus_rate.CHAIN, nft_bus_rate.HOOK, rules)


def registry_ruleset(
    root: RootVpn,
    pools: Pools,
    *,
    bus_ports: tuple[int, ...],
    bus_tcp_ports: tuple[int, ...] = (),
    cells: Iterable[IPv4Address] = (),
) -> str:
    """Return the table of the registry's host, as nft reads it. `cells` are their node addresses.

    The bus listens on `bus_ports`, which are UDP's, and on `bus_tcp_ports`.

    Nothing is forwarded into the root VPN or out of it, so that cells do not reach each other
    through the registry. Cells reach the bus, and replies reach the registry; packets to and from
    the registry's own address never pass outside the tunnel.
    """
    name = root.registry_interface
    services = registry_ports(root, pools, bus_ports=bus_ports, bus_tcp_ports=bus_tcp_ports)
    elsewhere = f'iifname != {{ "lo", "{name}" }}'
    blocks = [
        *_registry_bus_rate(root, bus_ports, cells),
        _chain(
            "forward",
            "filter hook forward priority filter; policy accept;",
            (f'iifname "{name}" counter drop', f'oifname "{name}" counter drop'),
        ),
        *(_chain(service, "", rules) for service, rules in service_chains(services)),
        _chain(
            "input",
            "filter hook input priority filter; policy accept;",
            (
                *input_rules(services),
                f"ip daddr {root.registry4} {elsewhere} counter drop",
                f"ip6 daddr {root.registry6} {elsewhere} counter drop",
                f'iifname != "{name}" return',
                "meta l4proto { icmp, ipv6-icmp } accept",
                "ct state established,related accept",
                "counter drop",
            ),
        ),
        _chain(
            "output",
            "filter hook output priority filter; policy accept;",
            (
                f'oifname {{ "lo", "{name}" }} return',
                f"ip saddr {root.registry4} counter drop",
                f"ip6 saddr {root.registry6} counter drop",
            ),
        ),
    ]
    return f"table inet {REGISTRY_TABLE} {{\n" + "\n".join(blocks) + "}\n"


def _registry_bus_rate(
    root: RootVpn, bus_ports: tuple[int, ...], cells: Iterable[IPv4Address]
) -> Iterator[str]:
    if bus_ports:
        rules = nft_bus_rate.of_nodes(root.registry_interface, sorted(cells), ports=bus_ports)
        yield _chain(nft_bus_rate.CHAIN, nft_bus_rate.HOOK, rules)


def interfaces(plan: CellPlan) -> tuple[str, ...]:
    """Return the names of all WireGuard interfaces of a cell."""
    names = [link.interface for link in plan.links]
    names += [plan.root.interface] if plan.root else []
    names += [plan.particles.interface] if plan.particles else []
    return tuple(names)


class _Site(Struct, frozen=True):
    """How rules name the cell's LANs and the interfaces to them."""

    nics: str
    own4: str
    own6: str


def _site(nics: Sequence[str], local: Iterable[Network]) -> _Site:
    networks = {version: [written(n) for n in local if n.version == version] for version in (4, 6)}
    return _Site(
        nics=_named("nics", [f'"{nic}"' for nic in nics]),
        own4=_named("own_prefixes4", networks[4]),
        own6=_named("own_prefixes6", networks[6]),
    )


def _named(name: str, elements: Sequence[str]) -> str:
    """Return the only element, or else the name of the set of all."""
    return elements[0] if len(elements) == 1 else f"@{name}"


def _rpf_chains(plan: CellPlan, roster: Roster) -> Iterator[str]:
    own = {member.id: originated(member) for member in roster.members}
    for link in plan.links:
        sources = _sources(link, plan, roster, own)
        yield from _address_sets(f"rpf_{link.interface}_", sources)
        rules = [
            f"ip saddr @rpf_{link.interface}_4 return",
            f"ip6 saddr @rpf_{link.interface}_6 return",
            "ip6 saddr fe80::/10 return",
            "counter drop",
        ]
        yield _chain(f"rpf_{link.interface}", "", rules)


def _sources(
    link: BackbonePeer, plan: CellPlan, roster: Roster, own: Mapping[int, tuple[Network, ...]]
) -> tuple[Network, ...]:
    """Return the sources behind a link: its origins' prefixes, and its other end's addresses.

    `allowed_ips` of the backbone are among them.

    Addresses of other links are no sources: what a cell sends through the backbone, errors of ICMP
    too, has its node address, which the routes of BGP name (`render.frr`).
    """
    members = members_of(link.import_origins, roster)
    allowed = {prefix for member in members for prefix in own[member.id]}
    ends = (IPv4Network(link.remote4), IPv6Network(link.remote6))
    allowed |= {*ends, *plan.backbone_allowed_ips}
    if plan.particles and not plan.particles.masquerade:
        allowed |= {roster.pools.particles, roster.pools.particles6}
    return tuple(sorted(allowed, key=network_order))


def _to_tunnels(plan: CellPlan) -> Iterator[str]:
    """Yield rules that accept packets into every tunnel but the root VPN."""
    root = plan.root.interface if plan.root else None
    ways = [f'"{name}" : accept' for name in interfaces(plan) if name != root]
    yield from _by_interface(ways, "oifname")


def _keeps(foreign: ForeignInterfaces) -> bool:
    return bool(foreign.kept_networks) or foreign.uplinks is not None


def _host_chains(foreign: ForeignInterfaces, nics: Sequence[str]) -> Iterator[str]:
    """Yield the chains for packets that only networks of the host's own may have sent or get."""
    if not _keeps(foreign):
        return
    for name, way, address in (("to_host", "oif", "daddr"), ("from_host", "iif", "saddr")):
        rules = [
            f'{way}name "{nic}" {"ip" if network.version == 4 else "ip6"} '
            f"{address} {written(network)} return"
            for nic, network in foreign.kept_networks
        ]
        if foreign.uplinks is not None:
            rules += _later_networks(way, sorted({*foreign.uplinks, *nics}))
        yield _chain(name, "", [*rules, "counter drop"])


def _later_networks(way: str, closed: Iterable[str]) -> Iterator[str]:
    """Yield rules that accept IPv4 of networks that appear later, but on `closed` interfaces.

    Of virtual interfaces alone, which have a kind: a DHCP server can hand out any network on a
    network interface card that is plugged in. A source must be behind the interface that the packet
    came from; what is for a destination was sent there by the host's routes.
    """
    names = ", ".join(f'"{each}"' for each in closed)
    if names:
        yield f"{way}name {{ {names} }} counter drop"
    lookup = " fib saddr . iif oif exists" if way == "iif" else ""
    yield f'meta nfproto ipv4 meta {way}kind != "{_NO_KIND}"{lookup} return'


# Not the name of a driver. A network interface card has no kind, and equals and differs from none.
_NO_KIND = "none"

LOOKUP_RULES = f"""\
table inet {TABLE}_check {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    meta nfproto ipv4 meta oifkind != "{_NO_KIND}" return
    meta nfproto ipv4 meta iifkind != "{_NO_KIND}" fib saddr . iif oif exists return
  }}
}}
"""
"""A table with the rules that `ForeignInterfaces.uplinks` adds, for the kernel to check."""


def _forward(plan: CellPlan, nics: Iterable[str], site: _Site, *, keeps: bool) -> Iterator[str]:
    yield "tcp flags & (syn | rst) == syn jump mss_clamp"
    ways = [f'"{link.interface}" : goto from_{link.interface}' for link in plan.links]
    yield from _by_interface([*(f'"{nic}" : jump from_lans' for nic in nics), *ways])
    yield _NO_ROUTE
    leaving, entering = ("jump to_host", "jump from_host") if keeps else ("counter drop",) * 2
    yield f"oifname != @tunnels ip daddr @uvn_prefixes4 {leaving}"
    yield f"oifname != @tunnels ip6 daddr @uvn_prefixes6 {leaving}"
    yield f"iifname != @tunnels ip saddr @uvn_prefixes4 {entering}"
    yield f"iifname != @tunnels ip6 saddr @uvn_prefixes6 {entering}"
    yield f"oifname != {site.nics} ip daddr {site.own4} counter drop"
    yield f"oifname != {site.nics} ip6 daddr {site.own6} counter drop"
    if plan.root:
        yield f'iifname "{plan.root.interface}" counter drop'
        yield f'oifname "{plan.root.interface}" counter drop'


def _bridged(bridges: Mapping[str, str]) -> Iterator[str]:
    """Yield rules that accept what bridges pass on, and this host does not route.

    Bridge netfilter passes such frames to this hook (ip-sysctl, bridge-nf-call-iptables), with the
    bridge as both interfaces. What the host is to route has the bridge's own hardware address.
    """
    for name, own in sorted(bridges.items()):
        yield f'iifname "{name}" oifname "{name}" ether daddr != {own} accept'


def _particles_forward(
    plan: CellPlan,
    roster: Roster,
    bus_ports: tuple[int, ...],
    *,
    particles: tuple[ParticlePeer, ...],
) -> Iterator[str]:
    if not plan.particles or not particles:
        # No rule uses `ct`, so that the kernel tracks no connections.
        return
    if bus_ports:
        # On other nodes a particle has this node's address, which may reach the bus.
        nodes = f"ip daddr {roster.pools.root} {to_ports(bus_transport(plan.bus), bus_ports)}"
        yield f'iifname "{plan.particles.interface}" {nodes} counter drop'
    yield f'iifname "{plan.particles.interface}" accept'
    yield f'oifname "{plan.particles.interface}" ct state established,related accept'


def _from_link(link: BackbonePeer) -> Iterator[str]:
    yield f"jump rpf_{link.interface}"
    yield "goto from_links"


def _from_links(plan: CellPlan, site: _Site) -> Iterator[str]:
    """Yield the rules for packets from a link whose source has passed its `rpf` chain."""
    yield f"oifname {site.nics} ip daddr {site.own4} accept"
    yield f"oifname {site.nics} ip6 daddr {site.own6} accept"
    yield f"ip daddr {site.own4} counter drop"
    yield f"ip6 daddr {site.own6} counter drop"
    yield "jump to_tunnels"
    for ip, networks in _allowed_ips(plan):
        yield f"oifname {site.nics} {ip} daddr {networks} accept"
    yield _NO_ROUTE
    yield "counter drop"


# Routed into the node's dummy interface, as no better route exists: what a router answers then.
_NO_ROUTE = f'oifname "{NODE_INTERFACE}" reject with icmpx host-unreachable'


def _from_lans(plan: CellPlan, site: _Site) -> Iterator[str]:
    # Packets between two of the cell's LANs never enter a tunnel, even if an interface is down.
    for ip, local in (("ip", site.own4), ("ip6", site.own6)):
        yield f"{ip} saddr {local} {ip} daddr != {local} goto to_tunnels"
    for ip, networks in _allowed_ips(plan):
        yield f"{ip} saddr {networks} goto to_tunnels"


def _allowed_ips(plan: CellPlan) -> Iterator[tuple[str, str]]:
    """Yield, for each family that has some, the set of networks that links carry, too."""
    for version, ip in ((4, "ip"), (6, "ip6")):
        if any(network.version == version for network in plan.backbone_allowed_ips):
            yield ip, f"@allowed_ips{version}"


def _mss_clamp(plan: CellPlan) -> Iterator[str]:
    # A SYN into a tunnel gets the path MTU; one from a tunnel also, for the other direction, in
    # case the far end does not clamp.
    yield "oifname @tunnels tcp option maxseg size set rt mtu"
    # 40 and 60: the headers of TCP with IPv4 and IPv6 (RFC 9293 section 3.7.1).
    for family, headers in (("ipv4", 40), ("ipv6", 60)):
        mss = plan.backbone_mtu - headers
        yield (
            f"iifname @tunnels meta nfproto {family} "
            f"tcp option maxseg size > {mss} tcp option maxseg size set {mss}"
        )


def _block_inbound_from(names: tuple[str, ...], site: _Site) -> Iterator[str]:
    for name in names:
        yield f'iifname "{name}" ip daddr {site.own4} ct state new counter drop'
        yield f'iifname "{name}" ip6 daddr {site.own6} ct state new counter drop'


def _rpf_jumps(plan: CellPlan) -> Iterator[str]:
    yield from _by_interface(
        [f'"{link.interface}" : jump rpf_{link.interface}' for link in plan.links]
    )


_NOT_TUNNELLED = (
    "iifname != @tunnels ip saddr @uvn_prefixes4 jump not_tunnelled",
    "iifname != @tunnels ip6 saddr @uvn_prefixes6 jump not_tunnelled",
)


def _not_tunnelled(plan: CellPlan, foreign: ForeignInterfaces) -> Iterator[str]:
    """Yield the rules for packets to this host that have a source of the UVN outside a tunnel."""
    yield 'iifname "lo" return'
    if plan.root:
        # A registry on this host has a table of its own.
        yield f"ip daddr {plan.root.remote4} return"
        yield f"ip6 daddr {plan.root.remote6} return"
    for nic, network in foreign.local_networks:
        family = "ip" if network.version == 4 else "ip6"
        yield f'iifname "{nic}" {family} saddr {written(network)} return'
    # The address of a neighbour's endpoint may be in its LAN, and the kernel has chosen the port
    # here that its WireGuard answers to.
    dialled = {
        int(link.endpoint.rpartition(":")[2])
        for link in plan.links
        if link.endpoint and link.port is None
    }
    if dialled:
        yield f"udp sport {{ {', '.join(map(str, sorted(dialled)))} }} udp dport 1024-65535 return"
    yield "goto from_host" if _keeps(foreign) else "counter drop"


def _output(own: Member) -> Iterator[str]:
    # A tunnel must not be carried by itself or another: an endpoint may have an address of a LAN.
    yield f"meta mark {UNDERLAY_MARK:#x} oifname @tunnels counter drop"
    yield f"ip saddr {own.node4} jump from_node"
    yield f"ip6 saddr {own.node6} jump from_node"


def _from_node(site: _Site) -> Iterator[str]:
    """Yield where packets with the node's own address may leave: tunnels, this host, its LANs."""
    yield "oifname @tunnels return"
    yield f'oifname {{ "lo", "{NODE_INTERFACE}" }} return'
    yield f"oifname {site.nics} ip daddr {site.own4} return"
    yield f"oifname {site.nics} ip6 daddr {site.own6} return"
    yield "counter drop"


def _by_interface(ways: list[str], key: str = "iifname") -> Iterator[str]:
    """Yield rules or one verdict map for items of the form `"interface" : verdict`."""
    if len(ways) <= _FEW:
        yield from (f"{key} {way.replace(' : ', ' ')}" for way in ways)
    else:
        yield f"{key} vmap {{ {', '.join(ways)} }}"


def _particles_postrouting(own: Member, roster: Roster) -> Iterator[str]:
    pools = roster.pools
    yield f"ip saddr {pools.particles} oifname @links snat ip to {own.node4}"
    yield f"ip6 saddr {pools.particles6} oifname @links snat ip6 to {own.node6}"
    yield f"ip saddr {pools.particles} oifname != @tunnels masquerade"
    yield f"ip6 saddr {pools.particles6} oifname != @tunnels masquerade"


def _nodes_postrouting(roster: Roster, site: _Site) -> Iterator[str]:
    """Yield the rules for packets of other nodes into a LAN, whose router has no route to nodes."""
    pools = roster.pools
    nodes6 = next(pools.ula.subnets(new_prefix=64))
    yield f"ip saddr {pools.root} oifname {site.nics} ip daddr {site.own4} masquerade"
    yield f"ip6 saddr {nodes6} oifname {site.nics} ip6 daddr {site.own6} masquerade"


def _address_sets(name: str, networks: Iterable[Network]) -> Iterator[str]:
    networks = tuple(networks)
    for version in (4, 6):
        elements = [written(network) for network in networks if network.version == version]
        yield _set(f"{name}{version}", f"ipv{version}_addr", "interval", elements)


def _names(name: str, interfaces: Iterable[str]) -> str:
    return _set(name, "ifname", "", [f'"{each}"' for each in interfaces])


def _set(name: str, kind: str, flags: str, elements: list[str]) -> str:
    lines = [f"  set {name} {{", f"    type {kind}"]
    if flags:
        lines += [f"    flags {flags}", "    auto-merge"]
    if elements:
        lines.append(f"    elements = {{ {', '.join(elements)} }}")
    return "\n".join([*lines, "  }"]) + "\n"


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    lines = [f"  chain {name} {{"]
    if hook:
        lines.append(f"    type {hook}")
    lines += [f"    {rule}" for rule in rules]
    return "\n".join([*lines, "  }"]) + "\n"
