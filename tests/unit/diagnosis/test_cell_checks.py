"""Each check of a cell's host: nothing where all is well, one fault named where there is one."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, LAN, LAN6, REMOTE, package_of
from uno.agent import service
from uno.diagnosis import cell_checks
from uno.diagnosis.cell_checks import CHECKS, diagnose
from uno.diagnosis.cell_facts import (
    AgentProcess,
    CellFacts,
    ClockReading,
    DiskSpace,
    LanHost,
    NotObserved,
)
from uno.diagnosis.check_result import CheckResult, CheckState, Diagnosis
from uno.host.fake.fake_host import FakeHost
from uno.model.key_ids import Secret
from uno.model.messages import Ack, Phase
from uno.model.status import CellStatus, CellView, LinkState, UndonePackage, UvnView
from uno.ports.host import (
    ConfigureTunnel,
    Facts,
    KernelPath,
    LinkMode,
    Nic,
    RemoveTunnel,
    ReplaceFirewall,
    SessionStatus,
)
from uno.reconcile.forwarding_obstacles import Obstacle, ObstacleKind
from uno.reconcile.forwarding_proof import ForwardingProof

PACKAGE = package_of(HOME)
(LINK,) = PACKAGE.plan.links
NAME = PACKAGE.roster.member(LINK.cell).name
NOW = 1_800_000_000
NIC = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),), has_default_route=True)
ROUTER = LanHost(
    lan=REMOTE,
    nic="eth1",
    address=IPv4Address("192.168.2.1"),
    is_router=True,
    answers_cell=True,
    answers_sites=True,
)
DISK = DiskSpace(path="/opt/uvn", free=10 << 30, total=20 << 30, free_inodes=100_000)


@dataclass
class Site:
    """A host that is up, and what is observed beside it."""

    host: FakeHost
    facts: dict[str, Any]
    proof: ForwardingProof

    @property
    def diagnosis(self) -> Diagnosis:
        found = replace(service.status(self.host, PACKAGE), proof=self.proof)
        observed = {"service": found, "host": self.host.facts()} | self.facts
        return diagnose(CellFacts(**observed), package=PACKAGE)

    @property
    def wrong(self) -> tuple[CheckResult, ...]:
        return tuple(each for each in self.diagnosis.results if each.state is not CheckState.GOOD)

    def only(self, check: str, state: CheckState = CheckState.FAULT) -> CheckResult:
        """Return the only result that is not good."""
        (found,) = self.wrong
        assert (found.check, found.state) == (check, state)
        assert found.remedy or state is CheckState.NOT_CHECKED
        return found

    def session(self, *, state: str = "Established", bfd: str = "up", age: int | None = 20) -> None:
        neighbor = str(LINK.remote4)
        self.host.sessions = (SessionStatus(neighbor=neighbor, state=state, prefixes=1, bfd=bfd),)
        self.host.handshakes = {} if age is None else {LINK.public_key: NOW - age}


@pytest.fixture
def site() -> Site:
    host = FakeHost(nics=[NIC])
    service.up(host, PACKAGE, progress=lambda _: None)
    made = Site(
        host=host,
        proof=ForwardingProof(forwards={REMOTE: True}),
        facts={
            "directory": "/opt/uvn",
            "view": None,
            "agent": AgentProcess(runs=False),
            "clock": ClockReading(now=NOW, newest=NOW - 60, path="/opt/uvn/state.json"),
            "disks": (DISK,),
            "resolved": {str(LINK.endpoint): ("198.51.100.53:63550",)},
            "taken": frozenset(),
            "paths": {LAN: KernelPath(interface=LINK.interface)},
            "lan_hosts": (ROUTER,),
            "has_wireguard": True,
            "lacking": (),
            "undone": None,
        },
    )
    made.session()
    return made


def test_a_host_that_is_well_has_no_fault(site: Site) -> None:
    found = site.diagnosis

    assert site.wrong == ()
    assert (found.uvn, found.subject, found.exit_status) == ("net", "home", 0)
    assert [each.check for each in found.results] == [each.id for each in CHECKS]
    assert len(CHECKS) == 22


# Each of these is one fault; `named` is in its text.
def lacking(site: Site) -> None:
    site.facts["lacking"] = ("nft",)


def without_wireguard(site: Site) -> None:
    site.facts["has_wireguard"] = False


def clock_behind(site: Site) -> None:
    site.facts["clock"] = ClockReading(now=NOW, newest=NOW + 7200, path="/opt/uvn/state.json")
    site.session(state="Idle", bfd="down", age=None)


def clock_unlike_others(site: Site) -> None:
    site.facts["view"] = view(clock=NOW - 3600)


def disk_full(site: Site) -> None:
    site.facts["disks"] = (replace(DISK, free=4096),)


def disk_nearly_full(site: Site) -> None:
    site.facts["disks"] = (replace(DISK, free=20 << 20),)


def disk_read_only(site: Site) -> None:
    site.facts["disks"] = (replace(DISK, read_only=True),)


def no_inodes(site: Site) -> None:
    site.facts["disks"] = (replace(DISK, free_inodes=0),)


def package_behind(site: Site) -> None:
    site.facts["view"] = view(package=2)


def package_refused(site: Site) -> None:
    ack = Ack(generation=2, phase=Phase.REFUSED, running=1, reason="port 1 is in use")
    site.facts["view"] = view(package=2, ack=ack)


def rolled_back(site: Site) -> None:
    site.facts["undone"] = UndonePackage(generation=2, reason="no contact", age=10)


def agent_dead(site: Site) -> None:
    site.facts["agent"] = AgentProcess(runs=False, crashed=True)


def agent_not_started(site: Site) -> None:
    site.facts["agent"] = AgentProcess(runs=False, wanted=True)


def agent_has_a_problem(site: Site) -> None:
    site.facts["view"] = view(problem="cannot write /opt/uvn: the disk is full")


def lan_lost(site: Site) -> None:
    site.host.unplug("eth1")
    site.facts["lan_hosts"] = ()


def lan_down(site: Site) -> None:
    site.host.plug(replace(NIC, up=False))
    site.facts["lan_hosts"] = ()


def no_carrier(site: Site) -> None:
    site.host.modes["eth1"] = LinkMode.NO_CARRIER
    site.facts["lan_hosts"] = (replace(ROUTER, answers_cell=False, answers_sites=False),)


def overlap(site: Site) -> None:
    site.host.plug(Nic(name="br-app", addresses=(IPv4Interface("192.168.1.9/24"),)))
    site.facts["paths"] = {LAN: KernelPath(interface="br-app")}


def forwarding_off(site: Site) -> None:
    site.host.sysctl("net.ipv4.ip_forward", "0")
    site.proof = loses()


def strict_filter(site: Site) -> None:
    strict = Obstacle(kind=ObstacleKind.RP_FILTER, what="eth1.rp_filter is 1", remedy="set it to 2")
    site.proof = replace(loses(), obstacles=(strict, *loses().obstacles))


def docker(site: Site) -> None:
    site.host.foreign_rules = ruleset("ip", "filter", "FORWARD", "forward")
    site.proof = loses()


def firewall(site: Site) -> None:
    site.host.foreign_rules = ruleset("inet", "mine", "through", "forward")
    site.proof = loses()


def firewall_drops_bfd(site: Site) -> None:
    site.host.foreign_rules = ruleset("inet", "mine", "input", "input")
    site.session(state="Idle", bfd="down", age=400)


def port_taken(site: Site) -> None:
    site.facts["taken"] = frozenset({63550})
    site.session(state="Idle", bfd="down", age=None)


def frr_dead(site: Site) -> None:
    site.host._run_routing(runs=False)
    site.session(state="", bfd="", age=20)
    site.facts["paths"] = {LAN: KernelPath(interface=None, kind="unreachable")}


def unresolved(site: Site) -> None:
    site.facts["resolved"] = {str(LINK.endpoint): ()}
    site.session(state="Active", bfd="down", age=None)


def unresolved_but_up(site: Site) -> None:
    site.facts["resolved"] = {str(LINK.endpoint): ()}


def moved(site: Site) -> None:
    site.facts["resolved"] = {str(LINK.endpoint): ("198.51.100.99:63550",)}
    site.session(state="Active", bfd="down", age=1000)


def cut(site: Site) -> None:
    site.session(state="Active", bfd="down", age=1000)
    site.facts["paths"] = {LAN: KernelPath(interface=None, kind="unreachable")}


def never_answered(site: Site) -> None:
    site.session(state="Active", bfd="down", age=None)


def without_bgp(site: Site) -> None:
    site.session(state="Active", bfd="down", age=30)


def no_default_route(site: Site) -> None:
    site.host.plug(replace(NIC, has_default_route=False))
    site.session(state="Active", bfd="down", age=900)


def lan_down_that_is_the_way_out(site: Site) -> None:
    lan_down(site)
    site.session(state="Active", bfd="down", age=900)


def link_down(site: Site) -> None:
    site.host.modes[LINK.interface] = LinkMode.DOWN
    site.session(state="Active", bfd="down", age=30)


def other_tunnel(site: Site, **changes: Any) -> None:
    """Have somebody configure the link's interface otherwise, and the link silent."""
    there = next(each for each in site.host.observe(()).tunnels if each.name == LINK.interface)
    site.host.perform(ConfigureTunnel(replace(there, **changes)))
    site.session(state="Active", bfd="down", age=None)


