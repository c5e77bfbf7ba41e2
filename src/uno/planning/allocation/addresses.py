"""The address plan: the addresses of each cell, particle and link follow from its id or number.

So no address has to be stored, and none depends on other cells. IPv4 addresses are from the three
configured pools. IPv6 addresses are from one unique local /48 (RFC 4193), derived from the UVN's
identity: subnet 0 is for the nodes, 1 for the particles, 2 for the links.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from uno.diagnostics import Problem
from uno.model.net import ula
from uno.model.plan import Pools
from uno.model.uvn import Uvn

_PARTICLES_SUBNET = 1
_LINKS_SUBNET = 2


def pools(uvn: Uvn) -> Pools:
    """Return the pools that all addresses of `uvn` come from."""
    prefix = ula(uvn.identity)
    return Pools(
        root=uvn.settings.root_vpn.subnet,
        particles=uvn.settings.particles_vpn.subnet,
        backbone=uvn.settings.backbone_vpn.subnet,
        ula=prefix,
        particles6=_subnet(prefix, _PARTICLES_SUBNET),
    )


def registry(pools: Pools) -> tuple[IPv4Address, IPv6Address]:
    """Return the registry's addresses in the root VPN."""
    return pools.root.network_address + 1, pools.ula.network_address + 1


def node(pools: Pools, cell: int) -> tuple[IPv4Address, IPv6Address]:
    """Return the stable addresses of a cell."""
    return pools.root.network_address + 1 + cell, pools.ula.network_address + 1 + cell


def hub(pools: Pools) -> tuple[IPv4Address, IPv6Address]:
    """Return the addresses that every cell has in its particle VPN."""
    return pools.particles.network_address + 1, pools.particles6.network_address + 1


def particle(pools: Pools, particle: int) -> tuple[IPv4Address, IPv6Address]:
    """Return the addresses that a particle has at every cell."""
    offset = 1 + particle
    return pools.particles.network_address + offset, pools.particles6.network_address + offset


def link(pools: Pools, number: int) -> tuple[IPv4Address, IPv6Address]:
    """Return the addresses of the lower cell of link `number`; the other has the next.

    A /31 has two usable addresses (RFC 3021), and so has a /127 (RFC 6164).
    """
    links = pools.ula.network_address + (_LINKS_SUBNET << 64)
    return pools.backbone.network_address + 2 * number, links + 2 * number


def last_link(pools: Pools) -> int:
    """Return the highest link number that the pool has room for; the first is 1."""
    return pools.backbone.num_addresses // 2 - 1


def shortages(uvn: Uvn, pools: Pools) -> tuple[Problem, ...]:
    """Return what the root and particle pools have no room for."""
    cells = {cell.id: cell.name for cell in uvn.active_cells}
    particles = {each.id: each.name for each in uvn.active_particles}
    return (
        *_shortage(pools.root, cells, kind="cell", setting="root_vpn.subnet"),
        *_shortage(pools.particles, particles, kind="particle", setting="particles_vpn.subnet"),
    )


def _shortage(
    pool: IPv4Network, names: dict[int, str], *, kind: str, setting: str
) -> tuple[Problem, ...]:
    # The last address of the pool is left out: it is the broadcast address of the interfaces.
    last = pool.num_addresses - 3
    outside = [number for number in sorted(names) if number > last]
    if not outside:
        return ()
    first = outside[0]
    others = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
    return (
        Problem(
            what=f"{pool} has no address for {kind} {names[first]} (id {first}){others}; "
            f"its last is that of id {max(last, 0)}",
            hint=f"set a larger `{setting}`",
        ),
    )


def _subnet(prefix: IPv6Network, number: int) -> IPv6Network:
    return IPv6Network((int(prefix.network_address) + (number << 64), 64))
