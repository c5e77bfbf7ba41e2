"""What dies comes back; what cannot be done leaves the host as it was, with a reason."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from obstacles import OBSTACLES, Obstacle, mounted, read_only, shim
from watching import (
    UNO,
    alive,
    await_healthy,
    await_same,
    await_true,
    differences,
    line,
    note,
    pause,
    pids,
    power_cut,
    restore,
    snapshot,
    status,
    uno,
    unreached,
    vtysh,
)

from uno.host.command import Completed
from uno.host.routing_frr import daemons, vty
from uno.host.routing_frr.daemons import Frr
from uno.lab.deploy import Deployment, in_parallel
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def bare(installed: Deployment) -> dict[str, str]:
    """The host of lan-b before uno came."""
    return snapshot(installed.world.nodes["lan-b"])


@pytest.fixture
def well(bare: dict[str, str], running: Deployment) -> Deployment:  # noqa: ARG001
    """Four sites that are up and well."""
    found = in_parallel(lambda cell: status(running, cell)["healthy"], running.cells)
    if not all(found.values()):
        restore(running)
    return running


@pytest.fixture
def down(bare: dict[str, str], running: Deployment) -> Deployment:
    """Four sites, of which lan-b is down, and its host is as it was before uno came."""
    cell = running.world.nodes["lan-b"]
    running.down([cell], forget=True)
    await_same(bare, lambda: snapshot(cell), "the host is as it was", within=10)
    return running


@pytest.mark.alone
@pytest.mark.feature("G12")
@pytest.mark.parametrize(
    ("daemon", "outage"),
    [
        ("zebra", 0.1),  # the kernel forwards without it
        ("bgpd", 3.0),  # the new one has zebra forget its routes before it has learned them again
        ("bfdd", 4.0),  # to the neighbours a dead bfdd is a dead cell
    ],
)
def test_an_frr_daemon_that_is_killed_comes_back_by_itself(
    well: Deployment, daemon: str, outage: float
) -> None:
    world = well.world
    cell, ends = world.nodes["lan-b"], (world.nodes["lan-a-host1"], world.nodes["lan-b-host1"])
    paths = [line(*ends), line(*reversed(ends))]
    before = pids(cell)

    with PingMatrix(paths) as prober, prober.stream(rate=100) as stream:
        cell.run(["kill", "-9", str(before[daemon])])
        back = await_true(
            lambda: alive(cell, daemon, besides=before[daemon]), f"{daemon} is back", within=20
        )
        await_healthy(well, [cell])
        pause(1)

    gap = max(flow.longest_gap for flow in stream.flows.values())
    lost = [flow.lost for flow in stream.flows.values()]
    note(f"{daemon} killed: back after {back:.1f} s, longest gap {gap:.2f} s, lost {lost}")
    assert gap < outage
    others = {"bgpd", "bfdd", "zebra", "watchfrr"} - {daemon}
    now = pids(cell)
    assert {name: now[name] for name in others} == {name: before[name] for name in others}
    niceness = cell.run(["ps", "-o", "ni=", "-p", str(now[daemon])]).stdout
    assert int(niceness) == daemons.NICENESS[daemon]


@pytest.mark.alone
@pytest.mark.feature("G07")
def test_an_update_that_comes_while_filters_are_applied_has_its_effect(well: Deployment) -> None:
    """By itself bgpd stores it, and stays on the way from before."""
    nodes = well.world.nodes
    (here,) = nodes["lan-b"].directory.glob("run/uno/*/frr")
    (there,) = nodes["lan-a"].directory.glob("run/uno/*/frr")
    text, straight = (here / "bgpd.conf").read_text(), session(here, "lan-a")
    (router,) = re.findall(r"^router bgp .*$", (there / "bgpd.conf").read_text(), re.MULTILINE)
    family = (router, "address-family ipv4 unicast")

    for map_, is_used in (("EXPORT-GSHUT", False), ("EXPORT", True)) * 2:
        policy = f"neighbor {session(there, 'lan-b')} route-map {map_} out"
        vty.configure(there, "bgpd", [(*family, policy, "exit", "exit")])
        apply_filters(here, seconds=1)
        Frr(here)._refilter(text)
        await_true(
            lambda is_used=is_used: (best(here, "192.168.1.0/24") == straight) == is_used,
            f"lan-b {'takes' if is_used else 'leaves'} the path that lan-a has advertised",
            within=1,
        )


def session(folder: Path, cell: str) -> str:
    """The address of the neighbour that is this cell, in FRR's configuration in a folder."""
    text = (folder / "bgpd.conf").read_text()
    (found,) = re.findall(rf"neighbor (\S+) description {cell} on", text)
    return str(found)


