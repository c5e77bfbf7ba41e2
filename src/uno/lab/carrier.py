"""The backbone link that carries a cell's packets to an address, for tests that cut it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from uno.diagnostics import TransientFailure
from uno.lab.node import Node
from uno.lab.world import World
from uno.lab.world_layout import Role
from uno.model.net import Address, address


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A link as one cell sees it: its interface, and the cell at the other end.

    `port` is the other end's UDP port as the Internet sees it.
    """

    interface: str
    near: str
    far: str
    port: int

    def cut(self, world: World) -> None:
        """Drop this link's packets on their way through the Internet, and no others."""
        world.cut(self.far, self.near, port=self.port)

    def restore(self, world: World) -> None:
        """Take `cut` back."""
        world.restore(self.far, self.near, port=self.port)


def carrier(world: World, cell: Node, target: Address, *, sender: Node | None = None) -> Carrier:
    """Find the link that a cell would send a packet to `target` through. Raises `UnoError`.

    Asks the kernel and WireGuard, so it is true whatever chose the route. The packet is the
    cell's own, or comes from `sender`, a host in its LAN: by both addresses the kernel chooses
    between equal paths.
    """
    if sender is None:
        interface = _leads_into(cell, target)
    else:
        source = sender.address(target.version)
        assert source is not None
        interface = _leads_into(cell, target, "from", str(source), "iif", _leads_into(cell, source))
    at = peer_endpoint(cell, interface)
    if at is None:
        raise TransientFailure(
            f"{cell.name} does not send to {target} through a link, but {interface}"
        )
    where, port = at
    for node in world.having(Role.CELL):
        if node.station.public == where:
            return Carrier(interface=interface, near=cell.name, far=node.name, port=port)
    raise TransientFailure(
        f"no cell of the lab is at {where}, where {interface} of {cell.name} leads"
    )


def peer_endpoint(cell: Node, interface: str) -> tuple[Address, int] | None:
    """Where the one peer of a WireGuard interface is, from its last packet; None if unknown."""
    shown = cell.run(["wg", "show", interface, "endpoints"], check=False)
    fields = shown.stdout.split()
    if len(fields) != 2 or fields[1] == "(none)":
        return None
    host, _, port = fields[1].rpartition(":")
    return address(host.strip("[]")), int(port)


def _leads_into(cell: Node, target: Address, *selector: str) -> str:
    found = json.loads(cell.run(["ip", "-json", "route", "get", str(target), *selector]).stdout)
    return str(found[0].get("dev", ""))
