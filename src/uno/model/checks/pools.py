"""Address pools: large enough for the cells, particles and links that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.model.checks.finding import Finding, Findings
from uno.model.checks.links import fewest_links


if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from uno.model.uvn import Uvn


def check(uvn: Uvn) -> Findings:
    """Find pools that are too small."""
    settings = uvn.settings
    last_cell = max((cell.id for cell in uvn.cells), default=0)
    last_particle = max((particle.id for particle in uvn.particles), default=0)
    # Network, hub, one for each id, broadcast.
    yield from _check_room("root_vpn", settings.root_vpn.subnet, last_cell + 3, f"cell id {last_cell}")
    yield from _check_room(
        "particles_vpn",
        settings.particles_vpn.subnet,
        last_particle + 3,
        f"particle id {last_particle}",
    )
    links = fewest_links(uvn)
    yield from _check_room("backbone_vpn", settings.backbone_vpn.subnet, 2 * links, f"{links} links")


def _check_room(key: str, pool: IPv4Network, needed: int, reason: str) -> Findings:
    if pool.num_addresses < needed:
        prefix = 32 - (needed - 1).bit_length()
        yield Finding(
            path=("settings", key, "subnet"),
            what=f"the {key} subnet {pool} has {pool.num_addresses} addresses, too few for {reason}",
            hint=f"use a /{prefix} or larger",
            needs=(("cells",), ("particles",)),
        )