def other_peer(site: Site, **changes: Any) -> None:
    there = next(each for each in site.host.observe(()).tunnels if each.name == LINK.interface)
    other_tunnel(site, peers=(replace(there.peers[0], **changes),))


def wrong_key(site: Site) -> None:
    other_peer(site, public_key=b64encode(bytes(32)).decode())


def wrong_preshared_key(site: Site) -> None:
    other_peer(site, psk=Secret(b64encode(bytes(32)).decode()))


def wrong_private_key(site: Site) -> None:
    other_tunnel(site, private_key=Secret(b64encode(bytes(32)).decode()))


def no_link_interface(site: Site) -> None:
    site.host.perform(RemoveTunnel(LINK.interface))
    site.session(state="Active", bfd="down", age=None)


def narrow(site: Site) -> None:
    lost = Obstacle(kind=ObstacleKind.MTU, what=f"{LINK.interface} loses packets", remedy="look")
    site.proof = ForwardingProof(forwards={REMOTE: True}, narrow={LINK.interface: lost})


def other_route(site: Site) -> None:
    site.facts["paths"] = {LAN: KernelPath(interface="tun0", table=52)}


def prohibited(site: Site) -> None:
    site.facts["paths"] = {LAN: KernelPath(interface=None, kind="prohibit")}
    site.proof = loses()


