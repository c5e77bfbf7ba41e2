"""From a definition to the world around it: `arrange` places every node on the Internet.

Pure: the same definition gives the same world.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import zip_longest

from uno.diagnostics import ActionNeeded
from uno.lab import node_nftables
from uno.lab.wiring import Draft, LanSegment, Wiring
from uno.lab.world_layout import (
    CAFE6,
    GLOBAL6,
    HOME6,
    PUBLIC4,
    PUBLIC6,
    SERVER_NAME,
    Role,
    WorldLayout,
)
from uno.model.net import Address, Network, address, overlap
from uno.model.uvn import Cell, Uvn

# Unique local addresses, RFC 4193. A UVN's own /48 of them is drawn when it is defined, which is
# after its routers were set up; so they send all of them to the cell.
ULA = IPv6Network("fd00::/8")
# RFC 2544; the Internet's gateway address and its last pool of public addresses.
BENCHMARK = IPv4Network("198.18.0.0/15")
# Backbone ports that a router forwards: as many links as one cell will have in a lab.
BACKBONE_PORTS = 256


def arrange(
    uvn: Uvn,
    *,
    hosts_per_lan: int = 2,
    direct: frozenset[str] | None = None,
    loopback: bool = True,
) -> WorldLayout:
    """Return the world of `uvn`.

    Every LAN gets a router and `hosts_per_lan` hosts. A public cell stands inside its LAN, behind
    its router's forwarded ports; those named in `direct` are on the Internet themselves, with a
    second interface in the LAN. By default every second one is, so that both kinds occur; a
    public cell without LANs always is, and one whose endpoint is an IPv6 address, for which
    routers translate no ports. Public cells at one address are behind one router, which has NAT
    loopback, or without `loopback` has none. A private cell is behind a router that forwards
    nothing. If such an endpoint occurs, every cell has IPv6 towards the Internet.
    Particles are on the Internet and in a café by turns. Raises `UnoError` for a definition that
    the lab cannot build.
    """
    _refuse_what_cannot_be_built(uvn)
    named = [item for item in (uvn.address, *(cell.address for cell in uvn.active_cells)) if item]
    literals = [found for found in map(_literal, named) if found]
    wiring = Wiring(public=literals, private=_prefixes(uvn))
    server = wiring.add(Draft(name="server", role=Role.SERVER))
    wiring.join_internet(server)
    if direct is None:
        with_lans = [cell for cell in uvn.active_cells if cell.is_public and not cell.is_roaming]
        direct = frozenset(cell.name for cell in with_lans[1::2])
    ipv6 = any(found.version == 6 for found in literals)
    shared: dict[str, Draft | None] = dict.fromkeys(_shared_addresses(uvn))
    sites: dict[str, Draft] = {}
    for cell in uvn.active_cells:
        site = _Surroundings(uvn=uvn, cell=cell, hosts=hosts_per_lan, ipv6=ipv6, loopback=loopback)
        at = cell.address or ""
        sites[cell.name], router = _add_site(
            wiring,
            site,
            direct=at not in shared and (cell.name in direct or cell.is_roaming),
            router=shared.get(at),
        )
        if at in shared:
            shared[at] = router
    registry = _add_registry(wiring, uvn)
    _add_particles(wiring, [particle.name for particle in uvn.active_particles])

    names = {cell.address: sites[cell.name].public for cell in uvn.active_cells if cell.address}
    stations = tuple(draft.station() for draft in wiring.drafts)
    if uvn.address:
        names[uvn.address] = next(s.public for s in stations if s.name == registry)
    names[SERVER_NAME] = server.public
    return WorldLayout(
        stations=stations,
        cables=tuple(wiring.cables),
        names={name: at for name, at in names.items() if at and not _literal(name)},
        registry=registry,
        lans=tuple(lan for cell in uvn.active_cells for lan in cell.allowed_lans),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """What is to be around a cell.

    With `ipv6` the cell has an IPv6 address that the Internet can answer.
    """

    uvn: Uvn
    cell: Cell
    hosts: int
    ipv6: bool
    loopback: bool


def _add_site(
    wiring: Wiring, site: _Surroundings, *, direct: bool, router: Draft | None
) -> tuple[Draft, Draft | None]:
    """Add a cell and, around it, its LANs with their router and hosts; return cell and router.

    It gets a router of its own if `router` is None, and none if it is on the Internet and roaming.
    """
    cell = site.cell
    gateway = wiring.add(Draft(name=cell.name, role=Role.CELL, cell=cell.name, machine=True))
    at = _literal(cell.address)
    is_translated = at is None or at.version == 4
    on_internet = cell.is_public and (direct or not is_translated)
    if on_internet:
        wiring.join_internet(gateway, at)
    if cell.is_roaming and on_internet:
        return gateway, None
    if router is None:
        name = f"{cell.name}-router"
        router = wiring.add(Draft(name=name, role=Role.ROUTER, cell=cell.name, forwards=True))
        wiring.join_internet(router, None if on_internet else at)
    for number, networks in enumerate(_segments(wiring, cell, needs_ipv4=not on_internet)):
        segment = wiring.segment(router, networks)
        leads_out = number == 0 and not on_internet
        _fill(wiring, segment, gateway, hosts=site.hosts, leads_out=leads_out)
        if leads_out and site.ipv6 and not any(each in GLOBAL6 for each in gateway.inside):
            wiring.give_ipv6(gateway, segment)
    _point_at_cell(site, gateway, router)
    gateway.public = gateway.public or router.public
    return gateway, router


def _fill(
    wiring: Wiring, segment: LanSegment, gateway: Draft, *, hosts: int, leads_out: bool
) -> None:
    """Put the cell and the hosts into a LAN."""
    if not wiring.attach(gateway, segment, seat=2, interface=segment.bridge):
        raise ActionNeeded(
            f"{segment.networks[0]} has no room for a router and a cell",
            "the lab needs LANs of /30 (IPv4), /126 (IPv6) or larger",
        )
    if leads_out:
        wiring.set_default_gateway(gateway, segment)
    for network in segment.networks:
        if network.version == 6 and not overlap(network, ULA):
            wiring.announce(network, segment.router)
    for seat in range(3, 3 + hosts):
        count = sum(d.role is Role.HOST and d.cell == gateway.name for d in wiring.drafts)
        host = Draft(name=f"{gateway.name}-host{count + 1}", role=Role.HOST, cell=gateway.name)
        if wiring.attach(host, segment, seat=seat):
            wiring.set_default_gateway(wiring.add(host), segment)


def _point_at_cell(site: _Surroundings, gateway: Draft, router: Draft) -> None:
    """Do what a user does to the router: static routes (F015), and forwarded ports (F016).

    Of two cells behind one router the first one has the routes.
    """
    inside = gateway.inside_of(4)
    for target in () if router.forwarded else _prefixes(site.uvn):
        via = gateway.inside_of(target.version)
        if via is not None and target not in site.cell.allowed_lans:
            router.commands.append(f"route add {target} via {via}")
    if site.cell.is_public and not gateway.outside and inside is not None:
        router.forwarded[inside] = _forwarded_ports(site.uvn, site.cell)
    own = router.public if site.loopback and len(router.forwarded) > 1 else None
    router.rules = node_nftables.router(router.forwarded, loopback=own)


def _add_registry(wiring: Wiring, uvn: Uvn) -> str:
    """Give the registry a host, unless it shares a cell's address; return the node it is on."""
    for cell in uvn.active_cells:
        if cell.address and cell.address == uvn.address:
            return cell.name
    registry = wiring.add(Draft(name="registry", role=Role.REGISTRY, machine=True))
    wiring.join_internet(registry, _literal(uvn.address))
    return registry.name


