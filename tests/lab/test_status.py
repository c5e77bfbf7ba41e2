"""`uno status` and the files of networks, on cells that lose and regain a LAN."""

from __future__ import annotations

import json
import re
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import causes
import foreign
import pytest
from pages import (
    cells_on_map,
    chromium_on,
    chromiums,
    listened_on,
    logged_in,
    page_addresses,
    pages_read,
    shown_at,
    time_of_day,
)
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError
from watching import (
    address_of,
    await_true,
    holds,
    node_addresses,
    note,
    only,
    pause,
    power_cut,
    uno,
)

from uno import program, web
from uno.host.command import Completed
from uno.lab import deploy
from uno.lab.agents import Agent, Agents
from uno.lab.deploy import in_parallel
from uno.lab.node import Node, Program, as_on_a_stock_host
from uno.lab.particle_peer import connected, tunnels
from uno.lab.world_layout import Cable, Role

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


@pytest.fixture
def authority(well: Agents, tmp_path: Path) -> Path:
    """The certificate that readers of the pages trust."""
    path = tmp_path / "root.pem"
    path.write_text(well.deployment.registry("show", "ca").stdout)
    return path


def lose_lan(agent: Agent) -> None:
    """Take the cell's address in `LOST` away; by IPv4 all goes on as it was."""
    agent.node.run(["ip", "-6", "address", "flush", "dev", lan_interface(agent), "to", LOST])


def regain_lan(agent: Agent) -> None:
    agent.node.plug(lan_interface(agent))


def lan_interface(agent: Agent) -> str:
    output = agent.node.run(["ip", "-j", "-4", "address", "show", "to", LANS["lan-c"][0]]).stdout
    return str(only([each for each in json.loads(output) if each])["ifname"])


def status(agent: Agent, *arguments: str) -> Completed:
    words = ("status", "-r", str(agent.root), *arguments)
    return deploy.uno(agent.node, *words, timeout=60, check=False)


def status_json(agent: Agent) -> dict[str, Any]:
    found = json.loads(status(agent, "--json").stdout)
    assert isinstance(found, dict)
    return found


def networks(agent: Agent, kind: str) -> set[str]:
    path = agent.root / f"networks.{kind}"
    return {line.split()[0] for line in path.read_text().splitlines()}


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


@pytest.mark.feature("G42")
def test_doctor_and_explain_find_nothing_wrong_where_all_is_well(well: Agents) -> None:
    causes.await_nothing_wrong(well.all)

    for observer in (well.registry, well.cells["lan-a"]):
        shown = causes.explained(observer, "lan-d", LOST)
        assert shown["reaches"] is True
        assert (shown["forth"]["cause"], shown["back"]["cause"]) == (None, None)


@pytest.mark.feature("G42")
def test_doctor_names_each_fault_of_a_host_and_nothing_else(well: Agents) -> None:
    world, pair = well.deployment.world, (well.cells["lan-b"], well.cells["lan-c"])
    for agent in pair:
        agent.stop()
    try:
        for faults in (*causes.ROUNDS, *((each,) for each in causes.ALONE)):
            with ExitStack() as made:
                for agent, fault in zip(pair, faults, strict=False):
                    made.enter_context(fault.make(world, agent))
                await_named(
                    *((it, each.check, each.named) for it, each in zip(pair, faults, strict=False))
                )
                if faults[0].name == "wrong key":
                    shown = causes.explained(pair[0], "lan-b", "lan-a")
                    assert faults[0].named in str(shown["forth"])
        causes.await_nothing_wrong(pair)
        causes.kill_routing(pair[0].node)
        await_named((pair[0], "routing", "FRR does not run"))
    finally:
        well.start(pair)


