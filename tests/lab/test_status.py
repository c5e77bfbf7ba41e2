"""`uno status` and the files of networks, on cells that lose and regain a LAN."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import foreign
import pytest
from watching import await_true, note, only, pause

from uno.host.command import Completed
from uno.lab.agents import Agent, Agents
from uno.lab.node import Program
from uno.lab.world_layout import Cable

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

LANS = {
    "lan-a": ("192.168.1.0/24",),
    "lan-b": ("192.168.2.0/24",),
    "lan-c": ("192.168.3.0/24", "2001:db8:3::/64"),
    "lan-d": ("192.168.4.0/24",),
    "relay": (),
}
# The LAN that is lost and regained. Its cell's other one is also its way to the Internet.
LOST = "2001:db8:3::/64"
ALL = {lan for lans in LANS.values() for lan in lans}


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, with all LANs in place; and again after the test."""
    living.await_settled(within=120)
    yield living
    regain_lan(living.cells["lan-c"])
    living.await_settled(within=120)


def lose_lan(agent: Agent) -> None:
    """Take the cell's address in `LOST` away; by IPv4 all goes on as it was."""
    agent.node.run(["ip", "-6", "address", "flush", "dev", lan_interface(agent), "to", LOST])


def regain_lan(agent: Agent) -> None:
    agent.node.plug(lan_interface(agent))


def lan_interface(agent: Agent) -> str:
    output = agent.node.run(["ip", "-j", "-4", "address", "show", "to", LANS["lan-c"][0]]).stdout
    return str(only([each for each in json.loads(output) if each])["ifname"])


def status(agent: Agent, *arguments: str) -> Completed:
    argv = [sys.executable, "-m", "uno", "status", "-r", str(agent.root), *arguments]
    return agent.node.run(argv, check=False)


def status_json(agent: Agent) -> dict[str, Any]:
    found = json.loads(status(agent, "--json").stdout)
    assert isinstance(found, dict)
    return found


def networks(agent: Agent, kind: str) -> set[str]:
    path = agent.root / f"networks.{kind}"
    return {line.split()[0] for line in path.read_text().splitlines()}


@pytest.mark.feature("F095")
def test_every_node_shows_every_cell_with_lans_links_and_measurements(well: Agents) -> None:
    for agent in well.all:
        cells = {cell["name"]: cell["status"] for cell in status_json(agent)["cells"]}
        assert set(cells) == set(well.cells)
        for name, state in cells.items():
            assert [lan["network"] for lan in state["lans"]] == [*LANS[name]]
            assert state["links"]
            for link in state["links"]:
                assert link["handshake"] < 180
                assert (link["bgp"], link["bfd"]) == ("Established", "up")
                assert 0 < link["rtt"] < 5000
                assert link["loss"] == 0
            assert all(path["rtt"] for path in state["paths"])


@pytest.mark.parametrize("where", ["registry", "lan-d"])
def test_people_see_it_all_within_80_columns(well: Agents, where: str) -> None:
    agent = {"registry": well.registry, **well.cells}[where]

    found = status(agent)

    lines = found.stdout.splitlines()
    assert found.status == 0
    assert "consistent, routed" in lines[0]
    assert max(map(len, lines)) <= 80
    for name, lans in LANS.items():
        (row,) = [line for line in lines if line.startswith(name) and line.endswith("ok")]
        assert not lans or lans[0] in row


def test_full_packets_pass_through_every_link(well: Agents) -> None:
    def sizes() -> set[int | None]:
        views = [agent.view() for agent in well.cells.values()]
        return {
            link.mtu
            for view in views
            for cell in view.cells
            for link in (cell.status.links if cell.status else ())
        }

    # Each link is tried some seconds after it came up, and the result is reported in the end.
    await_true(lambda: sizes() == {1320}, "every link carries 1320 bytes", within=60)


