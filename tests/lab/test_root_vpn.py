"""The registry and the cells over the root VPN; a registry and a cell on one host."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import causes
import pytest
from knocking import is_received, knock
from root_side import drop_root, raise_root
from watching import (
    KERNEL,
    await_healthy,
    await_same,
    await_true,
    differences,
    node_addresses,
    snapshot,
)

from uno.lab.agents import agents_of
from uno.lab.arrange import arrange
from uno.lab.deploy import Deployment
from uno.lab.node import Node
from uno.lab.world import World, temporary_world
from uno.model.uvn import Uvn
from uno.ports.bus import CELL_INDEX, REGISTRY_INDEX, ports

pytestmark = pytest.mark.lab

REGISTRY4 = "10.255.128.1"
# A neighbour behind NAT is seen at another port now and then.
HOST = {name: command for name, command in KERNEL.items() if name != "wireguard"}
ROOT, BUS = ports(46, REGISTRY_INDEX)[0], ports(46, CELL_INDEX)[0]


@pytest.fixture(scope="module", params=["apart", "on a cell's host"])
def four_sites_spec(
    request: pytest.FixtureRequest, example: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Four sites whose registry has a host of its own, or shares that of lan-b."""
    if request.param == "apart":
        return example
    text = example.read_text()
    assert "address: registry.example.net" in text
    path = tmp_path_factory.mktemp("shared") / "uvn.yml"
    path.write_text(text.replace("registry.example.net", "b.example.net"))
    return path


@pytest.fixture(scope="module")
def world(four_sites: Uvn) -> Iterator[World]:
    with temporary_world(arrange(four_sites)) as built:
        yield built


@dataclass(frozen=True, kw_only=True)
class Rooted:
    """Four sites that run, the registry on its root VPN, and its host as it was before."""

    running: Deployment
    before: dict[str, str]

    @property
    def registry(self) -> Node:
        return self.running.world.registry

    def raised(self, *, without: int | None = None) -> list[str]:
        return raise_root(self.registry, self.running.registry_root, without=without)


@pytest.fixture(scope="module")
def rooted(running: Deployment) -> Rooted:
    await_healthy(running)
    made = Rooted(running=running, before=snapshot(running.world.registry, HOST))
    assert made.raised() == ["replace the firewall table", "create interface uwg-v1"]
    return made


@pytest.mark.feature("F090")
@pytest.mark.feature("F096")
def test_the_registry_reaches_every_cell_and_every_cell_the_registry(rooted: Rooted) -> None:
    """Public cells are called at 63448; lan-d calls the registry at 63447."""
    registry = rooted.registry
    for cell in rooted.running.cells:
        own = str(node_addresses(cell)[0])

        await_true(partial(pings, registry, REGISTRY4, own), own, within=60)

        assert pings(cell, own, REGISTRY4)
        assert is_received(registry, cell, REGISTRY4, ROOT, source=own, tcp=True)
        assert is_received(cell, registry, own, BUS, source=REGISTRY4, tcp=True)


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_where_the_root_vpn_is_up(rooted: Rooted) -> None:
    causes.await_nothing_wrong(agents_of(rooted.running).cells.values())


def test_nothing_but_the_bus_and_pings_is_received_from_cells(rooted: Rooted) -> None:
    registry = rooted.registry
    for name in ("lan-a", "lan-d"):
        cell = rooted.running.world.nodes[name]
        own = str(node_addresses(cell)[0])
        for port in (7777, BUS, 22):
            tcp = port != 7777
            assert not is_received(registry, cell, REGISTRY4, port, source=own, tcp=tcp)


@pytest.mark.feature("G53")
def test_the_internet_reaches_neither_the_registrys_bus_nor_its_own_address(
    rooted: Rooted,
) -> None:
    registry, nodes = rooted.registry, rooted.running.world.nodes
    public, via = str(registry.station.public), ["via", str(registry.station.public)]
    nodes["internet"].run(["ip", "route", "add", REGISTRY4, *via])
    # Nothing that the registry's own address sends leaves in clear text, so no call is answered.
    ways = ((public, ROOT, True), (REGISTRY4, ROOT, False), (REGISTRY4, 7777, False))
    try:
        for target, port, tcp in ways:
            assert not is_received(registry, nodes["server"], target, port, tcp=tcp)
        assert is_received(registry, nodes["server"], public, 7777)

        # The counter-proof: without the rules it does.
        registry.run(["nft", "flush", "chain", "inet", "uno_registry", "input"])
        for target, port, tcp in ways:
            assert is_received(registry, nodes["server"], target, port, tcp=tcp)
    finally:
        nodes["internet"].run(["ip", "route", "del", REGISTRY4, *via])
        assert rooted.raised() == ["replace the firewall table"]


