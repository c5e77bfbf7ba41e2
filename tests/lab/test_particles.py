"""Phones and laptops: through each cell that serves them to every LAN and to the Internet."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import causes
import foreign
import pytest
from watching import address_of, await_true, note, pause

from uno.lab.agents import agents_of
from uno.lab.demo import probe_particles
from uno.lab.deploy import Deployment
from uno.lab.evidence import PairResult
from uno.lab.node import Node
from uno.lab.particle_peer import INTERFACE, ParticleTunnel, connected, tunnels
from uno.lab.ping_matrix import PingMatrix, PingPath
from uno.lab.world import World
from uno.lab.world_layout import Role
from uno.model.net import Address

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def four_sites_spec(tmp_path_factory: pytest.TempPathFactory, example: Path) -> Path:
    """Four sites, of which lan-c serves no particles."""
    text = example.read_text()
    line = '    allowed_lans: [192.168.3.0/24, "2001:db8:3::/64"]\n'
    assert line in text
    path = tmp_path_factory.mktemp("particles") / "uvn.yml"
    path.write_text(text.replace(line, f"{line}    settings:\n      enable_particles_vpn: false\n"))
    return path


@pytest.mark.feature("F007")
@pytest.mark.feature("F010")
@pytest.mark.feature("F011")
@pytest.mark.feature("F012")
@pytest.mark.feature("F013")
@pytest.mark.feature("F071")
@pytest.mark.feature("F082")
def test_particles_reach_everything_through_every_cell_that_serves_them(
    running: Deployment,
) -> None:
    found = probe_particles(running, report=note)

    assert_all_is_reached(found)


@pytest.mark.feature("G42")
def test_doctor_finds_nothing_wrong_where_particles_are_connected(running: Deployment) -> None:
    causes.await_nothing_wrong(agents_of(running).cells.values())


@pytest.mark.feature("F082")
def test_a_lan_whose_router_has_no_route_to_cells_answers_particles_of_other_cells(
    running: Deployment,
) -> None:
    world = running.world
    guest, router = world.nodes["john"], world.nodes["lan-b-router"]
    tunnel = tunnels(running.particle_package(guest))["lan-a"]
    host = world.nodes["lan-b-host1"]
    route = router.run(["ip", "route", "show", "10.255.128.0/22"]).stdout.split()
    router.run(["ip", "route", "del", *route])
    # The router has redirected it to the cell before (RFC 792), which it would remember.
    host.run(["ip", "route", "flush", "cache"])
    try:
        path = PingPath(guest.namespace, address_of(host))
        with connected(guest, tunnel), PingMatrix([path]) as prober:
            reached = prober.reach(within=10)
    finally:
        router.run(["ip", "route", "add", *route])

    assert route
    assert reached.missing == ()


@pytest.mark.feature("F070")
@pytest.mark.feature("G51")
def test_wg_quick_takes_the_files_of_a_package_as_they_are(
    running: Deployment, tmp_path: Path
) -> None:
    world = running.world
    guest = world.nodes["john"]
    with zipfile.ZipFile(running.particle_package(guest)) as archive:
        archive.extractall(tmp_path)
    (file,) = tmp_path.rglob("lan-b.conf")
    file.chmod(0o600)
    path = PingPath(guest.namespace, address_of(world.nodes["lan-b-host1"]))

    # The userspace implementation keeps its output open, so it must not be ours.
    guest.run(["sh", "-c", f"wg-quick up {file} >/dev/null 2>&1"])
    try:
        with PingMatrix([path]) as prober:
            reached = prober.reach(within=10)
        interfaces = guest.run(["wg", "show", "interfaces"]).stdout.split()
    finally:
        guest.run(["sh", "-c", f"wg-quick down {file} >/dev/null 2>&1"])

    assert interfaces == ["lan-b"]
    assert reached.missing == ()


@pytest.mark.feature("F013")
@pytest.mark.feature("F081")
def test_particles_reach_everything_through_hosts_with_docker(running: Deployment) -> None:
    """Docker came after uno, so the next `up` opens its firewall."""
    cells = [running.world.nodes[name] for name in ("lan-a", "lan-b", "relay")]
    for cell in cells:
        foreign.docker(cell)
    running.up(cells)

    found = probe_particles(running, report=note)

    for cell in cells:
        assert "policy drop" in cell.run(["nft", "list", "ruleset"]).stdout
    assert_all_is_reached(found)


@pytest.mark.feature("F007")
@pytest.mark.parametrize("name", ["lan-c", "lan-d"])
def test_a_cell_that_serves_no_particles_does_not_answer_them(
    running: Deployment, name: str
) -> None:
    """Neither one with the setting off, nor a private one."""
    world = running.world
    guest, cell = world.nodes["jane"], world.nodes[name]
    offered = tunnels(running.particle_package(guest))
    forged = ParticleTunnel(
        for_wg=offered["lan-a"].for_wg.replace("a.example.net", str(cell.station.public)),
        addresses=offered["lan-a"].addresses,
    )

    with connected(guest, forged), PingMatrix([PingPath(guest.namespace, server(world))]) as prober:
        reached = prober.reach(within=1.5)
        hands = guest.run(["wg", "show", INTERFACE, "latest-handshakes"]).stdout.split()

    assert name not in offered
    assert reached.missing
    assert hands[1] == "0"
    assert ":63449 " not in cell.run(["ss", "-lun"]).stdout


@pytest.mark.feature("F011")
@pytest.mark.feature("G32")
def test_nothing_of_a_particle_goes_around_its_tunnel(running: Deployment) -> None:
    world = running.world
    guest = world.nodes["john"]
    tunnel = tunnels(running.particle_package(guest))["lan-a"]
    targets = [server(world), server(world, 6), address_of(world.nodes["lan-c-host1"])]

    with (
        connected(guest, tunnel),
        guest.capture("wan", "not udp port 63449 and not arp and not icmp6[0] >= 133") as around,
        PingMatrix([PingPath(guest.namespace, target) for target in targets]) as prober,
    ):
        reached = prober.reach(within=2)
        pause(0.3)

    # lan-a has no way to the Internet's IPv6; what was sent there is lost, not sent around.
    assert reached.missing in {(), tuple(p for p in prober.paths if p.target == server(world, 6))}
    assert around.packets() == ()


@pytest.mark.feature("G24")
def test_a_particle_cannot_send_as_anybody_else(running: Deployment) -> None:
    world = running.world
    guest, host = world.nodes["jane"], world.nodes["lan-b-host1"]
    tunnel = tunnels(running.particle_package(guest))["lan-b"]
    target = str(address_of(host))

    with connected(guest, tunnel), host.capture("eth0", f"icmp[0] == 8 and dst {target}") as seen:

        def ping_as_itself() -> None:
            before = len(seen.packets())
            with PingMatrix([PingPath(guest.namespace, address_of(host))]) as prober:
                assert not prober.reach(within=5).missing
            await_true(lambda: len(seen.packets()) > before, "the ping is seen")

        ping_as_itself()
        for forged in ("192.168.3.99", "10.254.0.9"):
            with address_on(guest, forged):
                options = ["-c", "3", "-i", "0.1", "-w", "1", "-s", "100", "-I", forged]
                guest.run(["ping", *options, target], check=False)
        # What was sent before it would be seen before it.
        ping_as_itself()

    # 8 more are of the ICMP header; the prober's pings have another size.
    assert [each for each in seen.packets() if "length 108" in each] == []


def assert_all_is_reached(found: dict[tuple[str, str], tuple[PairResult, ...]]) -> None:
    served = [(who, cell) for who in ("jane", "john") for cell in ("lan-a", "lan-b", "relay")]
    assert list(found) == served
    assert [each for results in found.values() for each in results if each.fault] == []


def server(world: World, version: int = 4) -> Address:
    (node,) = world.having(Role.SERVER)
    return address_of(node, version)


@contextmanager
def address_on(node: Node, address: str) -> Iterator[None]:
    node.run(["ip", "address", "add", address, "dev", "lo"])
    try:
        yield
    finally:
        node.run(["ip", "address", "del", address, "dev", "lo"])
