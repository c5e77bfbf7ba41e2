"""All that a cell's host is given as text, whole, for each kind of cell.

`UPDATE_GOLDEN=1` writes the files anew; the difference is to be reviewed like code.

    lan-a    public, one LAN
    lan-b    public, two LANs, one of them IPv6
    lan-c    private
    lan-d    public, without LANs
    dds      the firewall of lan-a where the agents use DDS
"""

from __future__ import annotations

import os
import shutil
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from uno.host.command import run
from uno.model.attached_lan import AttachedLan
from uno.model.plan import ParticlePeer, Plan
from uno.model.routing_policy import routing_policy
from uno.model.uvn import Cell, Middleware, Particle, Settings, User, Uvn
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.planner import plan
from uno.ports.bus import CELL_INDEX, listening
from uno.render import frr, nftables

HERE = Path(__file__).parent
OWNER = "owner@example.org"
SITES = Uvn(
    name="four-sites",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        Cell(
            id=1,
            name="lan-a",
            owner=OWNER,
            address="lan-a.example.org",
            allowed_lans=(IPv4Network("192.168.1.0/24"),),
        ),
        Cell(
            id=2,
            name="lan-b",
            owner=OWNER,
            address="lan-b.example.org",
            allowed_lans=(IPv4Network("192.168.2.0/24"), IPv6Network("2001:db8:2::/64")),
        ),
        Cell(id=3, name="lan-c", owner=OWNER, allowed_lans=(IPv4Network("192.168.3.0/24"),)),
        Cell(id=4, name="lan-d", owner=OWNER, address="198.51.100.4"),
    ),
    particles=(Particle(id=1, name="phone", owner=OWNER),),
    next_cell=5,
    next_particle=2,
)
CELLS = {cell.name: cell for cell in SITES.cells}
DAEMONS = ("zebra", "bfdd", "bgpd")
NAMES = (*(f"{daemon}.conf" for daemon in DAEMONS), "uno.nft")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="nft and FRR's daemons need root")


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(SITES, None)


@pytest.mark.feature("F004")
@pytest.mark.feature("F080")
@pytest.mark.feature("F082")
@pytest.mark.feature("F083")
@pytest.mark.feature("G15")
@pytest.mark.feature("G22")
@pytest.mark.feature("G24")
@pytest.mark.feature("G28")
@pytest.mark.feature("G32")
@pytest.mark.parametrize("cell", CELLS)
def test_a_cells_files_are_as_reviewed(cell: str, planned: Plan) -> None:
    folder = HERE / cell
    files = files_of(cell, planned)
    if os.environ.get("UPDATE_GOLDEN"):
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)

    assert {path.name for path in folder.iterdir()} == set(NAMES)
    for name in NAMES:
        assert files[name] == (folder / name).read_text()


@pytest.mark.feature("G24")
@pytest.mark.feature("G31")
def test_the_firewall_of_a_cell_with_dds_is_as_reviewed() -> None:
    uvn = replace(SITES, settings=Settings(middleware=Middleware.CYCLONE))
    text, file = files_of("lan-a", plan(uvn, None))["uno.nft"], HERE / "dds" / "uno.nft"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    assert text == file.read_text()


@as_root
@pytest.mark.skipif(not shutil.which("nft"), reason="there is no nft")
@pytest.mark.parametrize("cell", [*CELLS, "dds"])
def test_nft_takes_the_ruleset(cell: str) -> None:
    ruleset = (HERE / cell / "uno.nft").read_text()

    run(["unshare", "--net", "nft", "--check", "--file", "-"], stdin=ruleset)


@as_root
@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("cell", CELLS)
def test_frr_takes_the_configuration(cell: str, daemon: str) -> None:
    assert refused(daemon, (HERE / cell / f"{daemon}.conf").read_text()) == []


@as_root
@pytest.mark.parametrize("daemon", DAEMONS)
def test_frr_prints_what_it_does_not_accept(daemon: str) -> None:
    assert len(refused(daemon, "!\nnonsense\n")) == 1


def refused(daemon: str, text: str) -> list[str]:
    """Return a daemon's output for lines that it does not know; its exit status is 0 anyway."""
    program = Path("/usr/lib/frr") / daemon
    if not program.exists():
        pytest.skip(f"there is no {program}")
    with TemporaryDirectory() as folder:
        # The daemon reads it as the user frr.
        Path(folder).chmod(0o755)
        file = Path(folder) / "frr.conf"
        file.write_text(text)
        done = run([str(program), "--dryrun", "--config_file", str(file)])
    reported = (done.stdout + done.stderr).splitlines()
    return [line for line in reported if "config line" in line or "can't open" in line]


def files_of(name: str, planned: Plan) -> dict[str, str]:
    cell = CELLS[name]
    lans = tuple(AttachedLan(network=lan, nic="eth1") for lan in cell.allowed_lans)
    own, everyone = cell_plans(planned)[cell.id], roster(planned)
    policy = routing_policy(own, everyone, lans=lans)
    texts = {f"{each}.conf": text for each, text in frr.daemons(policy)}
    peers = tuple(ParticlePeer(each.identity, "", "") for each in planned.particles)
    bus = listening(own.bus, CELL_INDEX)
    rules = nftables.ruleset(own, everyone, lans=lans, bus_ports=bus, particles=peers)
    return {**texts, "uno.nft": rules}
