"""Agents come and go, and what they have set up stays; without them, without the registry."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from obstacles import full, read_only
from perturbing import PERTURBATIONS, perturb, share
from supervised import SYSTEMD, supervised
from watching import (
    await_true,
    bgp_peers,
    holds,
    line,
    note,
    only,
    pids,
    power_cut,
    stream,
    unreached,
)

from uno.host import privileges, systemd
from uno.lab.agents import Agents
from uno.lab.deploy import Deployment, in_parallel, uno
from uno.lab.node import Node
from uno.lab.world_layout import Role

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

# Seconds after which what another program has changed is as before.
PUT_BACK_WITHIN = 2.0


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, at rest; and again after the test."""
    living.start()
    living.await_settled()
    yield living
    living.deployment.world.restore_all()
    living.start()
    living.await_settled()


@pytest.mark.feature("F076")
@pytest.mark.feature("F077")
@pytest.mark.feature("F095")
def test_every_agent_has_all_cells_healthy_and_shows_it(well: Agents) -> None:
    for agent in well.all:
        view = agent.view()
        assert {cell.name: cell.id for cell in view.cells} == {
            each.name: each.cell for each in well.cells.values()
        }
        assert view.consistent
        assert view.routed
    for agent in (well.registry, well.cells["lan-d"]):
        done = uno(agent.node, "status", "-r", str(agent.root))
        assert done.status == 0
        assert all(name in done.stdout for name in well.cells)
    assert unreached(well.deployment) == []


@pytest.mark.feature("F080")
@pytest.mark.feature("F084")
@pytest.mark.feature("G51")
def test_each_attribute_that_another_program_changes_is_put_back_at_once(well: Agents) -> None:
    # Few at a time: what is measured is not how busy the machine is. Both have a listen port.
    cells = tuple(well.cells[name].node for name in ("lan-a", "relay"))

    def perturbed(cell: Node) -> list[tuple[float, str]]:
        return [
            (perturb(cell, each, within=PUT_BACK_WITHIN), each.name) for each in share(cells, cell)
        ]

    found = sorted(each for times in in_parallel(perturbed, cells).values() for each in times)

    assert len(found) == len(PERTURBATIONS)
    assert unreached(well.deployment) == []
    note(f"{len(found)} attributes; median {found[len(found) // 2]}; slowest {found[-3:]}")


@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    ("disk", "reason"),
    [
        (lambda node, root: read_only(node, str(root)), "the file system is read-only"),
        (full, "the disk is full"),
    ],
    ids=["read-only", "full"],
)
def test_an_agent_that_cannot_write_its_directory_starts_goes_on_and_reports_it(
    well: Agents, disk: Callable[[Node, Path], AbstractContextManager[None]], reason: str
) -> None:
    agent = well.cells["lan-b"]
    known = agent.root / "networks.known"
    message = f"cannot write {known}: {reason}"

    def problem() -> str:
        view = well.cells["lan-a"].view()
        found = only([each.status for each in view.cells if each.name == "lan-b"])
        return found.problem if found else ""

    agent.stop()
    known.unlink()
    logged = len(agent.log_text())
    with disk(agent.node, agent.root):
        well.start([agent])
        await_true(lambda: message in problem(), "another cell shows the problem", within=15)
        well.await_settled(within=15)
        assert agent.log_text()[logged:].count(message) == 1
        agent.stop()
    well.start([agent])
    gone = await_true(lambda: problem() == "", "the problem is gone", within=15)

    note(f"the problem is gone {gone:.1f} s after the disk can be written")
    assert known.exists()


@pytest.mark.feature("G12")
@pytest.mark.feature("G14")
def test_no_packet_is_lost_while_every_agent_and_the_registry_are_dead(
    well: Agents, request: pytest.FixtureRequest
) -> None:
    deployment, seconds = well.deployment, request.config.getoption("--without-agents")
    hosts = [deployment.world.having(Role.HOST, cell=name)[0] for name in lans(deployment)]
    prober, flows = stream([line(a, b) for a in hosts for b in hosts if a is not b])

    with prober, flows:
        for agent in well.all:
            agent.kill()
        assert holds(lambda: not any(agent.pid for agent in well.all), during=seconds)

    lost = sum(flow.lost for flow in flows.flows.values())
    sent = sum(flow.sent for flow in flows.flows.values())
    note(f"{seconds:g} s without any agent: {lost} of {sent} pings lost")
    assert lost == 0


@pytest.mark.feature("F105")
def test_agents_that_come_back_lose_no_packet_and_change_nothing(well: Agents) -> None:
    deployment = well.deployment
    hosts = [deployment.world.having(Role.HOST, cell=name)[0] for name in lans(deployment)]
    for agent in well.all:
        agent.kill()
    prober, flows = stream([line(a, b) for a in hosts for b in hosts if a is not b])

    with prober, flows:
        well.start()
        took = well.await_settled()

    lost = sum(flow.lost for flow in flows.flows.values())
    note(f"all agents back: all well after {took:.1f} s, {lost} pings lost")
    assert lost == 0


