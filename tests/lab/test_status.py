"""`uno status` and the files of networks, on cells that lose and regain a LAN."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foreign
import pytest
from lan_of_cell import LANS, LOST, lose_lan, networks, regain_lan, status
from watching import (
    address_of,
    await_true,
    note,
    pause,
    uno,
)

from uno.lab.agents import Agent, Agents
from uno.lab.node import Program
from uno.lab.particle_peer import connected, tunnels
from uno.lab.world_layout import Cable

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


ALL = {lan for lans in LANS.values() for lan in lans}


def status_json(agent: Agent) -> dict[str, Any]:
    found = json.loads(status(agent, "--json").stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.feature("F095")
def test_every_node_shows_every_cell_with_lans_links_and_measurements(well: Agents) -> None:
    # All LANs are reached before all links are up, and their losses are counted from then on.
    for agent in well.all:
        await_true(
            lambda a=agent: are_measured(a), f"{agent.name} shows what links lose", within=90
        )
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


def links_work(agent: Agent) -> bool:
    """Whether an agent shows all links up, at both ends."""
    statuses = [cell.status for cell in agent.view().cells]
    return all(status and all(link.works for link in status.links) for status in statuses)


def are_measured(agent: Agent) -> bool:
    """Whether an agent shows all links up, and what each loses."""
    statuses = [cell.status for cell in agent.view().cells if cell.status]
    return links_work(agent) and all(
        link.loss is not None for status in statuses for link in status.links
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is done to a cell's host, or to the switch of its LAN, and what is then named."""

    cell: str
    harm: str
    undo: str
    named: tuple[str, ...]
    at_switch: bool = False


# As on a host where another program keeps them as they are: the agent cannot put them back.
# Read-only first: the agent puts back what it can, and would between two of these commands. The
# parameters are set through another mount.
_FIXED_PARAMETERS = """\
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mkdir -p /run/writable
mount -t proc proc /run/writable
cd /run/writable/sys/net/ipv4
echo 0 >conf/all/rp_filter
echo 1 >conf/uwg-b0/rp_filter
echo 0 >ip_forward
cd /
umount /run/writable
"""

# In each command {port} is the switch's end of the cable to the cell.
AT_ONCE = (
    (
        Cause(
            cell="lan-b",
            harm="ip link set {port} down",
            undo="ip link set {port} up",
            named=("LAN 192.168.2.0/24: lan0 has no carrier",),
            at_switch=True,
        ),
        Cause(
            cell="lan-c",
            harm=f"nft -f - <<'END'\n{foreign.POLICY_DROP}END\n",
            undo="nft delete table inet closed",
            named=("chain through of nftables table inet closed drops packets between ",),
        ),
        Cause(
            cell="lan-d",
            harm=f"nft -f - <<'END'\n{foreign.FIREWALLD}END\n",
            undo="nft delete table inet firewalld",
            named=("chain zone of nftables table inet firewalld rejects packets between ",),
        ),
    ),
    (
        Cause(
            cell="lan-b",
            harm="ip link set lan0 down",
            undo="ip link set lan0 up",
            named=("LAN 192.168.2.0/24: lan0 is down",),
        ),
        Cause(
            cell="lan-c",
            harm="ip rule add iif lan0 priority 9 prohibit",
            undo="ip rule del priority 9",
            named=("LAN 192.168.3.0/24: this host loses packets between lan0 and ",),
        ),
        Cause(
            cell="lan-d",
            harm=_FIXED_PARAMETERS,
            undo="umount /proc/sys",
            named=(
                "net.ipv4.ip_forward is 0: the kernel forwards no IPv4",
                "net.ipv4.conf.uwg-b0.rp_filter is 1: ",
            ),
        ),
    ),
)

NAMED_WITHIN = 5.0