@pytest.mark.feature("G42")
def test_doctor_names_what_an_agent_cannot_mend(well: Agents) -> None:
    world, lan_a, lan_c, lan_d = well.deployment.world, *(well.cells[f"lan-{it}"] for it in "acd")
    with causes.without_route_back(world, lan_d):
        await_named((lan_d, "route-back", "192.168.4.1 answers this cell, and no other site"))
        shown = causes.explained(lan_d, "192.168.1.7", "192.168.4.1")
        assert "the LAN's router has no route back" in shown["forth"]["cause"]["what"]

    with causes.led_elsewhere(lan_d, "a.example.net", interface="uwg-b0"):
        await_named((lan_d, "links", f"the interface sends to {causes.NOBODY}:"))
        await_cause((lan_d,), ("192.168.4.1", "192.168.1.7"), "uwg-b0: lan-a has never")
    well.await_settled(within=120)

    lan_c.kill()
    try:
        await_named((lan_c, "agent", "the agent has ended"))
    finally:
        well.start([lan_c])

    # A port that is not forwarded, since the link to lan-d was made.
    world.cut("lan-d", "lan-a")
    try:
        (link,) = [it for it in causes.links(lan_a) if it["cell"] == lan_d.cell]
        lan_a.node.run(["ip", "link", "del", link["interface"]])
        named = "nothing has ever arrived from lan-d at UDP port"
        await_named((lan_a, "port-forwarding", named))
        shown = causes.explained(lan_a, "192.168.1.7", "192.168.4.7")
        assert shown["reaches"] is False
        assert "lan-d" in shown["forth"]["cause"]["what"]
    finally:
        world.restore("lan-d", "lan-a")


@pytest.mark.feature("G42")
def test_explain_names_the_first_cause_wherever_it_is(well: Agents) -> None:
    world, observers = well.deployment.world, (well.registry, well.cells["lan-a"])
    lan_c = well.cells["lan-c"]
    v4, v6 = LANS["lan-c"]
    (firewall,) = [it for faults in causes.ROUNDS for it in faults if it.name == "firewall"]

    lose_lan(lan_c)
    await_cause(observers, ("lan-a", v6), f"LAN {v6} is missing")
    regain_lan(lan_c)
    with firewall.make(world, lan_c):
        await_cause(observers, ("192.168.1.7", v4), "lan-c: chain through of nftables table")
    world.cut("lan-a", "lan-c")
    try:
        await_true(
            lambda: all(
                (shown := causes.explained(it, "192.168.1.7", v4))["reaches"] is True
                and "not by the planned path" in str(shown["forth"]["remarks"])
                for it in observers
            ),
            "the way around is shown",
            within=60,
        )
    finally:
        world.restore("lan-a", "lan-c")
    lan_c.kill()
    try:
        shown = causes.explained(observers[1], "192.168.1.7", v4)
        assert shown["forth"]["cause"] is None
    finally:
        well.start([lan_c])


@pytest.mark.feature("G42")
def test_doctor_names_a_ban_that_no_cell_has_and_explain_what_is_banned(well: Agents) -> None:
    registry = well.deployment.registry
    registry("ban", "particle", "jane", "-y")
    try:
        await_named((well.registry, "released", "ban of particle jane"))
        shown = causes.explained(well.registry, "192.168.1.7", "jane")
        assert shown["forth"]["cause"]["what"] == "particle jane is banned"
    finally:
        registry("unban", "particle", "jane", "-y")
        assert well.sync("-t", "120").status == 0


@pytest.mark.feature("G42")
def test_doctor_and_explain_name_a_cell_that_runs_another_generation(well: Agents) -> None:
    """It was away during the change, and cannot have it now: its host is in no such LAN."""
    world, lan_d, config = well.deployment.world, well.cells["lan-d"], well.deployment.registry
    observers, lan = (well.registry, well.cells["lan-a"]), "192.168.44.0/24"
    for peer in ("lan-a", "registry"):
        world.cut("lan-d", peer)
    try:
        await_true(lambda: not in_contact(well.registry, "lan-d"), "lan-d is away", within=120)
        config("config", "cell", "lan-d", "-U", "--add-network", lan, "-y")
        well.sync("-C", "-t", "2", check=False)
        others = [agent for name, agent in well.cells.items() if name != "lan-d"]
        await_true(
            lambda: all(lan in networks(each, "known") for each in others),
            "the others have the change",
            within=120,
        )
    finally:
        for peer in ("lan-a", "registry"):
            world.restore("lan-d", peer)
    try:
        named = "refused, the host of lan-d has no interface in 192.168.44.0/24"
        await_named((lan_d, "package", named), (well.registry, "cells", named))
        await_cause(observers, ("192.168.1.7", "192.168.44.7"), named)
    finally:
        config("config", "cell", "lan-d", "-U", "--remove-network", lan, "-y")
        assert well.sync("-t", "120").status == 0


def in_contact(observer: Agent, cell: str) -> bool:
    """Whether the agent of a node has contact with a cell."""
    return bool(only([each for each in observer.view().cells if each.name == cell]).alive)


