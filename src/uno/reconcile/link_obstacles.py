"""Links that carry nothing since their interface is not as the package has it. Pure.

Another program, or a person, has changed it: with another key, or at another port, WireGuard
answers no handshake, and shows nothing but silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from uno.model.package import Package
from uno.model.tunnel import Tunnel
from uno.reconcile.forwarding_obstacles import Obstacle, ObstacleKind

_REMEDY = "an agent's next pass configures it; without an agent: uno service up"


def link_obstacles(
    package: Package,
    *,
    desired: Iterable[Tunnel],
    observed: Iterable[Tunnel],
    silent: Collection[str],
) -> tuple[Obstacle, ...]:
    """Return what keeps handshakes of links from success on the host of a package's cell.

    `silent` are the interfaces of links whose sessions are not up.
    """
    names = {member.id: member.name for member in package.roster.members}
    neighbors = {link.interface: names[link.cell] for link in package.plan.links}
    there = {tunnel.name: tunnel for tunnel in observed}
    return tuple(
        Obstacle(
            kind=ObstacleKind.LINK,
            what=f"{wanted.name} {what}",
            remedy=_REMEDY,
            links=frozenset({wanted.name}),
        )
        for wanted in desired
        if wanted.name in silent
        for what in _differences(wanted, there.get(wanted.name), neighbors[wanted.name])
    )


def _differences(wanted: Tunnel, found: Tunnel | None, neighbor: str) -> Iterator[str]:
    """Yield what differs in the interface of a link, of all that handshakes need."""
    if found is None:
        yield f"to {neighbor} does not exist"
        return
    if wanted.private_key != found.private_key:
        yield "has another private key than this cell's package"
    (peer,) = wanted.peers
    configured = next((it for it in found.peers if it.public_key == peer.public_key), None)
    if configured is None:
        yield f"has another key of {neighbor} than this cell's package"
    elif configured.psk != peer.psk:
        yield f"has another preshared key for {neighbor} than this cell's package"
    if wanted.port not in {None, found.port}:
        yield f"listens at UDP port {found.port}, and not at {wanted.port} as this cell's package"
