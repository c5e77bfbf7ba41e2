"""`uno explain`: the first cause in each direction, by name, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from msgspec.structs import replace

from packages import OWNER
from uno.diagnosis.cell_facts import LanHost
from uno.diagnosis.explained_path import Explanation, HopState
from uno.diagnosis.explanation import Sight, explain
from uno.diagnosis.network_map import find_place, map_of_plan
from uno.model.messages import Ack, Phase
from uno.model.status import (
    CellStatus,
    CellView,
    LanState,
    LinkState,
    ParticleState,
    PathState,
    UvnView,
)
from uno.model.uvn import (
    Cell,
    DeploymentSettings,
    Particle,
    Settings,
    Strategy,
    User,
    Uvn,
)
from uno.planning.planner import plan
from uno.ports.host import KernelPath

# a – b – c in a line, and d, which only b links: one way from each to each.
LANS = {name: IPv4Network(f"192.168.{n}.0/24") for n, name in enumerate("abcd", start=1)}
UVN = Uvn(
    name="net",
    identity="0123456789abcdef0123456789abcdef",
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OWNER),),
    cells=(
        *(
            Cell(
                id=n,
                name=name,
                owner=OWNER,
                address=None if name == "d" else f"{name}.example.org",
                allowed_lans=(LANS[name],),
            )
            for n, name in enumerate("abcd", start=1)
        ),
        Cell(
            id=5,
            name="old",
            owner=OWNER,
            allowed_lans=(IPv4Network("192.168.9.0/24"),),
            excluded=True,
        ),
    ),
    particles=(
        Particle(id=1, name="phone", owner=OWNER),
        Particle(id=2, name="lost", owner=OWNER, excluded=True),
    ),
    settings=Settings(
        deployment=DeploymentSettings(
            strategy=Strategy.STATIC, strategy_args={"a": ["b"], "b": ["c", "d"]}
        )
    ),
    next_cell=6,
    next_particle=3,
)
PLAN = plan(UVN, None)
IDS = {cell.member.name: cell.member.id for cell in PLAN.cells}
NAMES = {number: name for name, number in IDS.items()}


def link_of(other: str, *, up: bool = True) -> LinkState:
    return LinkState(
        interface=f"uwg-b{IDS[other]}",
        cell=IDS[other],
        handshake=20 if up else 900,
        bgp="Established" if up else "Active",
        bfd="up" if up else "down",
        received=100,
    )


def status(name: str) -> CellStatus:
    neighbors = [
        NAMES[other]
        for link in PLAN.links
        for here, other in (link.cells, link.cells[::-1])
        if NAMES[here] == name
    ]
    others = [each for each in LANS if each != name]
    return CellStatus(
        generation=1,
        lans=(LanState(network=LANS[name], interface="lan0", forwards=True),),
        links=tuple(link_of(each) for each in neighbors),
        paths=tuple(PathState(cell=IDS[each], rtt=1.0) for each in others),
        reachable=tuple(LANS[each] for each in others),
        particles=(ParticleState(id=1, handshake=20),) if name == "c" else (),
    )


@dataclass
class Network:
    """The statuses of all cells, as node `viewer` has them, and what its host shows."""

    cells: dict[str, CellView] = field(
        default_factory=lambda: {
            name: CellView(
                id=IDS[name], name=name, package=1, status=status(name), age=3, alive=True
            )
            for name in LANS
        }
    )
    viewer: int = 0
    is_whole: bool = True
    hosts: tuple[LanHost, ...] = ()
    paths: dict[Any, KernelPath] = field(default_factory=dict)

    def explain(self, a: str, b: str) -> Explanation:
        known = map_of_plan(PLAN, UVN)
        cells = tuple(self.cells.values())
        view = UvnView(uvn="net", viewer=self.viewer, generation=1, cells=cells)
        sight = Sight(view=view, is_whole=self.is_whole, hosts=self.hosts, paths=self.paths)
        return explain(known, sight, find_place(a, known), find_place(b, known))

    def change(self, name: str, **changes: Any) -> None:
        before = self.cells[name].status
        assert before is not None
        self.cells[name] = replace(self.cells[name], status=replace(before, **changes))

    def lose(self, name: str, *lost: str) -> None:
        """Have a cell not reach the LANs of others."""
        gone = {LANS[each] for each in lost}
        known = status(name)
        left = tuple(lan for lan in known.reachable if lan not in gone)
        self.change(name, reachable=left, unreachable=tuple(gone))

    def cut(self, one: str, other: str) -> None:
        for here, there in ((one, other), (other, one)):
            known = self.cells[here].status
            assert known is not None
            links = tuple(
                link_of(there, up=False) if link.cell == IDS[there] else link
                for link in known.links
            )
            self.change(here, links=links)

    def silence(self, name: str) -> None:
        self.cells[name] = replace(self.cells[name], alive=False, age=900)


def link_cut(net: Network) -> None:
    net.cut("b", "c")
    net.lose("a", "c")
    net.lose("b", "c")
    net.lose("c", "a", "b", "d")


def both_links_cut(net: Network) -> None:
    net.cut("a", "b")
    link_cut(net)


def cell_off(net: Network) -> None:
    link_cut(net)
    net.silence("c")


def lan_gone(net: Network) -> None:
    problem = f"this host is not attached to {LANS['c']}"
    net.change("c", lans=(LanState(network=LANS["c"]),), problem=problem)
    net.lose("a", "c")


def no_carrier(net: Network) -> None:
    what = f"LAN {LANS['c']}: lan0 has no carrier"
    net.change("c", lans=(LanState(network=LANS["c"]),), obstacles=(what,))
    net.lose("a", "c")


def firewall(net: Network) -> None:
    what = "chain through of nftables table inet closed drops packets between lan0 and uwg-b*"
    net.change("c", obstacles=(what,))


def on_the_way(net: Network) -> None:
    net.change("b", obstacles=("net.ipv4.ip_forward is 0: the kernel forwards no IPv4",))


def narrow(net: Network) -> None:
    net.change("b", obstacles=("uwg-b3 carries packets of at most 1000 octets, not 1320",))


def not_forwarded(net: Network) -> None:
    net.change("c", lans=(LanState(network=LANS["c"], interface="lan0", forwards=False),))


def overlap(net: Network) -> None:
    net.change("a", problem=f"br-app has {LANS['c']}, which is also LAN {LANS['c']} of c")


def other_generation(net: Network) -> None:
    link_cut(net)
    net.cells["c"] = replace(net.cells["c"], package=2)


def lan_of_another_generation(net: Network) -> None:
    ack = Ack(generation=2, phase=Phase.REFUSED, running=1, reason="no interface is in it")
    net.cells["c"] = replace(net.cells["c"], package=2, ack=ack)
    net.change("c", lans=())
    net.lose("a", "c")


def unanswered(net: Network) -> None:
    net.lose("a", "c")


def wrong_route(net: Network) -> None:
    net.viewer = IDS["a"]
    net.paths = {LANS["c"]: KernelPath(interface="tun0", table=52)}


def no_route_back(net: Network) -> None:
    net.viewer = IDS["c"]
    net.hosts = (
        LanHost(
            lan=LANS["c"],
            nic="lan0",
            address=IPv4Address("192.168.3.8"),
            is_router=False,
            answers_cell=True,
            answers_sites=False,
        ),
    )


CASES: tuple[tuple[Callable[[Network], None], str, str], ...] = (
    (link_cut, "b", "uwg-b3: c has not answered for 900 s"),
    (both_links_cut, "a", "uwg-b2: b has not answered for 900 s"),
    (cell_off, "c", "no contact for 15 min"),
    (lan_gone, "c", "LAN 192.168.3.0/24 is missing"),
    (no_carrier, "c", "lan0 has no carrier"),
    (firewall, "c", "chain through of nftables table inet closed drops"),
    (on_the_way, "b", "net.ipv4.ip_forward is 0"),
    (narrow, "b", "uwg-b3 carries packets of at most 1000 octets"),
    (not_forwarded, "c", "packets are not forwarded"),
    (overlap, "a", "br-app has 192.168.3.0/24"),
    (other_generation, "c", "c runs generation 1, not 2"),
    (lan_of_another_generation, "c", "yet: it runs generation 1, not 2: refused, no interface"),
    (unanswered, "a", "a does not reach LAN 192.168.3.0/24"),
    (wrong_route, "a", "packets to LAN 192.168.3.0/24 leave by tun0"),
    (no_route_back, "c", "the LAN's router has no route back"),
)


@pytest.mark.feature("G42")
def test_what_works_is_shown_hop_by_hop_in_both_directions() -> None:
    found = Network().explain("192.168.1.7", "192.168.3.0/24")

    assert (found.reaches, found.exit_status) == (True, 0)
    assert found.a == "192.168.1.7 (LAN 192.168.1.0/24 of a)"
    assert found.b == "LAN 192.168.3.0/24 of c"
    assert found.forth.planned == found.forth.used == ("a", "b", "c")
    assert found.back.used == ("c", "b", "a")
    assert [(hop.source, hop.target, hop.state) for hop in found.forth.hops] == [
        ("a", "b", HopState.UP),
        ("b", "c", HopState.UP),
    ]
    assert {hop.bfd for hop in found.forth.hops} == {"up"}
    assert found.forth.cause is found.back.cause is None


@pytest.mark.feature("G42")
@pytest.mark.parametrize(
    ("harm", "where", "named"), CASES, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_first_cause_is_named_with_its_place(
    harm: Callable[[Network], None], where: str, named: str
) -> None:
    net = Network()
    harm(net)

    found = net.explain("192.168.1.0/24", "192.168.3.0/24")

    assert (found.reaches, found.exit_status) == (False, 2)
    assert found.forth.cause is not None
    assert found.forth.cause.where == where
    assert named in found.forth.cause.what
    assert found.forth.cause.remedy


def test_a_router_that_answers_its_lan_alone_is_a_cause_only_if_it_is_asked_about() -> None:
    net = Network()
    no_route_back(net)
    (host,) = net.hosts
    net.hosts = (replace(host, address=IPv4Address("192.168.3.1"), is_router=True),)

    assert net.explain("192.168.1.0/24", "192.168.3.0/24").reaches is True
    assert net.explain("192.168.1.0/24", "192.168.3.1").reaches is False


@pytest.mark.parametrize("harm", [on_the_way, narrow, no_carrier, firewall])
def test_what_is_elsewhere_is_no_cause(harm: Callable[[Network], None]) -> None:
    net = Network()
    if harm in {on_the_way, narrow}:
        net.change("b", obstacles=("uwg-b3 carries packets of at most 1000 octets",))
    else:
        harm(net)
        net.lose("a")

    assert net.explain("192.168.1.0/24", "192.168.4.0/24").reaches is True


def test_back_from_the_other_end_the_first_cause_may_be_another() -> None:
    net = Network()
    both_links_cut(net)

    found = net.explain("a", "c")

    assert found.forth.cause is not None
    assert found.back.cause is not None
    assert (found.forth.cause.where, found.back.cause.where) == ("a", "c")


def test_a_silent_agent_whose_links_are_up_is_a_remark() -> None:
    net = Network()
    net.silence("b")

    found = net.explain("192.168.1.0/24", "192.168.3.0/24")

    assert found.reaches is True
    assert found.forth.remarks == ("b: its agent is silent; its links are up",)


@pytest.mark.parametrize(
    ("obstacles", "why"),
    [
        ((), "c has not answered"),
        (("uwg-b3 has another key of c than",), "has another key of c than"),
    ],
)
def test_a_way_around_is_shown_with_why_it_is_taken(obstacles: tuple[str, ...], why: str) -> None:
    net = Network()
    uvn = replace(
        UVN,
        settings=Settings(deployment=DeploymentSettings(strategy=Strategy.FULL_MESH)),
    )
    planned = plan(uvn, None)
    known = map_of_plan(planned, uvn)
    for link in planned.links:
        for here, there in (link.cells, link.cells[::-1]):
            name, other = NAMES[here], NAMES[there]
            is_cut = set(link.cells) == {IDS["a"], IDS["c"]}
            states = net.cells[name].status
            assert states is not None
            kept = [each for each in states.links if each.cell != there]
            net.change(name, links=(*kept, link_of(other, up=not is_cut)))
    net.change("a", obstacles=obstacles)
    view = UvnView(uvn="net", viewer=0, generation=1, cells=tuple(net.cells.values()))

    found = explain(
        known, Sight(view=view), find_place("a", known), find_place("192.168.3.0/24", known)
    )

    assert found.reaches is True
    assert (found.forth.planned, found.forth.used) == (("a", "c"), ("a", "b", "c"))
    (remark,) = found.forth.remarks
    assert remark.startswith("not by the planned path: a: uwg-b3")
    assert why in remark


def test_a_particle_is_where_it_is_online() -> None:
    found = Network().explain("phone", "192.168.1.0/24")
    assert found.reaches is True
    assert found.forth.used == ("c", "b", "a")

    net = Network()
    net.change("c", particles=())
    found = net.explain("192.168.1.0/24", "phone")
    assert found.reaches is False
    assert found.forth.cause is not None
    assert "particle phone is not connected to any cell" in found.forth.cause.what


@pytest.mark.parametrize(
    ("name", "what"), [("lost", "particle lost is banned"), ("old", "cell old is banned")]
)
def test_what_is_banned_is_named(name: str, what: str) -> None:
    found = Network().explain(name, "192.168.1.0/24")

    assert found.exit_status == 2
    assert found.forth.cause is not None
    assert found.forth.cause.what == what
    assert f"uno unban {what.partition(' ')[0]} {name}" in found.forth.cause.remedy


def test_where_nothing_is_known_it_is_shown() -> None:
    net = Network(is_whole=False, viewer=IDS["a"])
    net.cells = {"a": net.cells["a"]}

    found = net.explain("192.168.3.0/24", "192.168.4.0/24")

    assert (found.reaches, found.exit_status) == (None, 1)
    assert {hop.state for hop in found.forth.hops} == {HopState.UNKNOWN}

    found = net.explain("192.168.1.0/24", "phone")
    assert found.reaches is None


def test_a_cell_that_is_cut_off_names_its_own_link_and_blames_no_silent_cell() -> None:
    net = Network(viewer=IDS["a"])
    net.cut("a", "b")
    for name in "bcd":
        net.silence(name)

    found = net.explain("192.168.1.0/24", "192.168.3.0/24")
    for way in (found.forth, found.back):
        assert way.cause is not None
        assert "a: uwg-b2: b has not answered" in way.cause.what

    found = net.explain("192.168.3.0/24", "192.168.4.0/24")
    assert (found.forth.cause, found.reaches) == (None, None)
    assert found.forth.remarks == (
        "a has no link that works, and no contact: there first: uno doctor",
    )


def test_without_an_agent_the_own_links_are_judged() -> None:
    net = Network(is_whole=False, viewer=IDS["a"])
    net.cells = {"a": net.cells["a"]}
    net.change("a", links=(link_of("b", up=False),))

    found = net.explain("192.168.1.0/24", "192.168.3.0/24")

    assert found.reaches is False
    assert found.forth.cause is not None
    assert "uwg-b2: b has not answered" in found.forth.cause.what


def test_lans_of_different_families_have_nothing_in_common() -> None:
    six = IPv6Network("2001:db8:3::/64")
    cells = tuple(
        replace(cell, allowed_lans=(six,)) if cell.name == "c" else cell for cell in UVN.cells
    )
    uvn = replace(UVN, cells=cells)
    known = map_of_plan(plan(uvn, None), uvn)
    net = Network()
    net.change("c", lans=(LanState(network=six, interface="lan0"),))
    view = UvnView(uvn="net", viewer=0, generation=1, cells=tuple(net.cells.values()))

    found = explain(
        known, Sight(view=view), find_place(str(six), known), find_place("192.168.1.9", known)
    )

    assert found.forth.cause is not None
    assert "no IP version in common" in found.forth.cause.what


@pytest.mark.feature("G42")
@pytest.mark.parametrize("is_one", [True, False])
def test_a_link_within_a_site_needs_nat_loopback(*, is_one: bool) -> None:
    net = Network()
    link_cut(net)
    known = map_of_plan(PLAN, UVN)
    if is_one:
        members = (
            replace(each, endpoint="site.example.org") if each.name in "bc" else each
            for each in known.members
        )
        known = replace(known, members=tuple(members))
    view = UvnView(uvn="net", viewer=0, generation=1, cells=tuple(net.cells.values()))

    found = explain(known, Sight(view=view), find_place("a", known), find_place("c", known))

    cause = found.forth.cause
    assert cause is not None
    assert ("both have one public address" in cause.what) == is_one
    assert ("NAT loopback" in cause.remedy) == is_one
