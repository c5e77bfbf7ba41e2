"""The lab's own ground: what would make other lab tests pass or fail for the wrong reason."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as File
from threading import Event

import pytest

from uno.diagnostics import UnoError
from uno.host.command import CommandFailed, Process, run, start
from uno.lab import lab_state, netns
from uno.lab.node import Node
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.transfer import transfers
from uno.lab.world import World, open_world
from uno.lab.world_layout import Role
from uno.model import codec
from uno.model.uvn import Uvn

pytestmark = [pytest.mark.lab, pytest.mark.alone]


def test_every_host_reaches_its_router_and_the_internet(world: World) -> None:
    paths = []
    for host in world.having(Role.HOST):
        (router,) = world.having(Role.ROUTER, cell=host.station.cell)
        paths += [path_to(host, router), path_to(host, world.nodes["server"])]

    with PingMatrix(paths) as prober:
        reached = prober.reach(within=5)

    assert reached.missing == ()


def test_hosts_of_different_lans_do_not_reach_each_other_without_uno(world: World) -> None:
    one, other = world.nodes["lan-a-host1"], world.nodes["lan-b-host1"]

    with PingMatrix([path_to(one, other), path_to(other, one)]) as prober:
        reached = prober.reach(within=0.5)

    assert len(reached.missing) == 2


def test_the_internet_sees_a_private_cell_at_its_router(world: World) -> None:
    server, cell = world.nodes["server"], world.nodes["lan-d"]
    path = path_to(cell, server)

    result = transfers([path], servers=[server.namespace])[path]

    assert result.problem == ""
    assert result.seen == cell.station.public != cell.address()


def test_a_private_cell_is_unreachable_from_the_internet(world: World) -> None:
    assert is_received(world.nodes["server"], world.nodes["lan-d"], port=63550) == 0


@pytest.mark.feature("F016")
@pytest.mark.parametrize("port", [63447, 63448, 63449, 63550, 63560])
def test_a_router_forwards_the_ports_of_a_public_cell(world: World, port: int) -> None:
    cell = world.nodes["lan-a"]
    assert cell.station.public not in cell.station.addresses

    assert is_received(world.nodes["server"], cell, port=port) == 1


def test_a_router_forwards_no_other_port(world: World) -> None:
    assert is_received(world.nodes["server"], world.nodes["lan-a"], port=5353) == 0


def test_a_cell_on_the_internet_is_reached_at_its_own_address(world: World) -> None:
    path = path_to(world.nodes["registry"], world.nodes["relay"])

    result = transfers([path], servers=[world.nodes["relay"].namespace])[path]

    assert result.seen == world.nodes["registry"].address()


def test_ipv6_reaches_the_internet_untranslated(world: World) -> None:
    host, server = world.nodes["lan-c-host1"], world.nodes["server"]
    path = path_to(host, server, version=6)

    result = transfers([path], servers=[server.namespace])[path]

    assert result.seen == host.address(6)


def test_an_ipv6_lan_accepts_nothing_from_the_internet(world: World) -> None:
    path = path_to(world.nodes["server"], world.nodes["lan-c-host1"], version=6)

    result = transfers([path], servers=[world.nodes["lan-c-host1"].namespace], within=0.5)[path]

    assert result.seen is None


def test_names_lead_to_where_the_internet_sees_a_node(world: World) -> None:
    found = world.nodes["lan-d"].run(["getent", "hosts", "a.example.net"]).stdout.split()

    assert found[0] == str(world.nodes["lan-a"].station.public)


def test_a_machine_has_its_own_name_processes_and_run(world: World) -> None:
    one, other = world.nodes["lan-a"], world.nodes["lan-b"]

    one.run(["touch", "/run/uno/mine", "/run/wireguard/mine", "/var/log/mine"])

    assert one.run(["cat", "/proc/sys/kernel/hostname"]).stdout == "lan-a\n"
    assert one.run(["cat", "/proc/1/comm"]).stdout == "sh\n"
    assert "mine" not in other.run(["ls", "/run/uno", "/run/wireguard", "/var/log"]).stdout
    assert not File("/run/uno/mine").exists()
    assert not File("/var/log/mine").exists()


def test_a_machine_sees_its_directory_where_the_host_does(world: World) -> None:
    node = world.nodes["lan-a"]

    node.run(["touch", str(node.directory / "here")])

    assert (node.directory / "here").exists()


def test_a_program_that_is_stopped_does_not_go_on_in_its_machine(world: World) -> None:
    node = world.nodes["lan-a"]
    process = node.start(["sleep", "4711"])
    await_true(lambda: "sleep 4711" in programs_of(node), "sleep runs")

    process.stop()

    await_true(lambda: "sleep 4711" not in programs_of(node), "sleep has ended")


def test_a_cut_drops_udp_in_both_directions_until_it_is_mended(world: World) -> None:
    one, other = world.nodes["lan-a"], world.nodes["lan-b"]
    world.cut("lan-a", "lan-b")
    assert is_received(other, one, port=63550) == 0
    assert is_received(one, other, port=63550) == 0

    world.restore("lan-a", "lan-b")

    assert is_received(one, other, port=63550) == 1


def test_a_cut_of_one_port_leaves_the_others(world: World) -> None:
    one, other = world.nodes["registry"], world.nodes["lan-b"]
    world.cut("lan-b", "registry", port=63551)

    found = [is_received(one, other, port=port) for port in (63551, 63552)]

    world.restore_all()
    assert found == [0, 1]


def test_a_cut_between_two_nodes_leaves_the_others(world: World) -> None:
    world.cut("lan-a", "lan-b")

    found = is_received(world.nodes["relay"], world.nodes["lan-b"], port=63550)

    world.restore_all()
    assert found == 1


def test_loss_takes_its_share_of_udp(world: World) -> None:
    world.loss(30)

    found = is_received(world.nodes["registry"], world.nodes["relay"], port=7000, times=300)

    world.loss(0)
    assert 150 < found < 260


def test_delay_makes_the_internet_slow_or_shows_what_the_kernel_lacks(world: World) -> None:
    if not has_netem(world):
        with pytest.raises(UnoError, match="netem"):
            world.delay(20)
        return

    world.delay(20)
    with PingMatrix([path_to(world.nodes["registry"], world.nodes["relay"])]) as prober:
        began = time.monotonic()
        reached = prober.reach(within=2, every=1)
    world.delay(0)

    assert reached.last - began > 0.04


def test_a_stream_measures_an_outage(world: World) -> None:
    host = world.nodes["lan-a-host1"]
    path = path_to(host, world.nodes["server"])

    with PingMatrix([path]) as prober, prober.stream(rate=100) as stream:
        pause(0.3)
        host.unplug("eth0")
        pause(0.5)
        host.plug("eth0")
        pause(0.5)

    assert 0.45 < stream.flows[path].longest_gap < 0.9
    assert stream.flows[path].lost >= 40


def test_a_capture_holds_what_matches_and_nothing_else(world: World) -> None:
    host, server = world.nodes["lan-a-host1"], world.nodes["server"]
    router = world.nodes["lan-a-router"]

    with router.capture("wan", f"icmp and dst host {server.address()}") as seen:
        with PingMatrix([path_to(host, server)]) as prober:
            prober.reach(within=2)
        await_true(lambda: len(seen.packets()) > 0, "a packet is seen")

    assert len(seen.packets()) == 1
    assert f"{router.station.public} > {server.address()}" in seen.packets()[0]


def test_a_capture_with_a_bad_filter_fails(world: World) -> None:
    capture = world.internet.capture("p0", "no such filter")

    with pytest.raises(UnoError, match="tcpdump does not start"):
        capture.__enter__()


def test_a_command_that_fails_in_a_node_is_named(world: World) -> None:
    with pytest.raises(CommandFailed, match="ip link show nothing"):
        world.nodes["lan-a-host1"].run(["ip", "link", "show", "nothing"])


def test_a_world_can_be_entered_from_another_process(world: World) -> None:
    found = open_world(world.id)

    assert found.nodes["lan-a"].run(["cat", "/proc/sys/kernel/hostname"]).stdout == "lan-a\n"


def test_killing_all_programs_of_a_machine_leaves_its_wires(world: World) -> None:
    node = world.nodes["jane"]
    sleeper = node.start(["sleep", "4713"])
    await_true(lambda: "sleep 4713" in programs_of(node), "sleep runs")

    node.kill()

    assert sleeper.wait(5) != 0
    assert "eth0" in node.run(["ip", "-br", "link"]).stdout


@pytest.mark.usefixtures("maker")
def test_a_world_is_built_in_less_than_a_second_and_a_half(uvn_file: File) -> None:
    assert lab_state.load().complete

    assert float(uvn_file.with_name("took").read_text()) < 1.5


def test_what_a_killed_lab_leaves_is_taken_down(labs: File, maker: Process) -> None:
    lab = lab_state.load()
    machine = open_world().nodes["lan-a"]
    machine.run(["sh", "-c", "setsid sleep 4712 >/dev/null 2>&1 &"])
    spaces = [lab.namespace(station.name) for station in lab.layout.stations]
    before = {pid: netns.start_time(pid) for pid in netns.processes_in(spaces)}
    assert len(before) > len(lab.holders)
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait(5)

    run([sys.executable, "-m", "uno", "lab", "down", "--all"])

    assert not any(netns.start_time(pid) == began for pid, began in before.items())
    assert not any(lab.id in path.name for path in netns.NAMES.iterdir())
    assert lab.id not in File("/proc/self/mountinfo").read_text()
    assert lab.id not in run(["ps", "axww", "-o", "args"]).stdout
    assert not labs.exists()


def test_what_a_lab_killed_while_it_was_built_leaves_is_taken_down(
    labs: File, uvn_file: File
) -> None:
    building = start([sys.executable, "-c", MAKE_A_LAB, str(uvn_file)])
    await_true(
        lambda: any("lan-c" in name for name in namespaces_of(lab_state.ids())), "namespaces"
    )
    os.kill(building.pid, signal.SIGKILL)
    building.wait(5)
    (lab_id,) = lab_state.ids()

    run([sys.executable, "-m", "uno", "lab", "down", lab_id])

    assert namespaces_of([lab_id]) == []
    assert not labs.exists()


def test_taking_one_lab_down_leaves_the_others(world: World, maker: Process) -> None:
    run([sys.executable, "-m", "uno", "lab", "down", "--all"])

    with PingMatrix([path_to(world.nodes["lan-a-host1"], world.nodes["server"])]) as prober:
        assert prober.reach(within=2).missing == ()
    assert maker.status() is None


MAKE_A_LAB = """
import sys, time
from pathlib import Path
from threading import Event
from uno.lab.arrange import arrange
from uno.lab.world import temporary_world
from uno.model import codec
from uno.model.uvn import Uvn

