"""The acceptance world of the first implementation: static, then with agents, then changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import causes
import pytest
from acceptance import LANS, NOT_SERVING, SERVING, acceptance
from watching import address_of, await_true, note

from uno.lab.agents import Agents, agents_of, is_settled
from uno.lab.demo import probe_particles
from uno.lab.deploy import Deployment, uno
from uno.lab.evidence import lan_pairs, pair_results
from uno.lab.node import Node
from uno.lab.particle_peer import INTERFACE, ParticleTunnel, connected, tunnels
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.transfer import transfers
from uno.lab.world_layout import Role

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["spec", "commands"])
def up(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Every cell connected by `uno service up`; no agent runs."""
    with acceptance(request.param, tmp_path_factory.mktemp("acceptance")) as deployment:
        deployment.up()
        yield deployment


@pytest.fixture(scope="module")
def agents(up: Deployment) -> Iterator[Agents]:
    """The same network with agents, that took it over as it was."""
    running = agents_of(up)
    running.start()
    running.await_settled()
    yield running
    running.stop()


def test_every_host_reaches_every_other_by_tcp(up: Deployment) -> None:
    assert faults(up) == []


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong(up: Deployment) -> None:
    causes.await_nothing_wrong(agents_of(up).cells.values())


@pytest.mark.feature("F016")
def test_the_ports_of_a_guide_are_those_that_the_cell_listens_on(up: Deployment) -> None:
    for cell in up.cells:
        forwarded = ports_to_forward(up.registry("guide", cell.name).stdout)
        if cell.name == "private1":
            assert forwarded == set()
            continue
        # wg(8) leaves out an interface that does not answer it at once, as on a busy machine.
        await_true(
            lambda c=cell, f=forwarded: listening(c) == f,
            f"{cell.name} listens on {sorted(forwarded)}",
            within=60,
        )


def listening(cell: Node) -> set[int]:
    """The UDP ports of a cell's WireGuard interfaces, and those between the ones of its links.

    A guide has one span for links: the port between two, which a deleted cell had, is used again.
    """
    words = cell.run(["wg", "show", "all", "listen-port"]).stdout.split()
    ports = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    links = [port for name, port in ports.items() if name.startswith("uwg-b")]
    return {*ports.values(), *range(min(links, default=0), max(links, default=-1) + 1)}


def ports_to_forward(guide: str) -> set[int]:
    """The UDP ports that a guide has forwarded to the cell's host."""
    rows = re.findall(r"^\| UDP (\d+)(?:–(\d+))? \| (.*) \|$", guide, re.MULTILINE)
    spans = [(int(low), int(high or low)) for low, high, what in rows if "not to this" not in what]
    return {port for low, high in spans for port in range(low, high + 1)}


def test_a_particle_reaches_every_host_through_every_serving_cell(up: Deployment) -> None:
    found = probe_particles(up, report=note)

    assert list(found) == [("particle1", cell) for cell in SERVING]
    assert [each for results in found.values() for each in results if each.fault] == []


@pytest.mark.parametrize("name", NOT_SERVING)
def test_a_particle_is_refused_by_the_other_cells(up: Deployment, name: str) -> None:
    guest, cell = up.world.nodes["particle1"], up.world.nodes[name]
    offered = tunnels(up.particle_package(guest))
    forged = ParticleTunnel(
        for_wg=offered["cell1"].for_wg.replace("cell1.example.net", str(cell.station.public)),
        addresses=offered["cell1"].addresses,
    )
    hosts = up.world.having(Role.HOST)

    with (
        connected(guest, forged),
        PingMatrix([PingPath(guest.namespace, address_of(host)) for host in hosts]) as prober,
    ):
        reached = prober.reach(within=1)
        hands = guest.run(["wg", "show", INTERFACE, "latest-handshakes"]).stdout.split()

    assert name not in offered
    assert len(reached.missing) == len(hosts)
    assert hands[1] == "0"


def test_agents_take_over_what_runs_and_lose_nothing(up: Deployment, agents: Agents) -> None:
    assert [agent.name for agent in agents.all if agent.pid is None] == []
    assert faults(up) == []


@pytest.mark.feature("F087")
@pytest.mark.feature("F092")
@pytest.mark.feature("F093")
def test_sync_finds_all_consistent_and_every_cell_reaches_every_lan(agents: Agents) -> None:
    done = agents.sync("-t", "90")

    assert done.status == 0, done
    for agent in agents.cells.values():
        assert lans_in(agents, agent.name, "reachable") == expected()
        assert lans_in(agents, agent.name, "unreachable") == set()


@pytest.mark.feature("F014")
@pytest.mark.feature("F061")
@pytest.mark.feature("F062")
@pytest.mark.feature("F090")
def test_a_backbone_that_is_laid_out_anew_is_consistent_after_sync(
    up: Deployment, agents: Agents
) -> None:
    up.registry("redeploy", "-S", "circular", "-y")

    done = agents.sync("-t", "120")

    assert done.status == 0, done
    assert agents.await_settled() < 60
    assert faults(up) == []
    for agent in agents.cells.values():
        await_true(
            lambda name=agent.name: lans_in(agents, name, "reachable") == expected(),
            f"{agent.name} reaches all LANs",
            within=30,
        )


def test_status_shows_it_on_every_node(up: Deployment, agents: Agents) -> None:
    assert uno(up.world.registry, "status", "-r", str(up.registry_root)).status == 0
    for agent in agents.cells.values():
        view = agent.view()
        assert is_settled(view), view
        assert view.registry
    cell = agents.cells["private1"]
    assert uno(cell.node, "status", "--json", "-r", str(cell.root)).status == 0


def faults(deployment: Deployment) -> list[str]:
    """What is wrong between the hosts of all LANs: pings, and TCP in both directions."""
    world = deployment.world
    pairs = lan_pairs(world)
    with PingMatrix([pair.path for pair in pairs]) as prober:
        reached = prober.reach(within=60)
    carried = transfers(
        [pair.path for pair in pairs],
        servers=[host.namespace for host in world.having(Role.HOST)],
    )
    results = pair_results(pairs, reached, carried, source_kept=True)
    assert len(results) == len(LANS) * (len(LANS) - 1)
    return [f"{v.source} to {v.target}: {v.fault}" for v in results if v.fault]


def lans_in(agents: Agents, cell: str, kind: str) -> set[str]:
    """The networks in one of the files that an agent keeps for programs."""
    path = agents.cells[cell].root / f"networks.{kind}"
    return {line.split()[0] for line in path.read_text().splitlines() if line.strip()}


def expected() -> set[str]:
    """All LANs, a cell's own among them."""
    return set(LANS.values())