def _add_particles(wiring: Wiring, names: list[str]) -> None:
    """Put every other particle into a café, behind its NAT, and the rest on the Internet."""
    drafts = [wiring.add(Draft(name=n, role=Role.PARTICLE, machine=True)) for n in names]
    for draft in drafts[::2]:
        wiring.join_internet(draft)
    if not drafts[1::2]:
        return
    cafe = wiring.add(
        Draft(name="cafe", role=Role.ROUTER, forwards=True, rules=node_nftables.router())
    )
    seen_at = wiring.join_internet(cafe)
    wiring.announce(CAFE6, cafe)
    bar = wiring.segment(cafe, (wiring.spare_home(), CAFE6))
    for seat, draft in enumerate(drafts[1::2], start=3):
        if not wiring.attach(draft, bar, seat=seat):
            raise ActionNeeded("the lab's café is full", "define fewer particles")
        wiring.set_default_gateway(draft, bar)
        draft.public = seen_at


def _segments(wiring: Wiring, cell: Cell, *, needs_ipv4: bool) -> list[tuple[Network, ...]]:
    """Pair a cell's first IPv4 LAN with its first IPv6 LAN, and so on: both on one wire."""
    v4: list[Network] = [lan for lan in cell.allowed_lans if lan.version == 4]
    v6: list[Network] = [lan for lan in cell.allowed_lans if lan.version == 6]
    if needs_ipv4 and not v4:
        v4 = [wiring.spare_home()]
    return [tuple(net for net in pair if net is not None) for pair in zip_longest(v4, v6)]


def _prefixes(uvn: Uvn) -> list[Network]:
    """Everything that a router should send to the UVN."""
    vpns = uvn.settings
    lans = [lan for cell in uvn.active_cells for lan in cell.allowed_lans]
    return [*lans, vpns.backbone_vpn.subnet, vpns.particles_vpn.subnet, vpns.root_vpn.subnet, ULA]


def _forwarded_ports(uvn: Uvn, cell: Cell) -> list[str]:
    vpns, own = uvn.settings, cell.settings
    first = own.backbone_vpn_port or vpns.backbone_vpn.port
    last = min(first + BACKBONE_PORTS - 1, 65535)
    single = {
        vpns.root_vpn.port,
        own.root_vpn_port or vpns.root_vpn.peer_port or vpns.root_vpn.port,
        own.particles_vpn_port or vpns.particles_vpn.port,
    }
    return [*(str(port) for port in sorted(single) if not first <= port <= last), f"{first}-{last}"]


def _refuse_what_cannot_be_built(uvn: Uvn) -> None:
    for lan in _prefixes(uvn):
        reserved: tuple[Network, ...] = (*PUBLIC4, BENCHMARK, PUBLIC6, CAFE6, HOME6)
        for taken in reserved:
            if overlap(lan, taken):
                raise ActionNeeded(f"the lab needs {taken} for its Internet, and {lan} is in it")
    for at in _shared_addresses(uvn):
        beside = [cell for cell in uvn.active_cells if cell.address == at][1:]
        literal = _literal(at)
        if (literal and literal.version == 6) or any(cell.allowed_lans for cell in beside):
            raise ActionNeeded(
                f"the lab cannot build cells with LANs of their own behind the one address {at}",
                "give each its own address in the lab's copy of the specification",
            )


def _shared_addresses(uvn: Uvn) -> list[str]:
    """Return the public addresses that several cells have."""
    found = Counter(cell.address for cell in uvn.active_cells if cell.address)
    return [at for at, count in found.items() if count > 1]


def _literal(name: str | None) -> Address | None:
    """The address that an endpoint is, or None if it is a name (or nothing)."""
    try:
        return address(name) if name else None
    except ValueError:
        return None