def best(folder: Path, prefix: str) -> str | None:
    """The neighbour whose way to a prefix bgpd takes."""
    output = json.loads(vty.query(folder, "bgpd", f"show bgp ipv4 unicast {prefix} json"))
    taken = (path for path in output["paths"] if path.get("bestpath", {}).get("overall"))
    return next((str(path["peer"]["peerId"]) for path in taken), None)


def apply_filters(folder: Path, *, seconds: float) -> None:
    """Have bgpd apply its filters all the time, so that what comes comes meanwhile."""
    commands = ["clear bgp ipv4 unicast * soft in"] * 1000
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(30)
        one.connect(str(folder / "bgpd.vty"))
        one.sendall(b"enable\0")
        one.recv(64)
        while time.monotonic() < end:
            one.sendall(b"".join(command.encode() + b"\0" for command in commands))
            # An answer to such a command is three NUL bytes and a status, which is another.
            left = 4 * len(commands)
            while left > 0:
                left -= len(one.recv(left))


@pytest.mark.feature("G12")
def test_every_new_zebra_gets_all_routes(well: Deployment) -> None:
    """Those that the one before left in the kernel are swept after some minutes."""
    cell = well.world.nodes["lan-b"]
    line = re.compile(r"^bgp .* (\d+)/\d+ +(\d+)/\d+ *$", re.MULTILINE)

    def has_all() -> bool:
        found = line.search(vtysh(cell, "show zebra client summary"))
        return found is not None and min(map(int, found.groups())) > 0

    for _ in range(3):
        before = pids(cell)["zebra"]
        cell.run(["kill", "-9", str(before)])
        await_true(lambda: alive(cell, "zebra", besides=before), "zebra is back", within=20)  # noqa: B023
        await_true(has_all, "zebra has all routes", within=30)

    await_healthy(well, [cell])
    assert unreached(well) == []


@pytest.mark.feature("G12")
def test_up_starts_the_watchdog_again_and_leaves_the_daemons_alone(well: Deployment) -> None:
    cell = well.world.nodes["lan-b"]
    before = pids(cell)
    cell.run(["kill", "-9", str(before["watchfrr"])])
    assert uno(well, cell, "status").status == 1

    well.up([cell])

    assert alive(cell, "watchfrr", besides=before["watchfrr"])
    after = pids(cell)
    assert {**after, "watchfrr": 0} == {**before, "watchfrr": 0}


@pytest.mark.feature("G30")
def test_up_makes_the_interfaces_again_whose_wireguard_was_killed(well: Deployment) -> None:
    cell = well.world.nodes["lan-b"]
    if "wireguard-go" not in cell.run(["ps", "ax", "-o", "args"]).stdout:
        pytest.skip("this kernel has WireGuard itself")
    cell.run(["sh", "-c", "kill -9 $(pidof wireguard-go)"])
    await_true(lambda: "uwg-" not in cell.run(["ip", "link"]).stdout, "the interfaces are gone")
    assert unreached(well, within=0.5) != []

    well.up([cell])

    assert unreached(well) == []