def test_cells_do_not_reach_each_other_through_the_registry(rooted: Rooted) -> None:
    cell, other = rooted.running.world.nodes["lan-a"], rooted.running.world.nodes["lan-c"]
    target = str(node_addresses(other)[0])
    # As a cell whose host has been taken over would try it.
    cell.run(["wg", "set", "uwg-v0", "peer", root_key(cell), "allowed-ips", "0.0.0.0/0"])
    cell.run(["nft", "delete", "table", "inet", "uno"])
    cell.run(["ip", "route", "add", target, "dev", "uwg-v0", "metric", "1"])
    own = str(node_addresses(cell)[0])
    answered: list[bool] = []

    def tried() -> int:
        answered.append(pings(cell, own, target))
        return asked(capture.packets())

    try:
        with rooted.registry.capture("uwg-v1", f"icmp and dst {target}") as capture:
            await_true(tried, "pings come as far as the registry", within=60)
            seen = capture.packets()
    finally:
        cell.run(["ip", "route", "del", target, "dev", "uwg-v0", "metric", "1"])
        rooted.running.up([cell])

    assert not any(answered)
    assert len(seen) == asked(seen)


def test_a_second_time_nothing_is_to_do(rooted: Rooted) -> None:
    registry = rooted.registry
    before = snapshot(registry, HOST)

    assert rooted.raised() == []
    assert differences(before, snapshot(registry, HOST)) == []


def test_a_cell_on_the_registrys_host_is_well_and_has_nothing_to_do(rooted: Rooted) -> None:
    output = [rooted.running.service(cell, "up").stdout for cell in rooted.running.cells]

    assert [each for each in output if ", no change;" not in each] == []


@pytest.mark.feature("G28")
def test_what_the_registry_sends_to_cells_is_never_in_clear_text(rooted: Rooted) -> None:
    registry = rooted.registry
    unused = "10.255.131.77"
    with registry.capture("wan", f"net 10.255.128.0/22 or host {unused}") as capture:
        for target in (unused, *(str(node_addresses(cell)[0]) for cell in rooted.running.cells)):
            knock(registry, target, BUS, source=REGISTRY4)
        registry.run(["ip", "link", "set", "uwg-v1", "down"])
        knock(registry, unused, BUS, source=REGISTRY4)
        registry.run(["ip", "link", "set", "uwg-v1", "up"])

    rooted.raised()
    assert capture.packets() == ()


def test_an_interface_whose_process_died_is_made_again(rooted: Rooted) -> None:
    registry, cell = rooted.registry, rooted.running.world.nodes["lan-a"]
    kill_wireguard(registry, "uwg-v1")

    did = rooted.raised()

    own = str(node_addresses(cell)[0])
    assert did == ["create interface uwg-v1"]
    await_true(lambda: pings(registry, REGISTRY4, own), "lan-a is reached again", within=60)
    assert rooted.raised() == []


def test_a_cell_that_is_no_peer_any_more_does_not_reach_the_registry(rooted: Rooted) -> None:
    registry, cell = rooted.registry, rooted.running.world.nodes["lan-d"]
    own = str(node_addresses(cell)[0])
    await_true(lambda: pings(cell, own, REGISTRY4), "it does before", within=60)

    did = rooted.raised(without=4)

    assert did == ["configure interface uwg-v1"]
    assert not pings(cell, own, REGISTRY4)
    assert not is_received(registry, cell, REGISTRY4, ROOT, source=own, tcp=True)


def test_it_goes_without_a_trace_and_leaves_the_cell_beside_it_alone(rooted: Rooted) -> None:
    drop_root(rooted.registry, rooted.running.registry_root)

    await_same(
        rooted.before, lambda: snapshot(rooted.registry, HOST), "all is as it was", within=20
    )
    rooted.raised()


def root_key(cell: Node) -> str:
    return cell.run(["wg", "show", "uwg-v0", "peers"]).stdout.strip()


def asked(packets: tuple[str, ...]) -> int:
    return sum("ICMP echo request" in each for each in packets)


def pings(node: Node, source: str, target: str) -> bool:
    """Whether an address answers a ping from another."""
    return node.run(["ping", "-c1", "-W1", "-I", source, target], check=False).status == 0


def kill_wireguard(node: Node, interface: str) -> None:
    """Kill the process behind an interface, which leaves its socket behind."""
    output = node.run(["ps", "ax", "-o", "pid=,args="]).stdout
    pids = re.findall(rf"^ *(\d+) .*wireguard-go .*{interface}$", output, re.MULTILINE)
    assert pids
    for pid in pids:
        node.run(["kill", f"-{signal.SIGKILL}", pid])
    await_true(
        lambda: node.run(["ip", "link", "show", interface], check=False).status, "it is gone"
    )
