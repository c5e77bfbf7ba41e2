"""A neighbour whose name leads elsewhere by now is called there."""

from __future__ import annotations

import re
import sys

import pytest
from watching import await_healthy, status

from uno.lab.deploy import Deployment
from uno.lab.node import Node

pytestmark = pytest.mark.lab

CALL = """
import sys
from pathlib import Path
from uno.reconcile.desired import desired
from uno.agent.commit.ledger import Ledger
from uno.host.linux import LinuxHost

package = Ledger(Path(sys.argv[1])).current()
host = LinuxHost(package.manifest.identity, package.manifest.cell)
wanted = desired(package, lans=(), facts=host.facts())
(tunnel,) = (each for each in wanted.tunnels if each.name == sys.argv[2])
print(host.refresh_endpoint(tunnel.name, tunnel.peers[0]))
"""


@pytest.mark.feature("G13")
def test_a_neighbour_that_has_moved_is_called_at_its_new_address(running: Deployment) -> None:
    await_healthy(running)
    cell = running.world.nodes["lan-d"]
    before = called(cell)
    name, address = named(cell, before)
    assert not refresh_endpoint(running, cell)
    # It sends nothing: WireGuard takes the endpoint of received packets.
    for other in running.cells:
        if other is not cell:
            running.world.cut(cell.name, other.name)

    move(cell, name, "203.0.113.250")
    assert refresh_endpoint(running, cell)
    assert called(cell) == before.replace(address, "203.0.113.250")
    assert not refresh_endpoint(running, cell)

    move(cell, name, address)
    assert refresh_endpoint(running, cell)
    assert called(cell) == before
    running.world.restore_all()
    await_healthy(running)
    assert status(running, cell)["pending"] == []


def refresh_endpoint(running: Deployment, cell: Node) -> bool:
    root = str(running.cell_root(cell))
    return cell.run([sys.executable, "-c", CALL, root, "uwg-b0"]).stdout == "True\n"


def called(cell: Node) -> str:
    """Where the first neighbour of a cell is called."""
    return cell.run(["wg", "show", "uwg-b0", "endpoints"]).stdout.split()[1]


def named(cell: Node, endpoint: str) -> tuple[str, str]:
    """Return the name that leads to an endpoint, and its address."""
    address = endpoint.rpartition(":")[0]
    (name,) = re.findall(rf"^{re.escape(address)} (\S+)$", hosts(cell), re.MULTILINE)
    return name, address


def move(cell: Node, name: str, address: str) -> None:
    """Have a name lead elsewhere, as seen by one machine."""
    lines = [line for line in hosts(cell).splitlines() if line.split()[-1:] != [name]]
    (cell.directory / "etc/hosts").write_text("\n".join([*lines, f"{address} {name}"]) + "\n")


def hosts(cell: Node) -> str:
    return (cell.directory / "etc/hosts").read_text()