def test_an_agent_that_is_asked_to_end_leaves_the_network_up(well: Agents) -> None:
    deployment = well.deployment
    hosts = [deployment.world.having(Role.HOST, cell=name)[0] for name in lans(deployment)]
    prober, flows = stream([line(a, b) for a in hosts for b in hosts if a is not b])

    with prober, flows:
        statuses = {agent.name: agent.stop() for agent in well.cells.values()}
        assert holds(lambda: not any(agent.pid for agent in well.cells.values()), during=3)

    assert set(statuses.values()) == {0}
    assert sum(flow.lost for flow in flows.flows.values()) == 0


@pytest.mark.feature("G14")
def test_cells_that_boot_without_a_registry_find_each_other(well: Agents) -> None:
    deployment = well.deployment
    well.registry.stop()
    away = deployment.registry_root.rename(deployment.registry_root.with_name("burnt"))
    try:
        for agent in well.cells.values():
            agent.kill()
            power_cut(agent.node)
        assert unreached(deployment, within=0.5) != []

        well.start(well.cells.values())

        assert unreached(deployment, within=60) == []
        cells = well.cells.values()
        took = well.await_views(lambda view: view.routed, agents=cells, within=60)
        note(f"all cells booted without a registry: all routed {took:.1f} s later")
    finally:
        away.rename(deployment.registry_root)


@pytest.mark.feature("G14")
@pytest.mark.parametrize("name", ["lan-a", "lan-b", "lan-d", "relay"])
def test_a_cell_that_boots_alone_without_a_registry_is_back(well: Agents, name: str) -> None:
    well.registry.stop()
    agent = well.cells[name]
    agent.kill()
    power_cut(agent.node)

    well.start([agent])

    assert unreached(well.deployment, within=60) == []
    await_true(
        lambda: (view := agent.view_or_none()) and view.routed, f"{name} sees all", within=60
    )


@pytest.mark.feature("G12")
def test_a_link_that_dies_while_its_neighbour_restarts_routing_is_routed_around(
    well: Agents,
) -> None:
    deployment = well.deployment
    near, far = (well.cells[name].node for name in ("lan-b", "lan-c"))
    assert session(near, far) == "Established"
    far.run(["kill", "-9", str(pids(far)["bgpd"])])
    await_true(lambda: session(near, far) != "Established", "the session is still there")

    deployment.world.cut(near.name, far.name)

    # By itself BGP would wait 120 s for lan-c to come back through this link.
    assert unreached(deployment, within=15) == []


# What shows why a cell without an agent is not reached.
EVIDENCE = """
cd /run/uno/*/frr && tail -n 30 frr.log watchfrr.log; ps -eo pid,ppid,etime,args
for each in 'show bgp summary' 'show bfd peers brief'; do vtysh --vty_socket "$PWD" -c "$each"; done
wg show; ip route; nft list tables
"""


@pytest.mark.feature("G55")
@pytest.mark.skipif(not SYSTEMD.exists(), reason="there is no systemd")
def test_a_cell_whose_unit_is_sandboxed_connects_changes_recovers_and_disconnects(
    well: Agents,
) -> None:
    agent = well.cells["lan-c"]
    node, root = agent.node, agent.root
    agent.stop()
    uno(node, "service", "down", "--forget", "-r", str(root))
    words = {"program": (sys.executable, "-m", "uno"), "name": "lan-c"}
    reads = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2])
    units = {
        "uvn-agent.service": systemd.agent_unit(root, reads=reads, **words),
        "uvn-once.service": systemd.unit(root, reads=reads, **words),
    }

    with supervised(node, units, log=agent.log) as host:
        host.run("systemctl", "start", "uvn-agent")
        status = host.status("uvn-agent")
        granted = sum(1 << each for each in privileges.OF_CELL)
        assert {status["CapBnd"], status["CapPrm"]} == {f"{granted:016x}"}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        well.await_settled(within=120)
        assert unreached(well.deployment, within=60) == []

        # Its tunnels and sessions are replaced.
        well.deployment.registry("rekey", "backbone")
        well.sync("-t", "90")
        well.await_settled(within=120)

        bgpd = pids(node)["bgpd"]
        host.run("kill", "-9", str(bgpd))
        await_true(lambda: pids(node).get("bgpd", bgpd) != bgpd, "FRR is back", within=60)
        assert unreached(well.deployment, within=60) == []

        host.run("systemctl", "stop", "uvn-agent")
        assert unreached(well.deployment, within=60) == [], host.run("sh", "-c", EVIDENCE).stdout
        host.run(sys.executable, "-m", "uno", "service", "down", "--forget", "-r", str(root))

        host.run("systemctl", "start", "uvn-once")
        assert unreached(well.deployment, within=60) == []
        host.run("systemctl", "stop", "uvn-once")
        assert node.run(["ip", "-o", "link"]).stdout.count("uwg-") == 0
        assert not list(node.directory.glob("run/uno/*/frr"))


def lans(deployment: Deployment) -> list[str]:
    """The cells that have a LAN."""
    return sorted({host.station.cell for host in deployment.world.having(Role.HOST)})


def session(cell: Node, neighbor: Node) -> str:
    """The state of a cell's BGP session with another."""
    peers = bgp_peers(cell).values()
    return str(only([each["state"] for each in peers if neighbor.name in each["desc"]]))
