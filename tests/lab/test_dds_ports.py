"""Who reaches the bus of a cell, whose sockets listen at every address of its host.

Somebody listens on the bus's ports of a cell, at every address, and others knock: nodes of the UVN
are received, and no others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from knocking import is_received, knock
from watching import (
    address_of,
    await_healthy,
    await_true,
    bgp_routes,
    node_addresses,
    pause,
    restore,
)
from wiretaps import wiretaps

from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.particle_peer import connected, tunnels
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.model.uvn import Middleware
from uno.ports.bus import CELL_INDEX, ports

pytestmark = pytest.mark.lab

DISCOVERY, TRAFFIC = ports(46, CELL_INDEX)
# A port like any other, to see that what is sent gets there at all.
OTHER = 7777


@pytest.fixture(scope="module")
def four_sites_spec(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dds") / "uvn.yml"
    path.write_text(f"{example.read_text()}settings: {{middleware: {Middleware.CYCLONE}}}\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def _settled(running: Deployment) -> None:
    await_healthy(running)


@pytest.fixture
def cell(running: Deployment) -> Node:
    """A cell on the Internet and in a LAN."""
    return running.world.nodes["lan-b"]


@pytest.mark.parametrize("port", [DISCOVERY, TRAFFIC])
@pytest.mark.parametrize("name", ["lan-a", "lan-c", "lan-d", "relay"])
def test_other_nodes_are_received(running: Deployment, cell: Node, name: str, port: int) -> None:
    sender = running.world.nodes[name]
    source, target = (str(node_addresses(each)[0]) for each in (sender, cell))

    assert is_received(cell, sender, target, port, source=source)


@pytest.mark.parametrize("port", [DISCOVERY, TRAFFIC])
def test_the_internet_is_not_received(running: Deployment, cell: Node, port: int) -> None:
    server = running.world.nodes["server"]
    public = str(cell.station.public)

    before = dropped(cell)

    assert is_received(cell, server, public, OTHER)
    assert not is_received(cell, server, public, port)
    assert dropped(cell) == before + 3


@pytest.mark.parametrize("port", [DISCOVERY, TRAFFIC])
def test_the_own_lan_is_not_received(running: Deployment, cell: Node, port: int) -> None:
    host = running.world.nodes["lan-b-host1"]
    for target in (str(address_of(cell)), str(node_addresses(cell)[0])):
        before = dropped(cell)

        assert is_received(cell, host, target, OTHER)
        assert not is_received(cell, host, target, port)
        assert dropped(cell) == before + 3


@pytest.mark.parametrize("port", [DISCOVERY, TRAFFIC])
def test_other_lans_are_not_received(running: Deployment, cell: Node, port: int) -> None:
    host = running.world.nodes["lan-c-host1"]
    target = str(node_addresses(cell)[0])

    assert is_received(cell, host, target, OTHER)
    assert not is_received(cell, host, target, port)


@pytest.mark.parametrize("served_by", ["lan-b", "relay"])
def test_particles_are_not_received(running: Deployment, cell: Node, served_by: str) -> None:
    """Neither where they connect, nor elsewhere, where they are seen with their cell's address."""
    john = running.world.nodes["john"]
    tunnel = tunnels(running.particle_package(john))[served_by]
    target = node_addresses(cell)[0]

    with connected(john, tunnel):
        with PingMatrix([PingPath(john.namespace, target)]) as prober:
            assert not prober.reach(within=10).missing
        assert is_received(cell, john, str(target), OTHER)
        for port in (DISCOVERY, TRAFFIC):
            assert not is_received(cell, john, str(target), port)


@pytest.mark.feature("G24")
def test_a_lan_host_that_pretends_to_be_a_node_is_not_received(
    running: Deployment, cell: Node
) -> None:
    host = running.world.nodes["lan-b-host1"]
    target = str(node_addresses(cell)[0])
    for source in (str(node_addresses(running.world.nodes["relay"])[0]), "10.255.128.1"):
        host.run(["ip", "address", "add", source, "dev", "lo"])

        found = is_received(cell, host, target, DISCOVERY, source=source)

        host.run(["ip", "address", "del", source, "dev", "lo"])
        assert not found


def test_what_is_dropped_is_not_answered(running: Deployment, cell: Node) -> None:
    server = running.world.nodes["server"]
    public = str(cell.station.public)
    with server.capture("wan", f"icmp and src {public}") as answers:
        # Neither has a listener: only one is to send an error.
        for port in (DISCOVERY, OTHER):
            knock(server, public, port)
        await_true(answers.packets, "the other port is reported as closed")
        pause(0.3)

    assert [f"udp port {OTHER} unreachable" in each for each in answers.packets()] == [True]


@pytest.fixture
def alone(running: Deployment, cell: Node) -> Iterator[Node]:
    """The cell, with no path to any other."""
    for other in running.cells:
        if other is not cell:
            running.world.cut(cell.name, other.name)
    await_true(lambda: not bgp_routes(cell), "no path is up")
    yield cell
    restore(running)


@pytest.mark.feature("G28")
def test_what_is_sent_to_nodes_without_a_path_is_lost_without_an_error_or_a_leak(
    running: Deployment, alone: Node
) -> None:
    own = node_addresses(alone)[0]
    targets = [str(node_addresses(running.world.nodes["relay"])[0]), str(own + 77)]

    with wiretaps(running, [alone]) as leaks:
        errors = [knock(alone, target, DISCOVERY, source=str(own)) for target in targets]
        errors += [knock(alone, target, DISCOVERY) for target in targets]
        pause(0.5)
        leaked = leaks()

    assert errors == [None] * 4
    assert leaked == []


@pytest.mark.feature("G28")
def test_a_lan_host_gets_an_error_without_a_path_to_a_node(
    running: Deployment, alone: Node
) -> None:
    host = running.world.nodes["lan-b-host1"]
    target = str(node_addresses(alone)[0] + 77)

    with wiretaps(running, [alone]) as leaks:
        output = host.run(["ping", "-c", "3", "-i", "0.5", "-W", "1", target], check=False).stdout
        leaked = leaks()

    assert re.search(r"(Host|Net) Unreachable", output)
    assert leaked == []


def dropped(cell: Node) -> int:
    """How many packets to the bus a cell has dropped."""
    listed = cell.run(["nft", "list", "chain", "inet", "uno", "bus"]).stdout
    (found,) = re.findall(r"counter packets (\d+) bytes \d+ drop", listed)
    return int(found)
