"""A neighbour whose name leads elsewhere by now is called there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from watching import await_healthy, await_true, status, uno

from uno.lab.agents import agents_of
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


@pytest.mark.feature("G51")
@pytest.mark.feature("F102")
def test_a_second_up_calls_a_neighbour_that_has_moved_at_its_new_address(
    running: Deployment,
) -> None:
    """Without an agent."""
    await_healthy(running)
    cell = running.world.nodes["lan-d"]
    before = called(cell)
    name, address = named(cell, before)
    assert "no change" in uno(running, cell, "up").stdout
    assert called(cell) == before
    with restored(running, cell):
        for other in running.cells:
            if other is not cell:
                running.world.cut(cell.name, other.name)
        await_true(lambda: bfd(running, cell) != "up", "BFD is down")
        move(cell, name, "203.0.113.250")

        uno(running, cell, "up", "--wait", "0")

        assert called(cell) == before.replace(address, "203.0.113.250")
    await_healthy(running)
    assert called(cell) == before


@pytest.mark.feature("G51")
@pytest.mark.feature("F102")
def test_a_name_whose_first_address_is_dead_is_called_at_the_other(running: Deployment) -> None:
    """The router of the other end forwards IPv4 only, and the name has an AAAA record, too."""
    await_healthy(running)
    cell = running.world.nodes["lan-d"]
    before = called(cell)
    name, _ = named(cell, before)
    running.down([cell])
    with restored(running, cell), ipv6_to_nowhere(cell):
        (cell.directory / "etc/hosts").write_text(f"{hosts(cell)}2001:db8:ffff::2 {name}\n")
        first = cell.run(["getent", "ahosts", name]).stdout.split()[0]

        done = uno(running, cell, "up")

        assert first == "2001:db8:ffff::2"
        assert "no handshake" not in done.stderr
        assert called(cell) == before
        assert "no change" in uno(running, cell, "up").stdout
        assert called(cell) == before


@pytest.mark.feature("G51")
@pytest.mark.feature("G13")
def test_an_agent_calls_a_name_whose_first_address_is_dead_at_the_other(
    running: Deployment,
) -> None:
    await_healthy(running)
    cell = running.world.nodes["lan-d"]
    before = called(cell)
    name, _ = named(cell, before)
    agent = agents_of(running).cells[cell.name]
    running.down([cell])
    with restored(running, cell), ipv6_to_nowhere(cell):
        (cell.directory / "etc/hosts").write_text(f"{hosts(cell)}2001:db8:ffff::2 {name}\n")
        agent.start()
        try:
            await_true(lambda: has_handshake(cell), "a handshake", within=15)
            assert called(cell) == before
        finally:
            agent.stop()
    running.down([cell])
    running.up([cell])
    await_healthy(running)


@contextmanager
def restored(running: Deployment, cell: Node) -> Iterator[None]:
    """Have names, cables and the network of a cell afterwards as they are now."""
    known = hosts(cell)
    try:
        yield
    finally:
        (cell.directory / "etc/hosts").write_text(known)
        running.world.restore_all()
        running.up([cell])


@contextmanager
def ipv6_to_nowhere(cell: Node) -> Iterator[None]:
    """Give a cell an address and a default route of IPv6; nothing that is sent there arrives."""
    address, route = ["2001:db8:44::2/64", "dev", "lan0"], ["default", "via", "2001:db8:44::1"]
    cell.run(["ip", "-6", "address", "add", *address, "nodad"])
    cell.run(["ip", "-6", "route", "add", *route])
    try:
        yield
    finally:
        cell.run(["ip", "-6", "route", "del", *route])
        cell.run(["ip", "-6", "address", "del", *address])


def bfd(running: Deployment, cell: Node) -> str | None:
    (found,) = (each["bfd"] for each in status(running, cell)["links"][:1])
    return str(found) if found else None


def has_handshake(cell: Node) -> bool:
    done = cell.run(["wg", "show", "uwg-b0", "latest-handshakes"], check=False)
    return done.stdout.split()[1:] not in ([], ["0"])


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