@pytest.mark.alone
@pytest.mark.feature("G42")
def test_doctor_takes_less_than_two_seconds_of_a_processor(well: Agents) -> None:
    # With waits of at most half a second at the same time: less than two seconds for its user.
    # A child of this process, so that its time is counted here.
    agent = well.cells["lan-a"]
    argv = as_on_a_stock_host(program.argv("doctor", "-r", str(agent.root)))
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        assert agent.node.run(argv, timeout=60).status == 0
        wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        note(f"uno doctor took {wall:.2f} s, {took[-1]:.2f} s of a processor")
    assert min(took) < 2


@pytest.mark.feature("G50")
def test_people_are_notified_once_of_a_lan_that_is_lost_and_found_by_every_protocol(
    well: Agents, tmp_path: Path
) -> None:
    config, world = well.deployment.registry, well.deployment.world
    lan_c = well.cells["lan-c"]
    receiver, relay = well.cells["lan-a"].node, well.cells["relay"].node
    inbox, other = tmp_path / "inbox", tmp_path / "other"
    targets = (
        "http://127.0.0.1:8001/hook?secret=s3cret",
        "ntfy+http://127.0.0.1:8001/alerts?token=tk",
        "gotify+http://127.0.0.1:8001/gotify?token=app",
        "slack+http://127.0.0.1:8001/services/x",
        "matrix+http://127.0.0.1:8001/!room:example.org?token=m",
        "smtp://127.0.0.1:8002/?tls=off&from=uno@example.org&to=me@example.org",
    )
    servers = [
        node.start([sys.executable, RECEIVERS, str(path), "8001", "8002"])
        for node, path in ((receiver, inbox), (relay, other))
    ]
    try:
        words = [word for url in targets for word in ("--notify", url)]
        words += ["--notify-via", "lan-a", "--notify-via", "relay", "--notify-hold", "4"]
        words += ["--notify-heartbeat", "http://127.0.0.1:8001/beat"]
        config("config", "uvn", "-U", *words, "-y")
        well.sync("-t", "120")
        await_true(lambda: "/beat" in paths_of(inbox), "the heartbeat is fetched", within=90)
        tested = deploy.uno(receiver, "notify", "test", "-r", str(well.cells["lan-a"].root))
        assert tested.stdout.count("sent") == len(targets) + 1
        inbox.write_text("")

        # Whoever works on a cell mutes it.
        muting = ("-r", str(lan_c.root))
        deploy.uno(lan_c.node, "notify", "mute", "--for", "2h", *muting)
        lose_lan(lan_c)
        await_true(lambda: is_muted_without_its_lan(well), "lan-a has both", within=120)

        # Each half of a network that is split notifies of the other.
        for one in ("relay", "lan-b"):
            for peer in ("lan-a", "lan-c", "lan-d", "registry"):
                world.cut(one, peer)
        for path, lost in ((inbox, "relay"), (other, "lan-a")):
            named = f"{lost}: no contact"
            await_true(lambda it=path, of=named: notices(it, of), named, within=120)
        assert notices(inbox, LOST) == [], "what was wrong before, in the cell that is muted"
        world.restore_all()

        deploy.uno(lan_c.node, "notify", "unmute", *muting)
        await_true(lambda: len(notices(inbox, LOST)) == 6, "the loss is sent to all", within=120)
        assert {*notices(inbox, LOST)} == {"MAIL", *PATHS}
        regain_lan(lan_c)
        await_true(lambda: len(notices(inbox, LOST)) == 12, "its end is sent to all", within=120)
        assert "works again" in inbox.read_text().splitlines()[-1]
        assert holds(lambda: len(notices(inbox, LOST)) == 12, during=2), "nobody is notified twice"
        assert notices(other, LOST) == []
    finally:
        world.restore_all()
        for server in servers:
            server.stop()
        regain_lan(lan_c)
        config("config", "uvn", "-U", "--no-notify", "-y")
        well.sync("-t", "120")


