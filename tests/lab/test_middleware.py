"""A UVN whose agents use another middleware than the default: they work as on the default one.

It is DDS, in processes without rights, so that here also is what these processes stand.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import causes
import pytest
from fuzz_datagrams import altered
from thief import THIEF, Thief, node_address
from watching import await_true, pause

from uno.lab import netns
from uno.lab.agents import Agent, Agents
from uno.lab.deploy import uno
from uno.lab.node import Node
from uno.model.status import CellStatus
from uno.model.uvn import Middleware, Settings
from uno.ports.bus import CELL_INDEX, REGISTRY_INDEX, ports, tcp_port
from uno.registry.changes import operations
from uno.statesync.timers import MAX_AGE

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900), pytest.mark.feature("G58")]

OTHER_CELL = "lan-c"
ALL_PROTOCOLS = 3
PAST_THE_FIREWALL = """\
nft -n list chain inet uno input 2>&- | grep -q 'iifname "lo" udp' ||
nft insert rule inet uno input iifname lo udp dport '{{' {ports} '}}' accept 2>&- || true
"""
DEFAULT = Settings().middleware
OTHER = Middleware.CYCLONE


@pytest.fixture(scope="module")
def four_sites_spec(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "uvn.yml"
    path.write_text(f"{example.read_text()}settings: {{middleware: {OTHER}}}\n")
    return path


@pytest.fixture
def well(living: Agents) -> Iterator[Agents]:
    """All agents, at rest; and again after the test."""
    living.start()
    living.await_settled(within=120)
    yield living
    living.deployment.world.restore_all()
    living.start()
    living.await_settled(within=120)


def configure(agents: Agents, *arguments: str) -> None:
    root = str(agents.deployment.registry_root)
    uno(agents.registry.node, "config", "uvn", "-U", *arguments, "-q", "-r", root)


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_with_the_other_middleware(well: Agents) -> None:
    causes.await_nothing_wrong(well.all)


def test_a_change_reaches_all_cells_also_those_that_the_registry_does_not(well: Agents) -> None:
    """The registry's tunnel with one of them is cut: its neighbours relay."""
    well.deployment.world.cut("registry", "lan-c")
    configure(well, "--timing-profile", "fast")

    result = json.loads(well.sync("-t", "150", "-J", timeout=200).stdout)

    assert result["consistent"]
    assert {cell["name"] for cell in result["cells"]} == set(well.cells)


def test_a_registry_that_is_killed_is_missed_at_once_and_comes_back(well: Agents) -> None:
    well.registry.kill()

    took = well.await_views(lambda view: not view.registry, agents=well.cells.values(), within=60)

    # No message has to be too old for it: its writer is gone.
    assert took < MAX_AGE
    well.cells["lan-b"].kill()
    well.start()
    well.await_settled(within=120)


@pytest.mark.feature("F040")
@pytest.mark.feature("F099")
@pytest.mark.feature("G56")
def test_the_middleware_and_its_domain_change_on_trial_while_agents_run(well: Agents) -> None:
    before = domain(well)
    for protocol, new, words in (
        ("tcp", before, (DEFAULT.value,)),
        ("udp", before + 1, (OTHER.value, "--dds-domain", str(before + 1))),
    ):
        configure(well, "--middleware", *words)

        result = json.loads(well.sync("-t", "120", "-J", timeout=200).stdout)

        assert result["consistent"]
        assert {cell["name"] for cell in result["cells"]} == set(well.cells)
        for each in well.all:
            index = CELL_INDEX if each.cell else REGISTRY_INDEX
            chosen = (tcp_port(new, index),) if protocol == "tcp" else ports(new, index)
            wanted = {(protocol, port) for port in chosen}
            await_true(
                lambda it=each, at=index, these=wanted: bus_ports(it.node, at, before) == these,
                f"{each.name} is at {wanted} alone",
                within=30,
            )


def domain(agents: Agents) -> int:
    """The DDS domain that the newest generation has."""
    with operations.opened(agents.deployment.registry_root) as registry:
        return int(registry.store.head().plan.bus.domain)


def bus_ports(node: Node, index: int, before: int) -> set[tuple[str, int]]:
    """The ports of a bus that programs on a node receive at, in a domain or the next one."""
    of_a_bus = {port for each in (before, before + 1) for port in ports(each, index)}
    shown = (line.split() for line in node.run(["ss", "-lutnH"]).stdout.splitlines())
    found = {(words[0], int(words[4].rpartition(":")[2])) for words in shown}
    return {(protocol, port) for protocol, port in found if port in of_a_bus}