@pytest.mark.feature("F087")
def test_a_lan_that_is_lost_is_unreachable_everywhere_until_it_is_back(well: Agents) -> None:
    lan_c, others = well.cells["lan-c"], [a for n, a in well.cells.items() if n != "lan-c"]
    assert all(networks(agent, "reachable") == ALL for agent in well.cells.values())
    assert networks(lan_c, "local") == set(LANS["lan-c"])

    lose_lan(lan_c)
    gone = await_true(
        lambda: all(networks(agent, "unreachable") == {LOST} for agent in well.cells.values()),
        "every cell lists the LAN as unreachable",
        within=30,
    )
    await_true(
        lambda: f"lan-c: LAN {LOST} is missing" in status(others[0]).stdout,
        "uno status elsewhere shows it",
        within=30,
    )
    found = status(others[0])
    regain_lan(lan_c)
    back = await_true(
        lambda: all(networks(agent, "unreachable") == set() for agent in well.cells.values()),
        "no cell lists a LAN as unreachable",
        within=60,
    )

    assert found.status == 1
    assert f"lan-a: does not reach {LOST}" in found.stdout.splitlines()
    note(f"networks.unreachable everywhere after {gone:.1f} s, empty again after {back:.1f} s")


@pytest.mark.feature("G52")
def test_what_is_in_the_way_of_a_cell_is_named_everywhere(well: Agents) -> None:
    world, observer = well.deployment.world, well.cells["lan-a"]
    nodes = {name: agent.node for name, agent in well.cells.items()}
    lan_b = only([each for each in world.lab.layout.cables if is_lan_of(each, "lan-b")])
    switch = world.nodes[lan_b.far_node]
    nodes["lan-d"].run(["nft", "-f", "-"], stdin=foreign.FIREWALLD)
    nodes["lan-c"].run(["nft", "-f", "-"], stdin=foreign.POLICY_DROP)
    switch.run(["ip", "link", "set", lan_b.far_interface, "down"])
    began = time.monotonic()
    expected = {
        "lan-b": f"LAN 192.168.2.0/24: {lan_b.interface} has no carrier",
        "lan-c": "chain through of nftables table inet closed drops packets between ",
        "lan-d": "chain zone of nftables table inet firewalld rejects packets between ",
    }
    left = dict(expected)
    try:
        while left:
            for name in [n for n, text in left.items() if text in obstacles(observer, n)]:
                note(f"{name} named after {time.monotonic() - began:.1f} s: {left.pop(name)}")
            assert time.monotonic() < began + 20, f"not named: {left}"
            pause(0.05)
        shown = status(observer)
    finally:
        switch.run(["ip", "link", "set", lan_b.far_interface, "up"])
        nodes["lan-c"].run(["nft", "delete", "table", "inet", "closed"])
        nodes["lan-d"].run(["nft", "delete", "table", "inet", "firewalld"])

    assert shown.status == 1
    assert "obstructed" in shown.stdout.splitlines()[0]
    await_true(
        lambda: not any(obstacles(observer, name) for name in expected),
        "nothing is in the way any more",
        within=20,
    )


def is_lan_of(cable: Cable, cell: str) -> bool:
    return cable.node == cell and cable.far_node != "internet"


def obstacles(observer: Agent, cell: str) -> str:
    """What a cell reports to be in its way, as the agent of another has it."""
    (found,) = [each for each in observer.view().cells if each.name == cell]
    return "\n".join(found.status.obstacles) if found.status else ""


def test_a_watching_client_receives_a_change_when_it_happens(well: Agents) -> None:
    agent = well.cells["lan-b"]
    log = agent.node.directory / "watch.log"
    argv = [sys.executable, "-m", "uno", "status", "-r", str(agent.root), "--watch", "--json"]
    watching: Program = agent.node.start(argv, log=log)
    try:
        await_true(lambda: views(log), "it shows what there is", within=30)
        lose_lan(well.cells["lan-c"])
        took = await_true(
            lambda: not views(log)[-1]["routed"], "it shows that a LAN is gone", within=30
        )
    finally:
        watching.stop()

    note(f"a LAN that is gone was shown elsewhere after {took:.1f} s")
    assert views(log)[0]["routed"]


def test_without_its_agent_a_cell_shows_what_it_can(well: Agents) -> None:
    agent = well.cells["lan-b"]
    agent.stop()
    try:
        found = status(agent)
        as_json = status(agent, "--json")
    finally:
        well.start([agent])

    assert found.status == 1
    assert "no agent runs for lan-b" in found.stderr
    assert "uno agent -r DIR" in found.stderr
    assert "agent: not running" in found.stdout
    assert LANS["lan-b"][0] in found.stdout
    assert "no agent runs" in json.loads(as_json.stdout)["error"]["problems"][0]["what"]


def views(log: Path) -> list[dict[str, Any]]:
    """What a watching command has printed, but for a line that is not whole yet."""
    whole = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in whole if line.startswith("{") and line.endswith("\n")]