@pytest.mark.parametrize(
    "moment",
    [
        *(
            "add 8 unreachable routes",
            "set the node",
            "create interface uwg-b0",
            "set net.ipv4.ip_forward",
        ),
        "start routing",
    ],
)
def test_up_that_is_killed_is_finished_by_the_next_and_removed_by_down(
    down: Deployment, bare: dict[str, str], moment: str
) -> None:
    cell = down.world.nodes["lan-b"]
    kill_up_at(down, cell, moment)

    down.up([cell])

    assert status(down, cell)["pending"] == []
    down.down([cell], forget=True)
    await_same(bare, lambda: snapshot(cell), "the host is as it was", within=10)
    kill_up_at(down, cell, moment)
    down.down([cell], forget=True)
    await_same(bare, lambda: snapshot(cell), "the host is as it was", within=10)


def test_two_ups_at_once_come_to_the_same_as_one(down: Deployment) -> None:
    cell = down.world.nodes["lan-b"]

    done = in_parallel(lambda _: uno(down, cell, "up"), [cell, down.world.nodes["lan-a"]])

    output = sorted(
        each.stdout.rpartition(" links, ")[2].partition(";")[0] for each in done.values()
    )
    assert [each.status for each in done.values()] == [0, 0], done
    assert output[1] == "no change"
    restore(down)


def test_up_and_down_at_once_leave_one_or_the_other(down: Deployment, bare: dict[str, str]) -> None:
    cell = down.world.nodes["lan-b"]
    verbs = {"lan-a": ["up"], "lan-b": ["down", "--forget"]}

    done = in_parallel(
        lambda node: uno(down, cell, *verbs[node.name]), [down.world.nodes[name] for name in verbs]
    )

    assert [each.status for each in done.values()] == [0, 0], done
    now = status(down, cell)
    assert now["pending"] == [] or differences(bare, snapshot(cell)) == []


@pytest.mark.feature("F078")
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda each: each.name.replace(" ", "-"))
def test_up_that_fails_leaves_the_host_as_it_was_and_shows_why(
    down: Deployment, obstacle: Obstacle
) -> None:
    cell = down.world.nodes["lan-b"]

    with obstacle.put(cell):
        before = snapshot(cell)
        done = uno(down, cell, "up")
        after = snapshot(cell)

    assert_one_message(done, obstacle.fragments)
    assert differences(before, after) == []


def test_up_that_fails_leaves_a_network_that_runs_as_it_was(well: Deployment) -> None:
    cell = well.world.nodes["lan-b"]
    cell.run(["ip", "link", "delete", "uwg-b2"])
    cell.run(["nft", "add", "rule", "inet", "uno", "forward", "counter"])
    await_true(lambda: status(well, cell)["links"][2]["bgp"] != "Established", "it is missed")
    with shim(cell, "wg", fails="setconf*uwg-b2*"):
        before = snapshot(cell)

        done = uno(well, cell, "up")

        assert_one_message(done, ("could not create interface uwg-b2", "the host is as it was"))
        await_same(before, lambda: snapshot(cell), "the host is as it was", within=10)


@pytest.mark.feature("F102")
@pytest.mark.feature("G51")
@pytest.mark.parametrize(
    "given",
    [
        {"net.ipv6.conf.all.forwarding": "1", "net.ipv4.conf.default.rp_filter": "2"},
        {
            "net.ipv6.conf.default.disable_ipv6": "1",
            "net.ipv4.conf.default.rp_filter": "0",
            "net.ipv4.conf.all.rp_filter": "0",
        },
    ],
    ids=["as uno has it", "as docker has it"],
)
def test_up_and_down_work_where_the_cells_directory_and_the_parameters_are_read_only(
    down: Deployment, given: dict[str, str]
) -> None:
    cell = down.world.nodes["lan-b"]
    right = {"net.ipv4.ip_forward": "1", **given}
    before = {key: cell.run(["sysctl", "-n", key]).stdout.strip() for key in right}
    try:
        cell.run(["sysctl", "-w", *(f"{key}={value}" for key, value in right.items())])
        with read_only(cell, str(down.cell_root(cell))), read_only(cell, "/proc/sys"):
            bare = snapshot(cell)

            raised = uno(down, cell, "up")
            found = status(down, cell)
            again = uno(down, cell, "up")
            lowered = uno(down, cell, "down", "--forget")

            assert [each.status for each in (raised, again, lowered)] == [0, 0, 0], raised
            assert "fib_multipath_hash_policy cannot be set to 1" in raised.stderr
            assert found["pending"] == []
            assert "no change" in again.stdout
            assert differences(bare, snapshot(cell)) == []
    finally:
        cell.run(["sysctl", "-w", *(f"{key}={value}" for key, value in before.items())])


