"""The status of a cell, from a host in memory and from the inputs of the agent."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import msgspec
import pytest
from msgspec import structs
from msgspec.structs import replace

from nft_rules import ACCEPT, DROP, FIREWALLD, chain, payload, ruleset
from packages import HOME, HUB, LAN, LAN6, REMOTE, ROAM, key, package_of, with_metered
from uno import __version__
from uno.agent import service
from uno.agent.agent_environment import bus_config
from uno.agent.host_loop.cell_status import (
    FORGET_PARTICLE,
    StatusInputs,
    collect,
    probe_targets,
)
from uno.agent.state_sync.status_publisher import significant
from uno.host.fake.fake_host import FakeHost
from uno.model.net import Network
from uno.model.package import Package
from uno.model.plan import RootPeer
from uno.model.status import CellStatus, LinkState
from uno.ports.bus import REGISTRY_INDEX
from uno.ports.host import Facts, HostVitals, Nic, SessionStatus
from uno.ports.prober import ProbeResult
from uno.reconcile.forwarding_obstacles import Obstacle
from uno.reconcile.forwarding_proof import ForwardingProof

NOW = 1_700_000_000
NIC = Nic(
    name="eth1",
    addresses=(IPv4Interface("192.168.2.7/24"), IPv4Interface("10.0.0.7/8")),
)
WELL = ProbeResult(rtt=20.0, loss=0.0, mtu=1320)
SILENT = ProbeResult(loss=1.0)
EVERYTHING: dict[Network, tuple[str, ...]] = {LAN: (), LAN6: ()}


class Cell:
    """The cell `home` on a host where all is well: links up, every LAN has a route."""

    def __init__(self, cell: int = HOME, nic: Nic = NIC) -> None:
        self.package: Package = package_of(cell, generation=7)
        self.host = FakeHost(nics=(nic,))
        service.up(self.host, self.package, progress=lambda _: None)
        self.host.sessions = tuple(
            SessionStatus(neighbor=str(link.remote4), state="Established", prefixes=3, bfd="up")
            for link in self.package.plan.links
        )
        for link in self.package.plan.links:
            self.host.handshakes[link.public_key] = NOW - 40
        probes = {link.remote4: WELL for link in self.package.plan.links}
        probes |= {member.node4: WELL for member in self.package.roster.members}
        self.known = StatusInputs(
            facts=self.host.facts(), now=NOW, probes=probes, routed=EVERYTHING, registry=True
        )

    def node(self, cell: int) -> IPv4Address:
        return next(each.node4 for each in self.package.roster.members if each.id == cell)

    def probe_result(self, cell: int, measured: ProbeResult) -> None:
        self.known = replace(self.known, probes={**self.known.probes, self.node(cell): measured})

    @property
    def status(self) -> CellStatus:
        return collect(self.host, self.package, self.known)


@pytest.fixture
def cell() -> Cell:
    return Cell()


def test_a_status_has_what_runs_and_what_is_pending(cell: Cell) -> None:
    cell.known = replace(
        cell.known, staged=8, wireguard="kernel", pending=("set a key",), problem="no FRR"
    )

    status = cell.status

    assert (status.generation, status.staged, status.registry) == (7, 8, True)
    assert (status.wireguard, status.version) == ("kernel", __version__)
    assert (status.pending, status.problem) == (("set a key",), "no FRR")


def test_a_link_has_its_sessions_and_what_was_measured_through_it(cell: Cell) -> None:
    link = cell.package.plan.links[0]

    assert cell.status.links[0] == LinkState(
        interface=link.interface,
        cell=link.cell,
        handshake=40,
        bgp="Established",
        bfd="up",
        rtt=20.0,
        loss=0.0,
        mtu=1320,
        endpoint="198.51.100.53:63550",
        prefixes=3,
    )


def test_a_status_has_what_the_host_shows_of_itself_and_its_next_hops(cell: Cell) -> None:
    link = cell.package.plan.links[0]
    cell.host.shown = HostVitals(uptime=9000, dropped={"input": 3})
    routed = {IPv4Network(cell.node(link.cell)): (link.interface, "elsewhere")}
    cell.known = replace(cell.known, routed=routed, uptime=60)

    status = cell.status

    assert (status.uptime, status.host_uptime, status.dropped) == (60, 9000, {"input": 3})
    assert {path.cell: path.via for path in status.paths if path.via} == {link.cell: (link.cell,)}


def test_a_link_of_which_nothing_is_known_has_no_values(cell: Cell) -> None:
    cell.host.sessions = ()
    cell.host.handshakes.clear()
    cell.known = replace(cell.known, probes={})

    link = cell.status.links[0]

    assert (link.handshake, link.bgp, link.bfd, link.rtt, link.loss) == (None, "", "", None, None)
    assert not link.works


def test_a_clock_that_was_set_back_makes_no_handshake_lie_in_the_future(cell: Cell) -> None:
    cell.known = replace(cell.known, now=NOW - 86400)

    assert cell.status.links[0].handshake == 0


def test_a_lan_is_named_with_the_interface_and_address_that_lead_to_it(cell: Cell) -> None:
    (lan,) = cell.status.lans

    assert (lan.network, lan.interface) == (REMOTE, "eth1")
    assert str(lan.address) == "192.168.2.7"


@pytest.mark.feature("G52")
def test_what_is_in_the_way_on_the_host_is_named(cell: Cell) -> None:
    assert cell.status.obstacles == ()

    cell.host.foreign_rules = FIREWALLD

    (obstacle,) = cell.status.obstacles
    assert "table inet firewalld rejects packets" in obstacle
    assert cell.status.routed


@pytest.mark.feature("G52")
def test_what_links_need_is_judged_where_a_link_does_not_work(cell: Cell) -> None:
    pings = (payload("ip", "protocol", "icmp"), ACCEPT)
    cell.host.foreign_rules = ruleset(chain("i", pings, (DROP,), hook="input"))
    assert cell.status.obstacles == ()

    session(cell, state="Idle", bfd="down")

    (obstacle,) = cell.status.obstacles
    assert "drops what links need" in obstacle


@pytest.mark.feature("G52")
def test_a_cell_that_answers_no_probes_of_others_reports_why(cell: Cell) -> None:
    cell.host.foreign_rules = ruleset(chain("i", (DROP,), hook="input"))

    (obstacle,) = cell.status.obstacles

    assert "drops probes of other cells (ICMP echo requests from uwg-b0)" in obstacle


@pytest.mark.feature("G52")
def test_a_link_that_loses_large_packets_is_named(cell: Cell) -> None:
    link = cell.package.plan.links[0]

    measured(cell, ProbeResult(rtt=20.0, loss=0.0, mtu=1000))

    assert f"{link.interface} carries packets of at most 1000 octets, not 1320" in (
        cell.status.obstacles
    )
    session(cell, state="Idle", bfd="down")
    assert not any("octets" in each for each in cell.status.obstacles)


@pytest.mark.feature("G52")
def test_what_is_proved_about_forwarding_is_shown(cell: Cell) -> None:
    link, large = cell.package.plan.links[0], Obstacle(what="it is narrow", remedy="widen it")
    lost = Obstacle(what="this host loses packets", remedy="look")
    assert (cell.status.lans[0].forwards, cell.status.unproved) == (None, "")

    prove(cell, ForwardingProof(forwards={REMOTE: True}))
    assert (cell.status.lans[0].forwards, cell.status.routed) == (True, True)

    prove(cell, ForwardingProof(forwards={REMOTE: False}, obstacles=(lost,)))
    assert (cell.status.lans[0].forwards, cell.status.routed) == (False, False)
    assert cell.status.obstacles == (lost.what,)

    prove(cell, ForwardingProof(narrow={link.interface: large}))
    assert cell.status.obstacles == (large.what,)
    measured(cell, ProbeResult(rtt=20.0, loss=0.0, mtu=1000))
    assert len(cell.status.obstacles) == 1
    assert "at most 1000 octets" in cell.status.obstacles[0]

    prove(cell, ForwardingProof(unproved="no /dev/net/tun"))
    assert (cell.status.unproved, cell.status.routed) == ("no /dev/net/tun", True)


@pytest.mark.feature("G52")
def test_a_lan_into_which_no_probe_gets_is_unreachable(cell: Cell) -> None:
    prove(cell, ForwardingProof(unreached=frozenset({LAN})))

    assert (cell.status.reachable, cell.status.unreachable) == ((LAN6,), (LAN,))


def prove(cell: Cell, proof: ForwardingProof) -> None:
    cell.known = replace(cell.known, proof=proof)


def test_a_lan_that_is_gone_has_no_interface(cell: Cell) -> None:
    cell.known = replace(cell.known, facts=Facts(nics=(replace(NIC, up=False),)))

    (lan,) = cell.status.lans

    assert (lan.interface, lan.address) == (None, None)
    assert not cell.status.routed


@pytest.mark.feature("F085")
def test_a_lan_is_reachable_if_there_is_a_route_and_its_cell_answers(cell: Cell) -> None:
    assert cell.status.reachable == (LAN, LAN6)
    assert cell.status.unreachable == ()
    assert cell.status.routed


def test_a_lan_without_a_route_is_unreachable_though_its_cell_answers(cell: Cell) -> None:
    cell.known = replace(cell.known, routed={LAN: ()})

    assert (cell.status.reachable, cell.status.unreachable) == ((LAN,), (LAN6,))


def test_the_lans_of_a_cell_that_does_not_answer_are_unreachable(cell: Cell) -> None:
    cell.probe_result(HUB, SILENT)

    assert (cell.status.reachable, cell.status.unreachable) == ((), (LAN, LAN6))


def test_other_cells_are_named_with_how_they_answer(cell: Cell) -> None:
    cell.probe_result(ROAM, SILENT)

    assert [(path.cell, path.rtt, path.loss, path.answers) for path in cell.status.paths] == [
        (HUB, 20.0, 0.0, True),
        (ROAM, None, 1.0, False),
    ]


@pytest.mark.feature("F086")
def test_particles_are_on_line_while_their_handshake_is_fresh() -> None:
    nic = Nic(name="eth0", addresses=(IPv4Interface("192.168.1.1/24"),))
    hub = Cell(ROAM, nic)
    hub.host.handshakes[key("public p1")] = NOW - 100
    hub.host.handshakes[key("public p2")] = NOW - 200
    hub.host.handshakes[key("public p3")] = NOW - FORGET_PARTICLE

    assert [(each.id, each.is_online) for each in hub.status.particles] == [(1, True), (2, False)]


def test_each_link_and_each_other_cell_is_probed_from_the_address_that_it_knows() -> None:
    home = package_of(HOME)
    own = next(each.node4 for each in home.roster.members if each.id == HOME)

    found = probe_targets(home)

    assert [(each.address, each.source, each.mtu) for each in found if each.adjacent] == [
        (link.remote4, link.local4, home.plan.backbone_mtu) for link in home.plan.links
    ]
    assert [(each.address, each.source) for each in found if not each.adjacent] == [
        (each.node4, own) for each in home.roster.members if each.id != HOME
    ]


def test_of_a_metered_cell_links_node_and_the_registry_are_metered_and_no_others() -> None:
    at_home, at_hub = with_metered(package_of(HUB), HOME), with_metered(package_of(HUB), HUB)
    (link,) = (each for each in at_home.plan.links if each.cell == HOME)
    home = at_home.roster.member(HOME)

    found = [each.address for each in probe_targets(at_home) if each.metered]

    assert found == [link.remote4, home.node4]
    assert all(each.metered for each in probe_targets(at_hub))
    assert [metered_peers(at_home), metered_peers(at_hub)] == [[], [at_hub.plan.root]]


def metered_peers(package: Package) -> list[RootPeer | None]:
    """Return the root VPN for each metered peer of the bus, which is the registry."""
    peers = (each for each in bus_config(package).peers if each.metered)
    return [package.plan.root for each in peers if each.index == REGISTRY_INDEX]


def session(cell: Cell, *, state: str, bfd: str) -> None:
    first, *rest = cell.host.sessions
    cell.host.sessions = (replace(first, state=state, bfd=bfd), *rest)


def handshake(cell: Cell, age: int) -> None:
    cell.host.handshakes[cell.package.plan.links[0].public_key] = NOW - age


def routed(cell: Cell, *lans: Network) -> None:
    cell.known = replace(cell.known, routed=dict.fromkeys(lans, ()))


def measured(cell: Cell, found: ProbeResult) -> None:
    address = cell.package.plan.links[0].remote4
    cell.known = replace(cell.known, probes={**cell.known.probes, address: found})


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: handshake(cell, 5),
        lambda cell: handshake(cell, 179),
        lambda cell: measured(cell, ProbeResult(rtt=90.0, loss=0.3, mtu=1320)),
        lambda cell: cell.probe_result(HUB, ProbeResult(rtt=300.0, loss=0.2)),
        lambda cell: cell.probe_result(ROAM, SILENT),
        lambda cell: setattr(cell, "known", replace(cell.known, staged=8)),
    ],
    ids=[
        "a handshake",
        "no handshake for long",
        "a slower link",
        "a slower path",
        "a cell without LANs",
        "staged",
    ],
)
def test_measurements_and_what_is_advertised_otherwise_can_wait(
    cell: Cell, change: Callable[[Cell], None]
) -> None:
    before = significant(cell.status)

    change(cell)

    assert significant(cell.status) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: handshake(cell, 180),
        lambda cell: session(cell, state="Idle", bfd="up"),
        lambda cell: session(cell, state="Established", bfd="down"),
        lambda cell: measured(cell, ProbeResult(rtt=20.0, loss=0.0, mtu=1000)),
        lambda cell: routed(cell, LAN),
        lambda cell: setattr(cell, "known", replace(cell.known, registry=False)),
        lambda cell: setattr(cell, "known", replace(cell.known, problem="no FRR")),
        lambda cell: setattr(cell.host, "foreign_rules", FIREWALLD),
        lambda cell: setattr(cell, "known", replace(cell.known, facts=Facts())),
    ],
)
def test_what_another_cell_may_act_on_is_advertised_at_once(
    cell: Cell, change: Callable[[Cell], None]
) -> None:
    before = significant(cell.status)

    change(cell)

    assert significant(cell.status) != before


@pytest.mark.feature("G50")
def test_that_a_cell_is_muted_is_advertised_at_once(cell: Cell) -> None:
    muted = structs.replace(cell.status, muted_until=60)

    assert significant(muted) != significant(cell.status)
    assert significant(structs.replace(muted, muted_until=90)) != significant(muted)


def test_the_states_of_a_session_that_does_not_work_are_all_one(cell: Cell) -> None:
    session(cell, state="Idle", bfd="down")
    before = significant(cell.status)

    session(cell, state="Active", bfd="down")

    assert significant(cell.status) == before


def test_traffic_can_wait(cell: Cell) -> None:
    status = cell.status
    links = tuple(msgspec.structs.replace(link, received=9, sent=9) for link in status.links)

    assert significant(msgspec.structs.replace(status, links=links)) == significant(status)