@pytest.mark.feature("G50")
def test_nobody_is_notified_of_a_blip_once_of_many_and_a_dead_sender_fetches_no_heartbeat(
    well: Agents, tmp_path: Path
) -> None:
    config, names = well.deployment.registry, ("lan-a", "relay")
    inbox, other = tmp_path / "inbox", tmp_path / "other"
    servers = [
        well.cells[name].node.start([sys.executable, RECEIVERS, str(path), "8001", "8002"])
        for name, path in zip(names, (inbox, other), strict=True)
    ]
    try:
        words = ["--notify", "http://127.0.0.1:8001/hook", "--notify-hold", "20"]
        words += ["--notify-heartbeat", "http://127.0.0.1:8001/beat"]
        words += [word for name in names for word in ("--notify-via", name)]
        config("config", "uvn", "-U", *words, "-y")
        well.sync("-t", "120")
        await_true(lambda: "/beat" in paths_of(inbox), "the heartbeat is fetched", within=90)

        blip(well)
        assert holds(lambda: notices(inbox) == [], during=6), "a blip is not sent"
        for _ in range(8):
            if notices(inbox):
                break
            blip(well)
        await_true(lambda: notices(inbox), "many are", within=10)
        assert "comes and goes" in inbox.read_text()
        blip(well)
        assert holds(lambda: len(notices(inbox)) == 1, during=6), "many are sent once"

        assert paths_of(other) == []
        well.cells["lan-a"].kill()
        inbox.write_text("")
        try:
            await_true(lambda: "/beat" in paths_of(other), "the next one fetches it", within=90)
            assert paths_of(inbox) == []
        finally:
            well.start([well.cells["lan-a"]])
    finally:
        for server in servers:
            server.stop()
        regain_lan(well.cells["lan-c"])
        config("config", "uvn", "-U", "--no-notify", "-y")
        well.sync("-t", "120")


def blip(well: Agents) -> None:
    """Have lan-c lose its LAN, as lan-a sees it, and have it back before anybody is notified."""
    began = time.monotonic()
    lose_lan(well.cells["lan-c"])
    await_true(lambda: lans_lost(well) == [LOST], "lan-a has that it is lost", within=30)
    # A sender observes every 5 s.
    pause(6)
    regain_lan(well.cells["lan-c"])
    await_true(lambda: lans_lost(well) == [], "lan-a has that it is back", within=30)
    note(f"a blip of {time.monotonic() - began:.1f} s")
    pause(6)


def is_muted_without_its_lan(well: Agents) -> bool:
    """Whether lan-a has received that lan-c is muted and has lost its LAN."""
    views = {cell.name: cell for cell in well.cells["lan-a"].view().cells}
    return views["lan-c"].muted_for > 0 and lans_lost(well) == [LOST]


def lans_lost(well: Agents) -> list[str]:
    """The LANs of lan-c that are missing, as lan-a has it."""
    views = {cell.name: cell for cell in well.cells["lan-a"].view().cells}
    state = views["lan-c"].status
    return [str(lan.network) for lan in state.lans if lan.interface is None] if state else []


RECEIVERS = str(Path(__file__).parents[1] / "receivers.py")
MATRIX = "matrix"
PATHS = {"/hook", "/", "/gotify/message", "/services/x", MATRIX}


def notices(inbox: Path, about: str = "") -> list[str]:
    """The paths, or the method of mails, of what was received with a text, without heartbeats."""
    return [each for each in paths_of(inbox, about) if each != "/beat"]


def paths_of(inbox: Path, about: str = "") -> list[str]:
    lines = inbox.read_text().splitlines() if inbox.exists() else []
    found = [json.loads(line) for line in lines if about in line]
    matrix = "/_matrix/client/v3/rooms/"
    return [
        "MAIL" if it[0] == "MAIL" else MATRIX if it[1].startswith(matrix) else it[1] for it in found
    ]


def await_named(*expected: tuple[Agent, str, str]) -> None:
    """Wait until `uno doctor` names this fault on each of these hosts, and no other."""
    found: dict[str, dict[str, str]] = {}

    def is_named() -> bool:
        found.update(causes.wrong_everywhere(agent for agent, _, _ in expected))
        return all(
            [*found[agent.name]] == [check] and named in found[agent.name][check]
            for agent, check, named in expected
        )

    try:
        after = await_true(is_named, f"{[it[1:] for it in expected]}", within=90)
    finally:
        note(f"{found}")
    note(f"{[check for _, check, _ in expected]} named after {after:.1f} s")