@pytest.mark.feature("G51")
def test_up_works_on_a_host_without_ipv6(down: Deployment) -> None:
    cell = down.world.nodes["lan-b"]
    with mounted(cell, ["-t", "tmpfs", "none"], "/proc/sys/net/ipv6"):
        raised = uno(down, cell, "up")
        found = status(down, cell)
        addresses = cell.run(["ip", "-6", "address", "show", "dev", "uno0", "scope", "global"])
        lowered = uno(down, cell, "down", "--forget")

    assert [each.status for each in (raised, lowered)] == [0, 0], raised
    assert found["pending"] == []
    assert addresses.stdout == ""


@pytest.mark.feature("F078")
def test_up_refuses_to_start_without_its_lan_and_names_it(down: Deployment) -> None:
    cell = down.world.nodes["lan-b"]
    cell.unplug("lan0")
    before = snapshot(cell)

    done = uno(down, cell, "up")

    after = snapshot(cell)
    cell.plug("lan0")
    assert_one_message(done, ("no interface on 192.168.2.0/24", "lan0 (192.168.2.2/24, down)"))
    assert differences(before, after) == []


@pytest.mark.feature("F102")
@pytest.mark.feature("G51")
def test_a_name_that_cannot_be_resolved_fails_the_up_and_the_next_one_adds_its_link(
    well: Deployment,
) -> None:
    cell = well.world.nodes["lan-d"]
    hosts = cell.directory / "etc/hosts"
    known = hosts.read_text()
    well.down([cell])
    named = [each for each in known.splitlines() if ".example.net" not in each]
    hosts.write_text("\n".join(named) + "\n")

    done = uno(well, cell, "up", "--wait", "0.5")

    hosts.write_text(known)
    assert done.status == 1
    assert "lan-d of" in done.stdout
    assert "lan-d is up without " in done.stderr
    assert "a.example.net (lan-a)" in done.stderr
    assert uno(well, cell, "status").status == 1
    assert "uwg-b0" in cell.run(["ip", "link"]).stdout
    mended = uno(well, cell, "up", "-v")
    assert "configure interface uwg-b0" in mended.stdout
    assert unreached(well) == []


@pytest.mark.feature("G14")
def test_after_a_power_cut_everywhere_up_alone_restores_all_without_the_registry(
    well: Deployment,
) -> None:
    away = well.registry_root.rename(well.registry_root.with_name("burnt"))
    try:
        for cell in well.cells:
            power_cut(cell)
            assert "uwg-" not in cell.run(["ip", "link"]).stdout
        began = time.monotonic()

        well.up()

        assert unreached(well) == []
        note(f"all pairs {time.monotonic() - began:.1f} s after the power is back")
    finally:
        away.rename(well.registry_root)


def kill_up_at(deployment: Deployment, cell: Node, moment: str) -> None:
    """Kill `uno service up` when it prints that it begins a step."""
    log = cell.directory / "up.log"
    log.unlink(missing_ok=True)
    root = str(deployment.cell_root(cell))
    rising = cell.start([*UNO, "service", "up", "-v", "-r", root], log=log)
    await_true(lambda: log.exists() and f"  {moment}" in log.read_text(), f"up prints {moment}")
    os.killpg(rising.pid, signal.SIGKILL)
    assert rising.wait(5) != 0


def assert_one_message(done: Completed, fragments: tuple[str, ...]) -> None:
    # 2 where a person must change something first, 1 where the same may succeed later.
    assert done.status in {1, 2}
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("uno: ")
    assert [each for each in fragments if each not in done.stderr] == [], done.stderr
