"""What cells send into the UVN in clear text, captured on their wires."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv6Network

from watching import node_addresses

from uno.lab import rehearsal
from uno.lab.deploy import Deployment
from uno.lab.node import Capture, Node
from uno.lab.world_layout import Role
from uno.model.net import Address, address


def remote(running: Deployment, cell: Node) -> list[Address]:
    """Addresses of the UVN that are not at this cell's site: some that exist, some that do not."""
    hosts = [host for host in running.world.having(Role.HOST) if host.station.cell != cell.name]
    lans = [item for host in hosts for item in host.station.addresses]
    own4, own6 = node_addresses(cell)
    nodes = [own4 + 77, own6 + 77, *node_addresses(running.world.nodes["relay"])]
    return [*lans, *nodes, address("10.255.200.1"), address("10.254.77.77")]


@contextmanager
def wiretaps(running: Deployment, cells: list[Node]) -> Iterator[Callable[[], list[str]]]:
    """Listen on the wires of cells to what they send into the UVN in clear text.

    A cell also sends into its LAN what others send there; so it matters where it is sent to.
    """
    ula = IPv6Network((node_addresses(running.world.nodes["relay"])[1], 48), strict=False)
    pools = ["10.254.0.0/16", "10.255.128.0/22", "10.255.192.0/20", str(ula)]
    uvn = rehearsal.definition(running.world.registry.directory / "uvn.yml")
    with ExitStack() as stack:
        taps: dict[str, Capture] = {}
        for cell in cells:
            lans = [
                str(lan)
                for other in uvn.cells
                for lan in other.allowed_lans
                if other.name != cell.name
            ]
            nets = " or ".join(
                f"{'ip6 ' if ':' in each else ''}dst net {each}" for each in (*pools, *lans)
            )
            for nic in json.loads(cell.run(["ip", "-j", "link", "show"]).stdout):
                if nic["ifname"] in {"wan", "lan0"}:
                    own = f"ether src {nic['address']} and ({nets})"
                    taps[f"{cell.name}/{nic['ifname']}"] = stack.enter_context(
                        cell.capture(nic["ifname"], own)
                    )
        yield lambda: [f"{name} {each}" for name, tap in taps.items() for each in tap.packets()]