definition = codec.decode(Path(sys.argv[1]).read_bytes(), Uvn)
began = time.monotonic()
with temporary_world(arrange(definition)):
    Path(sys.argv[1]).with_name("took").write_text(f"{time.monotonic() - began}")
    Event().wait()
"""


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> Iterator[File]:
    """A place of its own for labs, so that `down --all` meets none but this test's."""
    place = File(tempfile.mkdtemp(prefix="uno-lab-test-", dir="/run"))
    monkeypatch.setenv("UNO_LAB_DIR", str(place))
    yield place
    for lab_id in lab_state.ids():
        lab_state.remove(lab_id)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def uvn_file(four_sites: Uvn, tmp_path: File) -> File:
    file = tmp_path / "uvn.json"
    file.write_bytes(codec.encode(four_sites))
    return file


@pytest.fixture
def maker(labs: File, uvn_file: File) -> Iterator[Process]:
    """A process that has built a lab, and waits."""
    process = start(
        [sys.executable, "-c", MAKE_A_LAB, str(uvn_file)], env={"UNO_LAB_DIR": str(labs)}
    )
    await_true(uvn_file.with_name("took").exists, "the lab is built")
    yield process
    process.stop()


def is_received(sender: Node, receiver: Node, *, port: int, times: int = 1) -> int:
    """Send datagrams to where the Internet sees a node; return how many arrived in it."""
    with (
        netns.socket_in(receiver.namespace, socket.AF_INET, socket.SOCK_DGRAM) as there,
        netns.socket_in(sender.namespace, socket.AF_INET, socket.SOCK_DGRAM) as here,
    ):
        there.bind(("", port))
        here.bind(("", port))
        for _ in range(times):
            here.sendto(b"hello", (str(receiver.station.public), port))
        arrived = 0
        while select.select([there], [], [], 0.3)[0]:
            arrived += len(there.recv(64)) > 0
        return arrived


def has_netem(world: World) -> bool:
    tried = world.internet.run(["tc", "qdisc", "add", "dev", "lo", "root", "netem"], check=False)
    return tried.status == 0


def path_to(source: Node, target: Node, *, version: int = 4) -> PingPath:
    address = target.address(version)
    assert address is not None
    return PingPath(source.namespace, address)


def programs_of(node: Node) -> str:
    return node.run(["ps", "ax", "-o", "args"]).stdout


def namespaces_of(lab_ids: Sequence[str]) -> list[str]:
    return [p.name for p in netns.NAMES.iterdir() if any(f"uno-{i}-" in p.name for i in lab_ids)]


def pause(seconds: float) -> None:
    Event().wait(seconds)


def await_true(condition: Callable[[], bool], what: str, *, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        pause(0.02)
