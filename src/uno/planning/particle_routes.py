"""The networks that particles reach through the UVN where not all their traffic goes there."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from uno.model.net import Network
from uno.model.plan import Plan

# A QR code holds 2,953 bytes, and the rest of a configuration takes 500 at most.
_ROOM = 2_300


def reachable(plan: Plan) -> tuple[Network, ...]:
    """Return what a particle reaches through the UVN when not all its traffic goes there.

    Few enough networks for a QR code: where there are too many, they are widened step by step.
    """
    pools = plan.pools
    found: list[Network] = [pools.root, pools.particles, pools.ula]
    found += [lan for cell in plan.cells for lan in cell.member.lans]
    found += plan.particles_vpn.allowed_ips if plan.particles_vpn else ()
    for longest in (128, 24, 20, 16, 12, 8):
        wide = _collapsed(
            net if net.prefixlen <= longest else net.supernet(new_prefix=longest) for net in found
        )
        if sum(len(str(net)) + 2 for net in wide) <= _ROOM:
            return wide
    return (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def _collapsed(networks: Iterable[Network]) -> tuple[Network, ...]:
    found = list(networks)
    return (
        *collapse_addresses(net for net in found if isinstance(net, IPv4Network)),
        *collapse_addresses(net for net in found if isinstance(net, IPv6Network)),
    )