def await_cause(observers: tuple[Agent, ...], ends: tuple[str, str], named: str) -> None:
    """Wait until `uno explain` has this cause in both directions, wherever it is asked."""
    shown: list[str] = []

    def is_named() -> bool:
        nonlocal shown
        found = [causes.explained(each, *ends) for each in observers]
        shown = [str(each[way]["cause"]) for each in found for way in ("forth", "back")]
        return all(named in each for each in shown)

    try:
        await_true(is_named, named, within=90)
    finally:
        note(f"{ends}: {shown}")


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


@pytest.mark.feature("F106")
@pytest.mark.feature("F107")
def test_the_page_of_every_cell_is_read_from_everywhere_in_the_uvn_and_from_nowhere_else(
    well: Agents, authority: Path
) -> None:
    deployment, world = well.deployment, well.deployment.world
    pages = page_addresses(well)
    everywhere = sorted({each for found in pages.values() for each in found})

    def read(node: Node) -> dict[str, str]:
        return pages_read(node, authority, everywhere)

    found = dict(in_parallel(read, [*world.having(Role.HOST), *deployment.cells]))
    guest = world.nodes["john"]
    with connected(guest, tunnels(deployment.particle_package(guest))["lan-a"]):
        found[guest.name] = read(guest)

    wrong = {
        (reader, address): line
        for reader, lines in found.items()
        for address, line in lines.items()
        if line.lower() != "<!doctype html>"
    }
    assert wrong == {}
    # The Internet has no route to a page: whoever is beside a cell may send there nevertheless.
    (stranger,) = world.having(Role.INTERNET)
    for name, cell in public_cells(well):
        before = strangers(cell)
        with led_to_pages(cell, stranger) as addresses:
            refused = pages_read(stranger, authority, addresses, timeout=2)
        assert {*pages[name], str(node_addresses(cell)[0])} < refused.keys()
        assert not [each for each in refused.values() if "html" in each.lower()], refused
        # A router is in front of others; nothing but its own firewall is in front of the relay.
        assert name != "relay" or strangers(cell) > before


def public_cells(well: Agents) -> list[tuple[str, Node]]:
    """The cells that have a public address, by name."""
    return [(name, it.node) for name, it in well.cells.items() if it.node.station.public]


@contextmanager
def led_to_pages(cell: Node, stranger: Node) -> Iterator[list[str]]:
    """Have a node send to each address of a cell's page; yield these, the public one first."""
    public, addresses = str(cell.station.public), sorted(listened_on(cell))
    (way,) = json.loads(stranger.run(["ip", "-j", "route", "get", public]).stdout)
    with ExitStack() as led:
        for address in addresses:
            words = (address, "via", public, "dev", way["dev"], "onlink")
            stranger.run(["ip", "route", "add", *words])
            led.callback(stranger.run, ["ip", "route", "del", address])
        yield [public, *addresses]


@pytest.mark.feature("F106")
@pytest.mark.feature("F107")
def test_a_browser_in_every_place_of_the_uvn_logs_in_and_sees_it_and_one_outside_does_not(
    well: Agents, authority: Path, tmp_path: Path
) -> None:
    deployment, world = well.deployment, well.deployment.world
    pages = page_addresses(well)
    # Each reads the page of another cell than its own. All hosts of a LAN have the same way there.
    order = sorted(pages)
    others = {name: pages[order[order.index(name) - 1]][0] for name in order}
    hosts = {str(host.station.cell): host for host in world.having(Role.HOST)}
    assert {*hosts, "relay"} == pages.keys()
    guest, (stranger,) = world.nodes["john"], world.having(Role.INTERNET)
    seen = {}
    with chromiums(tmp_path, root=authority) as chromium:
        for name, node in {**hosts, "relay": world.nodes["relay"]}.items():
            with chromium(node) as browser:
                seen[node.name] = cells_on_map(logged_in(browser, others[name], **JOHN))
        tunnel = tunnels(deployment.particle_package(guest))["lan-a"]
        with connected(guest, tunnel), chromium(guest) as browser:
            seen[guest.name] = cells_on_map(logged_in(browser, pages["lan-d"][0], **JOHN))
        with chromium(stranger) as browser:
            refused = []
            for _, cell in public_cells(well):
                with led_to_pages(cell, stranger) as addresses:
                    refused += [why_not(browser, address) for address in addresses]
    note(f"shown in {len(seen)} places, refused at {len(refused)} addresses: {set(refused)}")
    assert {name: cells for name, cells in seen.items() if cells != order} == {}
    assert all(refused)