def lost_otherwise(site: Site) -> None:
    site.proof = loses()


def no_route_back(site: Site) -> None:
    host = replace(ROUTER, address=IPv4Address("192.168.2.9"), is_router=False, answers_sites=False)
    site.facts["lan_hosts"] = (replace(ROUTER, answers_sites=False), host)


def router_alone_is_silent(site: Site) -> None:
    site.facts["lan_hosts"] = (replace(ROUTER, answers_sites=False),)


def one_host_local_only(site: Site) -> None:
    other = replace(
        ROUTER, address=IPv4Address("192.168.2.9"), is_router=False, answers_sites=False
    )
    site.facts["lan_hosts"] = (ROUTER, other)


def loses() -> ForwardingProof:
    lost = Obstacle(what=f"LAN {REMOTE}: this host loses packets", remedy="look")
    return ForwardingProof(forwards={REMOTE: False}, obstacles=(lost,))


def view(
    *, package: int = 1, ack: Ack | None = None, problem: str = "", clock: int = NOW
) -> UvnView:
    own = CellStatus(generation=1, problem=problem, clock=NOW)
    other = CellStatus(generation=1, clock=clock)
    return UvnView(
        uvn="net",
        viewer=HOME,
        generation=1,
        cells=(
            CellView(id=HOME, name="home", package=package, status=own, ack=ack, age=0, alive=True),
            CellView(
                id=LINK.cell, name=NAME, package=1, status=other, age=3, status_age=3, alive=True
            ),
        ),
    )


def ruleset(family: str, table: str, chain: str, hook: str) -> str:
    base = {"family": family, "table": table, "name": chain, "handle": 1}
    return json.dumps(
        {
            "nftables": [
                {"table": {"family": family, "name": table, "handle": 1}},
                {"chain": base | {"type": "filter", "hook": hook, "prio": 5, "policy": "drop"}},
            ]
        }
    )


