"""Every host reaches every other as itself, in both IP versions, along all equal paths."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import causes
import pytest
from watching import (
    address_of,
    await_healthy,
    await_same,
    await_true,
    node_addresses,
    note,
    pause,
    snapshot,
    tables_at_rest,
)

from uno.lab import deploy, netns
from uno.lab.agents import agents_of
from uno.lab.carrier import carrier
from uno.lab.deploy import Deployment
from uno.lab.evidence import lan_pairs, pair_results
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.transfer import transfers
from uno.lab.world_layout import Role

pytestmark = [pytest.mark.lab, pytest.mark.alone]

# Seconds that a path may be dead; the default timing takes a bit less than one.
FAILOVER = 2.5


@pytest.fixture(scope="module")
def four_sites_spec(ring_spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ring without a root VPN: cells have their packages, and nothing else."""
    path = tmp_path_factory.mktemp("static") / "uvn.yml"
    path.write_text(f"{ring_spec.read_text()}  enable_root_vpn: false\n")
    return path


@pytest.fixture(scope="module", autouse=True)
def _settled(running: Deployment) -> None:
    await_healthy(running)
    tables_at_rest(running.cells)


@pytest.mark.feature("F001")
@pytest.mark.feature("F002")
@pytest.mark.feature("F003")
@pytest.mark.feature("F004")
@pytest.mark.feature("F006")
@pytest.mark.feature("F009")
@pytest.mark.feature("F015")
@pytest.mark.feature("F043")
@pytest.mark.feature("F094")
@pytest.mark.feature("G32")
def test_every_lan_host_reaches_every_other_as_itself_in_both_ip_versions(
    running: Deployment,
) -> None:
    pairs = lan_pairs(running.world)
    paths = [pair.path for pair in pairs]

    with PingMatrix(paths) as prober:
        reached = prober.reach(within=10)
    carried = transfers(paths, servers={pair.target.namespace for pair in pairs})

    found = pair_results(pairs, reached, carried, source_kept=True)
    assert [sum(pair.version == version for pair in pairs) for version in (4, 6)] == [48, 24]
    assert [result for result in found if result.fault] == []


@pytest.mark.feature("F043")
def test_without_a_root_vpn_nothing_is_there_for_it_and_sync_names_the_way(
    running: Deployment,
) -> None:
    for cell in running.cells:
        names = cell.run(["wg", "show", "interfaces"]).stdout.split()
        assert {name.rstrip("0123456789") for name in names} <= {"uwg-b", "uwg-p"}
        assert cell.run(["ss", "-lunH", "sport = :63447 or sport = :63448"]).stdout == ""
    refused = deploy.uno(
        running.world.registry, "sync", "-r", str(running.registry_root), check=False
    )
    assert refused.status == 2
    assert "no root VPN" in refused.stderr
    assert "to the cells by hand" in refused.stderr


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_in_a_ring_without_agents(running: Deployment) -> None:
    causes.await_nothing_wrong(agents_of(running).cells.values())


@pytest.mark.feature("F002")
@pytest.mark.feature("G32")
def test_every_lan_host_reaches_the_addresses_of_every_cell(running: Deployment) -> None:
    world = running.world
    targets = [each for cell in running.cells for each in node_addresses(cell)]
    paths = [
        PingPath(host.namespace, target)
        for host in world.having(Role.HOST)
        for target in targets
        if host.address(target.version)
    ]

    with PingMatrix(paths) as prober:
        reached = prober.reach(within=10)

    assert len(targets) == 10
    assert reached.missing == ()


@pytest.mark.feature("F004")
def test_every_cell_reaches_every_lan_host_and_is_answered(running: Deployment) -> None:
    hosts = running.world.having(Role.HOST)
    paths = [
        PingPath(cell.namespace, address_of(host, version))
        for cell in running.cells
        for host in hosts
        for version in (4, 6)
        if host.address(version)
    ]

    with PingMatrix(paths) as prober:
        reached = prober.reach(within=10)

    assert len(paths) == 5 * (8 + 6)
    assert reached.missing == ()


@pytest.mark.feature("G15")
@pytest.mark.parametrize("lan", ["192.168.3.0/24", "2001:db8:3::/64"])
def test_two_equal_paths_are_both_in_the_kernel(running: Deployment, lan: str) -> None:
    cell = running.world.nodes["lan-a"]

    await_true(lambda: len(links_to(cell, lan)) == 2, f"two ways to {lan}")

    assert len(set(links_to(cell, lan))) == 2


