"""What each cell announces and accepts, as read from the text; tests/golden has it whole."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import product

import pytest
from msgspec.structs import replace

from frr_model import ImportFilters
from uno.host.routing_frr.frr_diff import parse
from uno.model.attached_lan import AttachedLan
from uno.model.net import Network
from uno.model.plan import BackbonePeer, CellPlan, CellSet, Member, Pools, Roster, Timing, asn_of
from uno.model.routing_policy import BGP_PORT, MAXIMUM_PATHS, Drain, originated, routing_policy
from uno.render import frr

ULA = IPv6Network("fd00::/48")
POOLS = Pools(
    root=IPv4Network("10.255.128.0/22"),
    particles=IPv4Network("10.254.0.0/16"),
    backbone=IPv4Network("10.255.192.0/20"),
    ula=ULA,
    particles6=IPv6Network("fd00:0:0:1::/64"),
)
LANS: dict[int, tuple[Network, ...]] = {
    1: (IPv4Network("192.168.1.0/24"), IPv6Network("2001:db8:1::/64")),
    2: (IPv4Network("192.168.2.0/24"),),
    3: (),
    4: (IPv6Network("2001:db8:4::/64"),),
}
ROSTER = Roster(
    uvn="net",
    identity="0" * 32,
    pools=POOLS,
    timing=Timing(hold=9, keepalive=3, connect=1, bfd_interval=250, bfd_multiplier=3, restart=120),
    links=((1, 2), (1, 3), (1, 4), (3, 4)),
    members=tuple(
        Member(
            id=cell,
            name=f"c{cell}",
            node4=IPv4Address(f"10.255.128.{1 + cell}"),
            node6=ULA.network_address + 1 + cell,
            lans=lans,
        )
        for cell, lans in LANS.items()
    ),
)
ON_ETH1 = tuple(AttachedLan(network=lan, nic="eth1") for lan in LANS[1])


def link(slot: int, cell: int, import_origins: CellSet) -> BackbonePeer:
    return BackbonePeer(
        interface=f"uwg-b{slot}",
        cell=cell,
        local4=IPv4Address(f"10.255.192.{2 * slot + 2}"),
        local6=IPv6Address(f"fd00:0:0:2::{2 * slot + 2}"),
        remote4=IPv4Address(f"10.255.192.{2 * slot + 3}"),
        remote6=IPv6Address(f"fd00:0:0:2::{2 * slot + 3}"),
        public_key="",
        key="",
        psk="",
        import_origins=import_origins,
    )


# Cell 2 is a leaf behind the first link; through the others comes all but it and the cell itself.
PLAN = CellPlan(
    uvn="net",
    identity="0" * 32,
    cell=1,
    name="c1",
    backbone_mtu=1320,
    links=(
        link(0, 2, CellSet(cells=(2,))),
        link(1, 3, CellSet(cells=(1, 2), complement=True)),
        link(2, 4, CellSet(cells=(3, 4))),
    ),
)


@pytest.mark.feature("F004")
def test_a_cell_announces_its_attached_lans_and_its_node_and_nothing_else() -> None:
    assert announced(PLAN, ON_ETH1) == {
        "192.168.1.0/24",
        "2001:db8:1::/64",
        "10.255.128.2/32",
        "fd00::2/128",
    }


@pytest.mark.feature("F079")
def test_a_lan_that_is_not_attached_is_not_announced() -> None:
    assert announced(PLAN, ()) == {"10.255.128.2/32", "fd00::2/128"}
    assert announced(PLAN, ON_ETH1[:1]) - announced(PLAN, ()) == {"192.168.1.0/24"}


@pytest.mark.feature("G32")
def test_each_prefix_is_announced_in_its_own_family() -> None:
    text = bgpd(PLAN, ON_ETH1)

    four, _, six = text.partition(" address-family ipv6 unicast")
    assert "  network 192.168.1.0/24" in four
    assert "  network 2001:db8:1::/64" in six
    assert "192.168.1.0/24" not in six
    assert re.findall(r"  neighbor (\S+) activate", four) == re.findall(
        r"  neighbor (\S+) activate", six
    )


def test_a_lan_on_two_interfaces_is_announced_once() -> None:
    twice = (*ON_ETH1, AttachedLan(network=LANS[1][0], nic="wlan0"))

    assert bgpd(PLAN, twice) == bgpd(PLAN, ON_ETH1)


@pytest.mark.feature("F079")
def test_a_lan_whose_subnet_is_another_is_announced_without_asking_the_kernel() -> None:
    inexact = (AttachedLan(network=LANS[1][0], nic="eth1", exact=False),)

    assert "no bgp network import-check" in bgpd(PLAN, inexact)
    assert "import-check" not in bgpd(PLAN, ON_ETH1)


@pytest.mark.feature("G22")
@pytest.mark.parametrize(
    ("interface", "cells"),
    [("uwg-b0", {2}), ("uwg-b1", {3, 4}), ("uwg-b2", {3, 4})],
    ids=["a leaf, itself", "all but those listed", "those listed"],
)
def test_a_neighbour_may_announce_what_comes_through_it_and_no_more(
    interface: str, cells: set[int]
) -> None:
    text = bgpd(PLAN, ON_ETH1)

    (neighbor,) = (asn_of(link.cell) for link in PLAN.links if link.interface == interface)
    for origin, member in product(ROSTER.members, repeat=2):
        path = f"{neighbor}" if origin.asn == neighbor else f"{neighbor} {origin.asn}"
        for prefix in originated(member):
            taken = accepts(text, interface, prefix, path)
            assert taken == (origin == member and origin.id in cells)


@pytest.mark.feature("G22")
def test_a_cell_accepts_its_own_prefixes_from_no_neighbour() -> None:
    text = bgpd(PLAN, ON_ETH1)
    stolen = [
        (prefix, path)
        for prefix in originated(ROSTER.members[0])
        for path in ("4200000003", "4200000003 4200000001", "4200000003 4200000004")
    ]

    assert not any(accepts(text, "uwg-b1", prefix, path) for prefix, path in stolen)


@pytest.mark.feature("G22")
@pytest.mark.parametrize(
    "prefix", ["0.0.0.0/0", "192.168.2.0/25", "192.168.0.0/16", "::/0", "8.8.8.0/24"]
)
def test_a_prefix_that_is_not_planned_is_accepted_from_no_neighbour(prefix: str) -> None:
    network = IPv6Network(prefix) if ":" in prefix else IPv4Network(prefix)

    for interface in ("uwg-b0", "uwg-b1", "uwg-b2"):
        assert not accepts(bgpd(PLAN, ()), interface, network, "4200000002")
        assert not accepts(bgpd(PLAN, ()), interface, network, "64512")


@pytest.mark.feature("G22")
def test_every_session_filters_what_comes_in_for_both_families() -> None:
    text = bgpd(PLAN, ())

    for slot, each in enumerate(PLAN.links):
        for version in (4, 6):
            assert f"  neighbor {each.remote4} route-map IMPORT-uwg-b{slot}-V{version} in" in text
    assert text.count(" in\n") == 2 * len(PLAN.links)


@pytest.mark.feature("G22")
def test_a_neighbour_may_advertise_a_power_of_two_of_prefixes_far_above_the_plan() -> None:
    many = replace(
        ROSTER.members[1], lans=tuple(IPv4Network("172.16.0.0/12").subnets(new_prefix=22))[:300]
    )
    larger = replace(ROSTER, members=(ROSTER.members[0], many, *ROSTER.members[2:]))

    assert bgpd(PLAN, ()).count(" maximum-prefix 1024 restart 1\n") == 2 * len(PLAN.links)
    policy = routing_policy(PLAN, larger, lans=())
    assert (policy.maximum_prefixes(4), policy.maximum_prefixes(6)) == (2048, 1024)


@pytest.mark.feature("G22")
def test_a_route_keeps_graceful_shutdown_alone_and_leads_to_the_neighbour() -> None:
    text = bgpd(PLAN, ())

    assert "community-list expanded FOREIGN seq 5 deny ^graceful-shutdown$\n" in text
    for each in PLAN.links:
        four, six = (step(text, f"IMPORT-{each.interface}-V{version}") for version in (4, 6))
        assert "set ip next-hop peer-address" in four
        assert f"set ipv6 next-hop global {each.remote6}" in six
        assert "set comm-list FOREIGN delete" in four
        assert four[2:5] == six[2:5]


@pytest.mark.feature("G08")
def test_routes_over_a_tagged_link_are_advertised_with_gshut_and_used_as_before() -> None:
    text = bgpd(PLAN, ON_ETH1, {"uwg-b1": Drain.TAGGED})

    for version in (4, 6):
        name = f"IMPORT-uwg-b1-V{version}"
        assert step(text, name) == [*step(bgpd(PLAN, ON_ETH1), name), "set tag 1"]
    assert step(text, "EXPORT") == ["match tag 1", "set community graceful-shutdown additive"]
    assert step(text, "EXPORT", 20) == []
    assert text.replace(" set tag 1\n", "") == bgpd(PLAN, ON_ETH1)


@pytest.mark.feature("G08")
def test_a_link_that_is_avoided_is_the_last_choice_of_both_ends() -> None:
    text = bgpd(PLAN, ON_ETH1, {"uwg-b1": Drain.AVOIDED})
    neighbour = PLAN.links[1].remote4

    assert step(text, "IMPORT-uwg-b1-V4")[-2:] == ["set tag 1", "set local-preference 0"]
    assert step(text, "EXPORT-GSHUT") == ["set community graceful-shutdown additive"]
    assert text.count(f"  neighbor {neighbour} route-map EXPORT-GSHUT out\n") == 2
    assert text.count(" route-map EXPORT-GSHUT out\n") == 2


@pytest.mark.feature("G08")
def test_the_neighbour_of_a_link_that_is_avoided_is_patient_with_this_end() -> None:
    text = dict(rendered(PLAN, ROSTER, lans=(), drained={"uwg-b1": Drain.AVOIDED}))["bfdd"]

    assert " profile uno-gshut\n  detect-multiplier 20\n" in text
    assert re.findall(r"interface (\S+)\n  profile (\S+)", text) == [
        ("uwg-b0", "uno"),
        ("uwg-b1", "uno-gshut"),
        ("uwg-b2", "uno"),
    ]


@pytest.mark.feature("G22")
@pytest.mark.parametrize("drain", [Drain.TAGGED, Drain.AVOIDED])
def test_a_link_that_is_left_lets_in_no_more_than_before(drain: Drain) -> None:
    text = bgpd(PLAN, ON_ETH1, {"uwg-b1": drain})
    plain = re.sub(r" set (tag|local-preference) \d\n", "", text)

    assert plain.replace("EXPORT-GSHUT out", "EXPORT out") == bgpd(PLAN, ON_ETH1)


@pytest.mark.feature("G07")
def test_a_closed_link_has_no_sessions() -> None:
    (gone,) = (link for link in PLAN.links if link.interface == "uwg-b1")
    without = replace(PLAN, links=tuple(link for link in PLAN.links if link != gone))

    closed = rendered(PLAN, ROSTER, lans=ON_ETH1, drained={"uwg-b1": Drain.CLOSED})

    assert closed == rendered(without, ROSTER, lans=ON_ETH1)


def test_nothing_is_renumbered_when_a_member_or_a_lan_goes() -> None:
    fewer = replace(ROSTER, members=(ROSTER.members[0], *ROSTER.members[2:]))
    poorer = replace(ROSTER, members=(*ROSTER.members[:3], replace(ROSTER.members[3], lans=())))
    plan = replace(PLAN, links=PLAN.links[1:])
    before = dict(rendered(plan, ROSTER, lans=()))["bgpd"].splitlines()

    for roster in (fewer, poorer):
        after = dict(rendered(plan, roster, lans=()))["bgpd"].splitlines()
        assert set(after) < set(before)


def test_filters_stand_before_the_neighbours_that_use_them() -> None:
    text = bgpd(PLAN, ON_ETH1)

    assert text.rindex("route-map IMPORT-uwg-b2-V6 permit") < text.index("router bgp")


@pytest.mark.feature("G15")
def test_equal_paths_of_both_families_are_used_at_once() -> None:
    text = bgpd(PLAN, ())

    assert text.count(f"  maximum-paths {MAXIMUM_PATHS}") == 2
    assert " bgp bestpath as-path multipath-relax" in text


@pytest.mark.feature("G25")
def test_unos_bgp_has_a_port_of_its_own() -> None:
    assert BGP_PORT != 179
    assert bgpd(PLAN, ()).count(f" port {BGP_PORT}\n") == len(PLAN.links)


@pytest.mark.feature("G10")
def test_bfd_watches_every_link_with_the_timers_of_the_plan() -> None:
    text = daemons(PLAN, ())["bfdd"]
    fast = replace(ROSTER, timing=replace(ROSTER.timing, bfd_interval=100, bfd_multiplier=4))

    assert "  receive-interval 250\n  transmit-interval 250\n" in text
    assert "  detect-multiplier 3\n" in text
    assert bgpd(PLAN, ()).count(" bfd profile uno\n") == len(PLAN.links)
    assert "  receive-interval 100\n" in dict(rendered(PLAN, fast, lans=()))["bfdd"]
    assert "  detect-multiplier 4\n" in dict(rendered(PLAN, fast, lans=()))["bfdd"]


def test_a_link_to_a_metered_cell_has_the_timers_of_that_cell() -> None:
    slow = replace(ROSTER.timing, bfd_interval=20_000, keepalive=60, hold=180, connect=10)
    members = (replace(each, timing=slow if each.id == 3 else None) for each in ROSTER.members)
    texts = dict(rendered(PLAN, replace(ROSTER, members=tuple(members)), lans=()))

    assert (
        " profile uno-20000\n  detect-multiplier 3\n"
        "  receive-interval 20000\n  transmit-interval 20000\n exit\n" in texts["bfdd"]
    )
    assert re.findall(r"interface (\S+)\n  profile (\S+)", texts["bfdd"]) == [
        ("uwg-b0", "uno"),
        ("uwg-b1", "uno-20000"),
        ("uwg-b2", "uno"),
    ]
    assert re.findall(r"neighbor (\S+) timers (\d+ \d+)", texts["bgpd"]) == [
        ("10.255.192.5", "60 180")
    ]
    assert re.findall(r"timers connect (\d+)", texts["bgpd"]) == ["1", "10", "1"]
    assert re.findall(r" bfd profile (\S+)", texts["bgpd"]) == ["uno", "uno-20000", "uno"]


def test_one_end_of_each_link_opens_its_bgp_session() -> None:
    everyone = CellSet(complement=True)
    passive = set()
    for cell in LANS:
        others = [
            one if other == cell else other for one, other in ROSTER.links if cell in {one, other}
        ]
        links = tuple(link(slot, other, everyone) for slot, other in enumerate(others))
        text = dict(rendered(replace(PLAN, cell=cell, links=links), ROSTER, lans=()))["bgpd"]
        awaited = set(re.findall(r" neighbor (\S+) passive\n", text))
        passive |= {(cell, each.cell) for each in links if str(each.remote4) in awaited}

    assert passive == {(other, one) for one, other in ROSTER.links}


@pytest.mark.feature("G32")
def test_what_the_cell_itself_sends_has_its_node_address_as_source() -> None:
    text = daemons(PLAN, ())["zebra"]

    assert " set src 10.255.128.2\nexit\nip protocol bgp route-map SET-SRC-V4\n" in text
    assert " set src fd00::2\nexit\nipv6 protocol bgp route-map SET-SRC-V6\n" in text


def test_a_cell_without_links_has_routing_all_the_same() -> None:
    alone = replace(PLAN, links=())

    assert announced(alone, ON_ETH1) == announced(PLAN, ON_ETH1)
    assert "neighbor" not in bgpd(alone, ON_ETH1)


@pytest.mark.feature("F083")
def test_the_daemons_come_in_the_order_to_start_them_and_as_one_file_too() -> None:
    parts = rendered(PLAN, ROSTER, lans=ON_ETH1)

    assert [name for name, _ in parts] == ["zebra", "bfdd", "bgpd"]
    assert frr.integrated(parts) == "".join(text for _, text in parts)
    assert all(text.endswith("\n") and "\n\n" not in text for _, text in parts)


def rendered(
    plan: CellPlan,
    roster: Roster,
    *,
    lans: tuple[AttachedLan, ...],
    drained: dict[str, Drain] | None = None,
) -> tuple[tuple[str, str], ...]:
    return frr.daemons(routing_policy(plan, roster, lans=lans, drained=drained))


def daemons(plan: CellPlan, lans: tuple[AttachedLan, ...]) -> dict[str, str]:
    return dict(rendered(plan, ROSTER, lans=lans))


def bgpd(
    plan: CellPlan, lans: tuple[AttachedLan, ...], drained: dict[str, Drain] | None = None
) -> str:
    return dict(rendered(plan, ROSTER, lans=lans, drained=drained))["bgpd"]


def step(text: str, name: str, number: int = 10) -> list[str]:
    """Return the lines of a step of a route-map."""
    (reported,) = re.findall(
        rf"^route-map {name} permit {number}\n((?: .*\n)*)exit$", text, re.MULTILINE
    )
    return [line.strip() for line in reported.splitlines()]


def announced(plan: CellPlan, lans: tuple[AttachedLan, ...]) -> set[str]:
    found = re.findall(r"^  network (\S+)$", bgpd(plan, lans), re.MULTILINE)
    assert len(found) == len(set(found))
    return set(found)


def accepts(text: str, interface: str, prefix: Network, path: str) -> bool:
    return ImportFilters(parse(text)).accepts(interface, prefix, path)