# A user of the example, who owns its UVN.
JOHN = {"email": "john@example.org", "password": "change-me-john"}


def why_not(browser: Browser, address: str) -> str:
    """Why a browser does not get a page; empty if it does."""
    page = browser.new_page()
    try:
        page.goto(f"https://{address}/", timeout=1500)
    except PlaywrightError as error:
        return error.message.partition("\n")[0].partition(" at ")[0]
    finally:
        page.close()
    return ""


@pytest.mark.feature("F106")
@pytest.mark.feature("G43")
def test_the_page_at_the_registry_shows_every_cell_with_its_agent_and_what_is_left_without(
    well: Agents, authority: Path
) -> None:
    registry, root = well.registry, str(well.deployment.registry_root)
    log = registry.node.directory / "web.log"
    argv = program.argv("web", "-r", root, "--port", "50443")
    beside = registry.node.start(as_on_a_stock_host(argv), log=log)
    try:
        await_true(lambda: printed_address(log), "it prints an address", within=60)
        with reading(registry.node, printed_address(log)) as asked:
            await_true(lambda: is_well(asked()), "every cell is there and well", within=90)
            assert {cell["name"] for cell in asked()["cells"]} == well.cells.keys()
            assert registry.stop() == 0
            await_true(
                lambda: [it["kind"] for it in asked()["alerts"]] == ["registry-lost"],
                "the agent is missed, and nothing else",
                within=30,
            )
            assert {cell["health"] for cell in asked()["cells"]} == {"silent"}
        beside.stop()
        # At a private address it has the UVN's certificate.
        registry.node.run(["ip", "address", "add", f"{PRIVATE}/32", "dev", "lo"])
        beside = registry.node.start(as_on_a_stock_host([*argv, "--address", PRIVATE]), log=log)
        await_true(lambda: PRIVATE in printed_address(log), "it prints an address", within=60)
        assert printed_address(log).startswith(f"https://{PRIVATE}:50443/login?ticket=")
        with reading(registry.node, printed_address(log), root=authority) as asked:
            assert {cell["name"] for cell in asked()["cells"]} == well.cells.keys()
    finally:
        beside.stop()
        registry.start("--web")
        well.start([registry])

    # The agent, which has given up all rights that it does not need, serves it as well.
    address = deploy.uno(registry.node, "web", "login", "-r", root).stdout.strip()
    with reading(registry.node, address) as asked:
        await_true(lambda: is_well(asked()), "the agent's own page shows them too", within=90)


PRIVATE = "192.168.250.1"


def printed_address(log: Path) -> str:
    """The address that a page was opened with last, empty before it is printed."""
    text = log.read_text() if log.exists() else ""
    return next((line for line in text.splitlines()[::-1] if line.startswith("http")), "")


def is_well(summary: dict[str, Any]) -> bool:
    """Whether all cells are in contact and run what they should, and all LANs are reached."""
    cells = {cell["health"] for cell in summary["cells"]}
    return cells == {"ok"} and {lan["health"] for lan in summary["lans"]} == {"reached"}