@pytest.mark.feature("G15")
def test_flows_are_spread_over_equal_paths(running: Deployment) -> None:
    cell = running.world.nodes["lan-a"]
    source, target = running.world.nodes["lan-a-host1"], running.world.nodes["lan-c-host1"]
    links = links_to(cell, "192.168.3.0/24")

    with ExitStack() as stack:
        seen = [stack.enter_context(cell.capture(each, "udp port 7100")) for each in links]
        flows = [stack.enter_context(udp_from(source, 20000 + number)) for number in range(64)]

        def ports() -> list[set[str]]:
            return [set(re.findall(r"\.(20\d{3}) > ", "".join(c.packets()))) for c in seen]

        def all_seen() -> bool:
            for flow in flows:
                with suppress(OSError):
                    flow.sendto(b"one of many", (str(address_of(target)), 7100))
            pause(0.1)
            return len(set.union(*ports())) == len(flows)

        await_true(all_seen, "every flow is seen on a link")

    shares = [len(each) for each in ports()]
    assert len(shares) == 2
    assert sum(shares) == len(flows)
    assert min(shares) >= 8


@pytest.mark.feature("G10")
def test_a_dead_link_is_routed_around(running: Deployment) -> None:
    world = running.world
    source, target = world.nodes["lan-a-host1"], world.nodes["lan-b-host1"]
    path = PingPath(source.namespace, address_of(target))
    found = carrier(world, world.nodes["lan-a"], path.target)

    with PingMatrix([path]) as prober, prober.stream(rate=100) as stream:
        pause(0.5)
        found.cut(world)
        pause(FAILOVER + 0.5)

    note(f"dead link: longest gap {stream.flows[path].longest_gap:.2f} s")
    assert 0.1 < stream.flows[path].longest_gap < FAILOVER
    found.restore(world)
    await_all_ways(running)


@pytest.mark.feature("G10")
def test_a_dead_cell_is_routed_around_and_comes_back_by_up_alone(running: Deployment) -> None:
    world = running.world
    dead = world.nodes["relay"]
    ends = world.nodes["lan-a-host1"], world.nodes["lan-c-host1"]
    paths = [PingPath(ends[i].namespace, address_of(ends[1 - i])) for i in (0, 1)]

    with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
        pause(0.5)
        dead.kill()
        pause(FAILOVER + 0.5)

    gaps = [stream.flows[path].longest_gap for path in paths]
    note(f"dead cell: longest gaps {gaps[0]:.2f} s, {gaps[1]:.2f} s")
    assert max(gaps) < FAILOVER
    running.up([dead])
    await_all_ways(running)


@pytest.mark.feature("F079")
def test_a_lan_that_is_unplugged_is_announced_no_more_until_it_is_back(
    running: Deployment,
) -> None:
    cell, other = running.world.nodes["lan-c"], running.world.nodes["lan-b"]
    before = snapshot(other, ROUTES)

    cell.unplug("lan0")
    gone = await_true(lambda: not links_to(other, "192.168.3.0/24"), "lan-b forgets the LAN")
    cell.plug("lan0")
    back = await_same(before, lambda: snapshot(other, ROUTES), "lan-b knows it again", within=20)

    note(f"LAN unplugged: withdrawn after {gone:.2f} s, back after {back:.2f} s")


ROUTES = {
    "routes": "ip -o route show proto bgp | sed 's/nhid [0-9]*//' | sort",
    "routes6": "ip -6 -o route show proto bgp | sed 's/nhid [0-9]*//' | sort",
}


def await_all_ways(running: Deployment) -> None:
    """Wait until the ring is whole again: every cell has two ways to the one across."""
    nodes = running.world.nodes
    ways = [("lan-a", lan) for lan in ("192.168.3.0/24", "2001:db8:3::/64")]
    ways += [("relay", "192.168.2.0/24"), ("lan-c", "192.168.1.0/24")]
    ways += [("lan-c", "2001:db8:4::/64"), ("lan-b", str(node_addresses(nodes["relay"])[0]))]

    def lacking() -> list[tuple[str, str]]:
        return [(name, lan) for name, lan in ways if len(links_to(nodes[name], lan)) < 2]

    await_true(lambda: not lacking(), "two ways across the ring", within=30)


def links_to(cell: Node, prefix: str) -> list[str]:
    """The interfaces through which a cell sends to a prefix."""
    family = "-6" if ":" in prefix else "-4"
    shown = cell.run(["ip", family, "-j", "route", "show", prefix, "proto", "bgp"]).stdout
    routes = json.loads(shown or "[]")
    return sorted(hop["dev"] for each in routes for hop in each.get("nexthops", [each]))


def udp_from(node: Node, port: int) -> socket.socket:
    made = netns.socket_in(node.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("", port))
    return made