FAULT, WARNING = CheckState.FAULT, CheckState.WARNING
CASES: tuple[tuple[Callable[[Site], None], str, CheckState, str], ...] = (
    (lacking, "requirements", FAULT, "nft"),
    (without_wireguard, "requirements", FAULT, "WireGuard"),
    (clock_behind, "clock", FAULT, "2 h or more behind"),
    (clock_unlike_others, "clock", WARNING, "59 min ahead of"),
    (disk_full, "disk", FAULT, "/opt/uvn is full"),
    (disk_nearly_full, "disk", WARNING, "20 MiB left"),
    (disk_read_only, "disk", FAULT, "read-only"),
    (no_inodes, "disk", FAULT, "inodes"),
    (package_behind, "package", WARNING, "runs generation 1, the registry has 2"),
    (package_refused, "package", FAULT, "refused, port 1 is in use"),
    (rolled_back, "package", WARNING, "rolled back from generation 2"),
    (agent_dead, "agent", FAULT, "has ended"),
    (agent_not_started, "agent", FAULT, "has ended"),
    (agent_has_a_problem, "agent", FAULT, "the disk is full"),
    (lan_lost, "lans", FAULT, f"no interface of this host is in LAN {REMOTE}"),
    (lan_down, "lans", FAULT, "eth1 is down"),
    (no_carrier, "lans", FAULT, "eth1 has no carrier"),
    (overlap, "overlap", FAULT, "br-app has 192.168.1.0/24"),
    (forwarding_off, "forwarding", FAULT, "net.ipv4.ip_forward is 0"),
    (strict_filter, "rp-filter", FAULT, "rp_filter is 1"),
    (docker, "docker", FAULT, "chain FORWARD of nftables table ip filter"),
    (firewall, "firewall", FAULT, "chain through of nftables table inet mine"),
    (firewall_drops_bfd, "firewall", FAULT, "drops what links need"),
    (port_taken, "ports", FAULT, "UDP port 63550"),
    (frr_dead, "routing", FAULT, "FRR does not run"),
    (unresolved, "endpoints", FAULT, "cannot be resolved"),
    (unresolved_but_up, "endpoints", WARNING, "cannot be resolved"),
    (moved, "endpoints", FAULT, "now leads to 198.51.100.99:63550"),
    (cut, "links", FAULT, "has not answered for 1000 s; the interface sends to 198.51.100.53:"),
    (never_answered, "links", FAULT, "has never answered"),
    (without_bgp, "links", FAULT, "(BGP: Active), and the last handshake is 30 s old"),
    (no_default_route, "links", FAULT, "no default route"),
    (lan_down_that_is_the_way_out, "lans", FAULT, "eth1 is down"),
    (link_down, "links", FAULT, f"{LINK.interface} is down"),
    (wrong_key, "links", FAULT, f"{LINK.interface} has another key of {NAME} than"),
    (wrong_preshared_key, "links", FAULT, f"another preshared key for {NAME} than"),
    (wrong_private_key, "links", FAULT, "has another private key than"),
    (no_link_interface, "links", FAULT, f"{LINK.interface} to {NAME} does not exist"),
    (narrow, "mtu", FAULT, "loses packets"),
    (other_route, "routes", FAULT, "leave by tun0"),
    (prohibited, "routes", FAULT, "a rule of this host prohibits"),
    (lost_otherwise, "loss", FAULT, "this host loses packets"),
    (no_route_back, "route-back", FAULT, "192.168.2.1, 192.168.2.9 answer this cell, and no"),
    (router_alone_is_silent, "route-back", WARNING, "or answers its LAN only"),
    (one_host_local_only, "route-back", WARNING, "192.168.2.9"),
)


@pytest.mark.feature("G42")
@pytest.mark.parametrize(
    ("harm", "check", "state", "named"), CASES, ids=lambda v: getattr(v, "__name__", "")
)
def test_each_fault_is_named_and_nothing_that_follows_from_it(
    site: Site, harm: Callable[[Site], None], check: str, state: CheckState, named: str
) -> None:
    harm(site)

    assert named in site.only(check, state).what


def test_what_differs_from_what_uno_has_set_up_is_a_warning(site: Site) -> None:
    site.host.perform(ReplaceFirewall(None))

    assert "uno service up" in site.only("service", CheckState.WARNING).remedy
    assert site.diagnosis.exit_status == 1

    site.facts["agent"] = AgentProcess(runs=True)
    assert "next pass" in site.only("service", CheckState.WARNING).remedy


def test_a_network_that_is_down_is_one_fault_and_the_rest_is_not_checked(site: Site) -> None:
    service.down(site.host, forget=True, progress=lambda _: None)
    site.facts["paths"] = {LAN: KernelPath(interface="eth0")}

    found = site.diagnosis

    states = {each.check: each.state for each in found.results}
    assert [check for check, state in states.items() if state is CheckState.FAULT] == ["service"]
    assert states["links"] is CheckState.NOT_CHECKED
    assert found.exit_status == 2