@contextmanager
def reading(
    node: Node, address: str, *, root: Path | None = None
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Open a page with a ticket on its own host; yield what returns its summary.

    A page with TLS has a certificate of the authority in `root`.
    """
    jar = node.directory / "cookies.txt"
    words = (sys.executable, "-I", PLAIN_READER, str(jar), str(root or ""))
    node.run([*words, address])
    summary = f"{address.partition('/login')[0]}/api/v1/summary"
    try:
        yield lambda: json.loads(node.run([*words, summary]).stdout)
    finally:
        jar.unlink()


PLAIN_READER = str(Path(__file__).with_name("plain_page_reader.py"))


def strangers(cell: Node) -> int:
    """The packets for the page that a cell's firewall has dropped."""
    listed = json.loads(cell.run(["nft", "-j", "list", "chain", "inet", "uno", "web"]).stdout)
    rules = [each["rule"]["expr"] for each in listed["nftables"] if "rule" in each]
    (dropped,) = [rule for rule in rules if {"drop": None} in rule]
    return sum(each["counter"]["packets"] for each in dropped if "counter" in each)


@pytest.mark.alone
@pytest.mark.feature("F116")
@pytest.mark.feature("G43")
def test_a_cut_link_and_a_dead_cell_are_on_an_open_page_at_once(
    well: Agents, authority: Path, tmp_path: Path
) -> None:
    world, lan_c = well.deployment.world, well.cells["lan-c"]
    red, mended = [], []
    with chromium_on(world.nodes["lan-a-host1"], tmp_path, root=authority) as browser:
        page = logged_in(browser, page_addresses(well)["lan-a"][0], **JOHN)
        page.locator(".map .node.t-ok").nth(len(well.cells) - 1).wait_for()

        for peer in ("lan-b", "lan-c", "relay"):
            link = f".map .edge[aria-label^='Link lan-a – {peer}: ']"
            began = time_of_day(page)
            world.cut("lan-a", peer)
            red.append(shown_at(page, f"{link}.t-bad") - began)
            began = time_of_day(page)
            world.restore("lan-a", peer)
            mended.append(shown_at(page, f"{link}:not(.t-bad)") - began)
        began = time_of_day(page)
        lan_c.kill()
        power_cut(lan_c.node)
        dead = shown_at(page, ".map .node.t-bad[aria-label^='lan-c: no contact']") - began
        try:
            causes = page.locator("main h1").inner_text()
        finally:
            well.start([lan_c])

    note(f"links red after {rounded(red)} s, no longer after {rounded(mended)} s")
    note(f"a dead cell is shown after {dead:.2f} s: {causes}")
    assert causes.startswith("lan-c: no contact")
    assert statistics.median(red) < 1.5
    assert statistics.median(mended) < 1.5
    assert dead < 5


def rounded(seconds: list[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in sorted(seconds))


@pytest.mark.feature("G44")
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
def test_prometheus_scrapes_every_cell_and_alerts_of_a_link_that_is_cut(
    well: Agents, authority: Path, tmp_path: Path
) -> None:
    world, host = well.deployment.world, well.deployment.world.nodes["lan-b-host1"]
    cut = 'ALERTS{alertname="UnoLinkDown",alertstate="firing",cell="lan-a",peer="lan-c"}'
    scraper = start_prometheus(well, host, tmp_path, authority)
    try:
        await_true(lambda: len(queried(host, "up == 1")) == len(LANS), "all are up", within=60)
        for series in ("uno_cell_up", "uno_link_up", "uno_link_receive_bytes_total"):
            found = {each["cell"] for each in queried(host, series)}
            assert (series, found) == (series, set(LANS))
        assert queried(host, cut) == []

        world.cut("lan-a", "lan-c")
        after = await_true(lambda: queried(host, cut), "the alert fires", within=60)
        world.restore("lan-a", "lan-c")
        await_true(lambda: not queried(host, cut), "it ends", within=60)
    finally:
        scraper.stop()
        world.restore_all()
    note(f"an alert fired {after:.1f} s after a link was cut")


def start_prometheus(well: Agents, host: Node, folder: Path, authority: Path) -> Program:
    """Start Prometheus on a host: it scrapes each cell with its token, and has uno's alerts."""
    rules = RULES.read_text()
    assert "for: 2m" in rules
    # What minutes do is a test of the rules alone (tests/unit/web/test_metrics.py).
    (folder / "rules.yml").write_text(re.sub(r"for: \d+[mhd]", "for: 1s", rules))
    jobs = [
        {
            "job_name": name,
            "scheme": "https",
            "tls_config": {"ca_file": str(authority)},
            "authorization": {"credentials": metrics_token(well, name)},
            "static_configs": [{"targets": addresses}],
        }
        for name, addresses in page_addresses(well).items()
    ]
    settings = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config = {"global": settings, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    options = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={PROMETHEUS}",
    )
    return host.start(["prometheus", *options], log=folder / "prometheus.log")


def metrics_token(well: Agents, cell: str) -> str:
    return well.deployment.registry("show", "cell", cell, "--metrics-token").stdout.strip()


def queried(host: Node, query: str) -> list[dict[str, str]]:
    """The labels of what Prometheus answers; nothing while it does not serve."""
    words = ("promtool", "query", "instant", "-o", "json", f"http://{PROMETHEUS}", query)
    done = host.run(words, check=False)
    return [each["metric"] for each in json.loads(done.stdout)] if done.status == 0 else []


PROMETHEUS = "127.0.0.1:9090"
RULES = Path(web.__file__).parent / "monitoring" / "uno.rules.yml"
