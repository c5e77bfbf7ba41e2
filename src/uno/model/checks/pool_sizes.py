"""Address pools: large enough for the cells, particles and links that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model.checks.finding import Finding, Findings
from uno.model.checks.link_counts import fewest_links

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from uno.model.uvn import Uvn

# The network, the hub, and the broadcast address; ids count from 1.
_NOT_FOR_PEERS = 3


def check(uvn: Uvn) -> Findings:
    """Find pools that are too small."""
    settings = uvn.settings
    cell = max((cell.id for cell in uvn.active_cells), default=1)
    yield from _room("root_vpn", settings.root_vpn.subnet, cell + _NOT_FOR_PEERS, f"cell {cell}")
    particle = max((particle.id for particle in uvn.active_particles), default=1)
    yield from _room(
        "particles_vpn",
        settings.particles_vpn.subnet,
        particle + _NOT_FOR_PEERS,
        f"particle {particle}",
    )
    # A /31 for each link; the first one of the pool is never used.
    links = max(1, fewest_links(uvn))
    reason = "a link" if links == 1 else f"{links} links"
    yield from _room("backbone_vpn", settings.backbone_vpn.subnet, 2 * links + 2, reason)


def _room(key: str, pool: IPv4Network, needed: int, reason: str) -> Findings:
    if pool.num_addresses < needed:
        prefix = 32 - (needed - 1).bit_length()
        count = "1 address" if pool.num_addresses == 1 else f"{pool.num_addresses} addresses"
        yield Finding(
            path=("settings", key, "subnet"),
            what=f"the {key} subnet {pool} has {count}, too few for {reason}",
            hint=f"use a /{prefix} or larger",
            needs=(("cells",), ("particles",), ("settings", "deployment")),
        )