def test_without_root_each_check_that_needs_it_shows_why(site: Site) -> None:
    needs_root = NotObserved("only root can observe it")
    site.facts |= {"service": needs_root, "view": needs_root, "lan_hosts": needs_root}
    site.facts |= {"taken": needs_root}

    found = site.diagnosis

    states = {each.check: each for each in found.results}
    assert states["links"].state is CheckState.NOT_CHECKED
    assert states["links"].what == "only root can observe it"
    assert states["disk"].state is states["clock"].state is CheckState.GOOD
    assert found.exit_status == 1


def test_where_the_package_cannot_be_read_the_host_alone_is_checked(site: Site) -> None:
    unknown = NotObserved("the package cannot be read")
    kept = ("directory", "clock", "disks", "lacking", "has_wireguard")
    names = CellFacts.__struct_fields__
    values = {name: site.facts[name] if name in kept else unknown for name in names}

    found = diagnose(CellFacts(**values), package=None)

    good = [each.check for each in found.results if each.state is CheckState.GOOD]
    assert good == ["requirements", "clock", "disk"]
    assert (found.uvn, found.subject, found.exit_status) == ("", "", 1)


@pytest.mark.feature("G42")
def test_a_port_at_which_nothing_has_arrived_is_named_with_its_number(site: Site) -> None:
    package, nic = package_of(HUB), Nic(name="eth0", has_default_route=True)
    lan = Nic(
        name="eth1",
        addresses=(IPv4Interface("192.168.1.7/24"), IPv6Interface("2001:db8:1::7/64")),
    )
    shared = replace(nic, addresses=(IPv4Interface("100.64.3.4/10"),))
    (link,) = [each for each in package.plan.links if each.endpoint is None]
    for outside, note in ((nic, "uwg-b"), (shared, "100.64.3.4 is an address of carrier-grade")):
        host = FakeHost(nics=[outside, lan])
        service.up(host, package, progress=lambda _: None)
        host.sessions = tuple(
            SessionStatus(
                neighbor=str(each.remote4),
                state="Active" if each is link else "Established",
                prefixes=1,
                bfd="down" if each is link else "up",
            )
            for each in package.plan.links
        )
        endpoints = {str(each.endpoint): ("198.51.100.53:63550",) for each in package.plan.links}
        facts = site.facts | {
            "service": service.status(host, package),
            "host": host.facts(),
            "resolved": endpoints,
            "paths": {},
        }

        found = diagnose(CellFacts(**facts), package=package)

        (wrong,) = [each for each in found.results if each.state is not CheckState.GOOD]
        assert wrong.check == "port-forwarding"
        assert f"nothing has ever arrived from home at UDP port {link.port}" in wrong.what
        assert note in wrong.what
        assert f"forward UDP port {link.port}" in wrong.remedy


@pytest.mark.feature("G42")
@pytest.mark.parametrize("received", [0, 92])
@pytest.mark.parametrize(
    ("address", "is_one"), [("HUB.example.org", True), ("home.example.org", False), (None, False)]
)
def test_a_silent_link_within_a_site_needs_nat_loopback(
    received: int, address: str | None, *, is_one: bool
) -> None:
    package = package_of(HUB)
    (link,) = [each for each in package.plan.links if each.cell == HOME]
    members = tuple(
        replace(each, endpoint=address) if each.id == HOME else each
        for each in package.roster.members
    )
    case: Any = SimpleNamespace(
        own=replace(package, roster=replace(package.roster, members=members))
    )
    state = LinkState(interface=link.interface, cell=HOME, received=received)

    found = cell_checks._fault_of(case, link, state)

    assert found is not None
    assert ("NAT loopback" in found.remedy, "one public address" in found.what) == (is_one, is_one)
    works = replace(state, handshake=1, bgp="Established", bfd="up")
    assert cell_checks._fault_of(case, link, works) is None


@pytest.mark.feature("G42")
def test_ipv6_that_the_kernel_lacks_is_a_fault_where_a_lan_has_it(site: Site) -> None:
    hub = package_of(HUB)
    site.facts["host"] = Facts(nics=(NIC,), has_ipv6=False)
    assert site.wrong == ()

    results = diagnose(
        CellFacts(**{"service": service.status(site.host, PACKAGE)} | site.facts), package=hub
    ).results

    (wrong,) = [each for each in results if each.check == "ipv6"]
    assert (wrong.state, str(LAN6) in wrong.what) == (CheckState.FAULT, True)


def test_every_check_has_a_case() -> None:
    elsewhere = {"ipv6", "port-forwarding", "service"}

    assert {check for _, check, _, _ in CASES} | elsewhere == {each.id for each in CHECKS}