@pytest.mark.feature("G51")
@pytest.mark.feature("G52")
@pytest.mark.parametrize("causes", AT_ONCE, ids=["others", "own"])
def test_what_is_in_the_way_of_a_cell_is_named_everywhere(
    well: Agents, causes: tuple[Cause, ...]
) -> None:
    observer = well.cells["lan-a"]
    expected = [(cause, text) for cause in causes for text in cause.named]
    began, left = {}, list(expected)
    try:
        for cause in causes:
            began[cause] = time.monotonic()
            at(well, cause, cause.harm)
        while left:
            for each in [each for each in left if each[1] in obstacles(observer, each[0].cell)]:
                left.remove(each)
                after = time.monotonic() - began[each[0]]
                note(f"{each[0].cell} named after {after:.1f} s: {each[1]}")
                assert after < NAMED_WITHIN
            assert time.monotonic() < max(began.values()) + NAMED_WITHIN, f"not named: {left}"
            pause(0.05)
        shown = status(observer)
    finally:
        for cause in began:
            at(well, cause, cause.undo)

    assert shown.status == 1
    assert "obstructed" in shown.stdout.splitlines()[0]
    await_true(
        lambda: not any(text in obstacles(observer, cause.cell) for cause, text in expected),
        "nothing is in the way any more",
        within=20,
    )


@pytest.mark.feature("G52")
def test_a_cell_that_lets_no_new_connection_into_its_lan_is_not_reached(well: Agents) -> None:
    observer, cell = well.cells["lan-a"], well.cells["lan-c"].node
    # By their length: what depends on that is not read from rules.
    cell.run(["nft", "-f", "-"], stdin=foreign.NO_NEW)
    try:
        # Have it probe now, and not at the next full minute.
        uno(well.deployment, observer.node, "up")
        after = await_true(
            lambda: networks(observer, "unreachable") == {"192.168.3.0/24"},
            "another cell does not reach the LAN",
            within=30,
        )
    finally:
        cell.run(["nft", "delete", "table", "inet", "no_new"])
    note(f"not reached after {after:.1f} s")
    await_true(lambda: networks(observer, "unreachable") == set(), "it is reached again", within=30)


@pytest.mark.feature("G51")
def test_a_policy_of_docker_that_drops_is_let_through_and_not_in_the_way(well: Agents) -> None:
    agent = well.cells["lan-d"]
    foreign.docker(agent.node)
    try:
        after = await_true(
            lambda: "--comment uno" in agent.node.run(["iptables", "-S", "DOCKER-USER"]).stdout,
            "the agent's rules are in docker's chain",
            within=NAMED_WITHIN,
        )
        await_true(
            lambda: obstacles(agent, "lan-d") == "", "nothing is in the way", within=NAMED_WITHIN
        )
    finally:
        agent.node.run(["nft", "delete table ip filter; delete table ip6 filter"])
    note(f"let through after {after:.1f} s")


def at(well: Agents, cause: Cause, command: str) -> None:
    """Run a command where a cause is."""
    world = well.deployment.world
    cables = [each for each in world.lab.layout.cables if is_lan_of(each, cause.cell)]
    node = world.nodes[cables[0].far_node if cause.at_switch else cause.cell]
    node.run(["sh", "-ec", command.replace("{port}", cables[0].far_interface)])


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


@pytest.mark.feature("F086")
def test_a_phone_that_is_connected_is_online_everywhere_with_its_traffic(well: Agents) -> None:
    world, observers = well.deployment.world, (well.registry, well.cells["lan-d"])
    guest, target = world.nodes["john"], address_of(world.nodes["lan-b-host1"])

    def is_shown() -> bool:
        guest.run(["ping", "-c", "3", "-i", "0.2", "-s", "1000", str(target)], check=False)
        return all(min(traffic_at(each, "relay")) > 5000 for each in observers)

    with connected(guest, tunnels(well.deployment.particle_package(guest))["relay"]):
        await_true(is_shown, "all show what the phone has sent and received", within=90)
        for observer in observers:
            assert "1 particle online at relay" in status(observer).stdout


def traffic_at(observer: Agent, cell: str) -> tuple[int, int]:
    """The octets that a cell's only particle online has received and sent, for an observer."""
    (found,) = [each for each in status_json(observer)["cells"] if each["name"] == cell]
    online = [it for it in found["status"]["particles"] if it["handshake"] < 180]
    return (online[0]["received"], online[0]["sent"]) if online else (0, 0)