@pytest.mark.feature("G55")
def test_a_change_ends_though_the_processes_that_parse_datagrams_are_killed(well: Agents) -> None:
    """Those of the registry and of two cells, one of them private, after each phase of it."""
    root = str(well.deployment.registry_root)
    shown = uno(well.registry.node, "config", "uvn", "-J", "-r", root).stdout
    configure(well, "--timing-profile", "default" if '"fast"' in shown else "fast")
    victims = (well.registry, well.cells["lan-a"], well.cells["lan-d"])
    agents, killed = [each.pid for each in victims], set[int]()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(well.sync, "-t", "120", timeout=180)
        for phase in ("staged", "applied"):
            await_true(lambda at=phase: is_in(well, at) or running.done(), phase, within=60)
            killed |= {kill_bus(each) for each in victims if not running.done()}
        done = running.result()

    assert len(killed) >= len(victims)
    assert done.status == 0
    assert "and reach every LAN" in done.stdout
    assert [each.pid for each in victims] == agents
    for each in victims:
        assert "the process of the bus was killed by SIGKILL" in each.log_text()
        status = Path(f"/proc/{bus_pid(each)}/status").read_text()
        assert "\nUid:\t0" not in status
        assert "\nCapEff:\t0000000000000000\n" in status


@pytest.mark.feature("G53")
def test_altered_datagrams_end_no_agent(well: Agents) -> None:
    """Past the firewall, which would drop most of them: they come from the agent's own host.

    `scripts/fuzz_datagrams.py` sends a million.
    """
    well.cells[THIEF].kill()
    site = Thief(agents=well)
    targets = (site.agents.registry, site.agents.cells[OTHER_CELL])
    await_true(lambda: all(each.bus_pid for each in targets), "each has its bus", within=30)
    before = [(each.pid, each.bus_pid) for each in targets]
    status = site.status(CellStatus(generation=1, problem="x" * 3000), sequence=1 << 22)
    with tapped(site.agent.node) as datagrams, site.writing(status):
        await_true(lambda: len(datagrams()) > 10, "datagrams of the thief are captured", within=60)
        for each in targets:
            index = CELL_INDEX if each.cell else REGISTRY_INDEX
            bombard(each.node, node_address(site, each), ports(domain(well), index), datagrams())

    assert [(each.pid, each.bus_pid) for each in targets] == before
    assert all(each.view_or_none() is not None for each in targets)


def is_in(agents: Agents, phase: str) -> bool:
    """Whether a cell has answered that it is in a phase of a change."""
    view = agents.registry.view_or_none()
    cells = view.cells if view else ()
    return any(cell.ack is not None and cell.ack.phase == phase for cell in cells)


def bus_pid(agent: Agent) -> int:
    """Return the process id of an agent's bus, once it has one."""
    await_true(lambda: agent.bus_pid, f"the process of the bus of {agent.name}", within=30)
    assert agent.bus_pid is not None
    return agent.bus_pid


def kill_bus(agent: Agent) -> int:
    """Kill the process of an agent's bus, and return which it was."""
    pid = bus_pid(agent)
    os.kill(pid, signal.SIGKILL)
    return pid


@contextmanager
def tapped(node: Node) -> Iterator[Callable[[], list[bytes]]]:
    """Collect what passes on a node's bus; the value returns the different datagrams so far."""
    with netns.entered(node.namespace):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
    found: dict[tuple[int, bytes], bytes] = {}

    def datagrams() -> list[bytes]:
        with suppress(BlockingIOError):
            while frame := tap.recv(1 << 16):
                if (at := frame.find(b"RTPS")) >= 0:
                    found.setdefault((len(frame), frame[at + 20 : at + 24]), frame[at:])
        return list(found.values())

    with tap:
        tap.settimeout(0)
        yield datagrams


def bombard(
    node: Node, address: str, to: Sequence[int], datagrams: Sequence[bytes], *, count: int = 4000
) -> None:
    """Send altered datagrams from a host to its own bus, until so many have been received."""
    chance, began = random.Random(17), received(node)  # noqa: S311 - repeatable
    with netns.socket_in(node.namespace, socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send() -> bool:
            # The agent takes this rule away again.
            node.run(["sh", "-c", PAST_THE_FIREWALL.format(ports=",".join(map(str, to)))])
            for number in range(500):
                with suppress(OSError):
                    sender.sendto(altered(datagrams, chance), (address, to[number % 2]))
                pause(0.0002)
            return received(node) - began > count

        await_true(send, f"{count} datagrams are received", within=90)


def received(node: Node) -> int:
    """The datagrams that programs on a node have received so far (RFC 4113)."""
    with netns.entered(node.namespace):
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = (row.split() for row in text.splitlines() if row.startswith("Udp: "))
    return int(values[names.index("InDatagrams")])
