"""What differs between two configurations of FRR, as commands; tests/property has all of it."""

from __future__ import annotations

import re
from itertools import pairwise, product

import pytest

from uno.host.routing_frr.frr_diff import (
    Step,
    Texts,
    Unknown,
    differ,
    exports_differ,
    filters_differ,
    missing,
    parse,
    reverting,
    steps,
)
from uno.model.plan import asn_of
from uno.model.routing_policy import Adjacency
from uno.render.as_paths import impossible

ZEBRA = "no zebra nexthop kernel enable\n"
BFDD = """bfd
 profile uno-gshut
  detect-multiplier 20
 exit
 profile uno
  detect-multiplier 3
 exit
 peer 10.0.0.1 local-address 10.0.0.0 interface uwg-b0
  profile uno
 exit
exit
"""
BGPD = """bgp route-map delay-timer 1
bgp as-path access-list ORIGIN-2 seq 5 permit _4200000002$
ip prefix-list PREFIXES-2 seq 77 permit 192.168.2.0/24
route-map MEMBERS-V4 permit 2
 match ip address prefix-list PREFIXES-2
 match as-path ORIGIN-2
exit
bgp as-path access-list ORIGINS-uwg-b0 seq 4294967295 permit .*
route-map IMPORT-uwg-b0-V4 permit 10
 match as-path ORIGINS-uwg-b0
 call MEMBERS-V4
exit
router bgp 4200000001
 bgp router-id 10.255.128.2
 timers bgp 3 9
 neighbor 10.0.0.1 remote-as 4200000002
 neighbor 10.0.0.1 description c2 on uwg-b0
 !
 address-family ipv4 unicast
  network 192.168.1.0/24
  neighbor 10.0.0.1 activate
  neighbor 10.0.0.1 route-map IMPORT-uwg-b0-V4 in
  neighbor 10.0.0.1 route-map EXPORT out
 exit-address-family
exit
"""


def daemons(*, bfdd: str = BFDD, bgpd: str = BGPD, zebra: str = ZEBRA) -> Texts:
    return (("zebra", zebra), ("bfdd", bfdd), ("bgpd", bgpd))


def changed(old: str, new: str) -> Texts:
    assert BGPD.count(old) == 1
    return daemons(bgpd=BGPD.replace(old, new))


def test_equal_configurations_differ_in_nothing() -> None:
    assert steps(daemons(), daemons()) == ()
    assert not filters_differ(daemons(), daemons())


def test_a_lan_more_of_another_cell_is_one_entry_and_one_less_too() -> None:
    line = "ip prefix-list PREFIXES-2 seq 77 permit 192.168.2.0/24\n"
    another = "ip prefix-list PREFIXES-2 seq 99 permit 192.168.22.0/24\n"
    more = changed(line, line + another)

    assert steps(daemons(), more) == (Step("bgpd", (another.strip(),)),)
    assert steps(more, daemons()) == (Step("bgpd", (f"no {another.strip()}",)),)
    assert filters_differ(daemons(), more)


def test_a_new_prefix_is_let_in_before_the_old_one_is_not() -> None:
    other = changed("seq 77 permit 192.168.2.0/24", "seq 99 permit 192.168.22.0/24")

    assert steps(daemons(), other) == (
        Step("bgpd", ("ip prefix-list PREFIXES-2 seq 99 permit 192.168.22.0/24",)),
        Step("bgpd", ("no ip prefix-list PREFIXES-2 seq 77 permit 192.168.2.0/24",)),
    )


def test_an_entry_with_the_same_number_is_replaced() -> None:
    other = changed("seq 77 permit 192.168.2.0/24", "seq 77 permit 192.168.22.0/24")

    assert steps(daemons(), other) == (
        Step("bgpd", ("ip prefix-list PREFIXES-2 seq 77 permit 192.168.22.0/24",)),
    )


def test_what_is_denied_is_so_before_all_else_is_permitted() -> None:
    listed = changed("seq 4294967295 permit .*", "seq 2 permit _4200000002$")
    but = changed(
        "bgp as-path access-list ORIGINS-uwg-b0 seq 4294967295 permit .*",
        "bgp as-path access-list ORIGINS-uwg-b0 seq 7 deny _4200000007$\n"
        "bgp as-path access-list ORIGINS-uwg-b0 seq 4294967295 permit .*",
    )
    list_ = "bgp as-path access-list ORIGINS-uwg-b0 seq"

    assert [step.commands for step in steps(listed, but)] == [
        (f"{list_} 7 deny _4200000007$",),
        (f"{list_} 4294967295 permit .*",),
        (f"no {list_} 2 permit _4200000002$",),
    ]
    assert [step.commands for step in steps(but, listed)] == [
        (f"{list_} 2 permit _4200000002$",),
        (f"no {list_} 4294967295 permit .*",),
        (f"no {list_} 7 deny _4200000007$",),
    ]


def test_a_step_of_a_route_map_comes_with_all_that_it_matches() -> None:
    step = "route-map MEMBERS-V4 permit 3\n match ip address prefix-list PREFIXES-3\n"
    step += " match as-path ORIGIN-3\nexit\n"
    more = changed("\nroute-map IMPORT-", f"\n{step}route-map IMPORT-")

    assert steps(daemons(), more) == (
        Step(
            "bgpd",
            (
                "route-map MEMBERS-V4 permit 3",
                "match ip address prefix-list PREFIXES-3",
                "match as-path ORIGIN-3",
                "exit",
            ),
        ),
    )
    assert steps(more, daemons()) == (Step("bgpd", ("no route-map MEMBERS-V4 permit 3",)),)


@pytest.mark.feature("G51")
def test_a_prefix_is_withheld_from_all_neighbours_and_no_longer() -> None:
    step = "route-map EXPORT deny 4\n match ip address prefix-list HIDDEN\nexit\n"
    entry = "ip prefix-list HIDDEN seq 7 permit 192.168.3.0/24"
    hiding = changed("\nroute-map IMPORT-", f"\n{entry}\n{step}route-map IMPORT-")

    assert [each.commands for each in steps(daemons(), hiding)] == [
        (entry,),
        ("route-map EXPORT deny 4", "match ip address prefix-list HIDDEN", "exit"),
    ]
    assert [each.commands for each in steps(hiding, daemons())] == [
        ("no route-map EXPORT deny 4",),
        (f"no {entry}",),
    ]
    assert exports_differ(daemons(), hiding)
    assert exports_differ(hiding, daemons())
    assert not exports_differ(hiding, hiding)


@pytest.mark.feature("G07")
def test_a_link_is_left_without_ending_its_sessions() -> None:
    text = BGPD.replace(
        " call MEMBERS-V4\n", " call MEMBERS-V4\n set tag 1\n set local-preference 0\n"
    )
    text = text.replace("route-map EXPORT out", "route-map EXPORT-GSHUT out")
    patient = BFDD.replace("uwg-b0\n  profile uno", "uwg-b0\n  profile uno-gshut")
    left = daemons(bgpd=text, bfdd=patient)
    peer = "peer 10.0.0.1 local-address 10.0.0.0 interface uwg-b0"

    assert steps(daemons(), left) == (
        Step("bfdd", ("bfd", peer, "profile uno-gshut", "exit", "exit")),
        Step(
            "bgpd",
            ("route-map IMPORT-uwg-b0-V4 permit 10", "set tag 1", "set local-preference 0", "exit"),
        ),
        Step(
            "bgpd",
            (
                "router bgp 4200000001",
                "address-family ipv4 unicast",
                "neighbor 10.0.0.1 route-map EXPORT-GSHUT out",
                "exit-address-family",
                "exit",
            ),
        ),
    )


def test_a_neighbour_gets_timers_of_its_own_and_loses_them_without_ending_its_session() -> None:
    description = " neighbor 10.0.0.1 description c2 on uwg-b0\n"
    timers = " neighbor 10.0.0.1 timers 60 180\n"
    own = changed(description, description + timers)
    other = changed(description, description + timers.replace("60 180", "20 60"))

    assert steps(daemons(), own) == (
        Step("bgpd", ("router bgp 4200000001", timers.strip(), "exit")),
    )
    assert steps(own, other) == (
        Step("bgpd", ("router bgp 4200000001", "neighbor 10.0.0.1 timers 20 60", "exit")),
    )
    assert steps(own, daemons()) == (
        Step("bgpd", ("router bgp 4200000001", f"no {timers.strip()}", "exit")),
    )


def test_a_neighbour_gets_another_profile_of_bfd_without_ending_its_session() -> None:
    description = " neighbor 10.0.0.1 description c2 on uwg-b0\n"
    line = " neighbor 10.0.0.1 bfd profile uno\n"
    own = changed(description, description + line)
    other = changed(description, description + line.replace("uno", "uno-20000"))

    assert steps(own, other) == (
        Step(
            "bgpd",
            ("router bgp 4200000001", "neighbor 10.0.0.1 bfd profile uno-20000", "exit"),
        ),
    )


def test_a_new_neighbour_is_asked_for_routes_last_and_an_old_one_goes_with_one_command() -> None:
    bgpd = BGPD.replace(
        " !\n",
        " neighbor 10.0.0.3 remote-as 4200000003\n !\n",
    ).replace(
        " exit-address-family\n",
        "  neighbor 10.0.0.3 activate\n  neighbor 10.0.0.3 route-map IMPORT-uwg-b1-V4 in\n"
        " exit-address-family\n",
    )
    peer = "peer 10.0.0.3 local-address 10.0.0.2 interface uwg-b1"
    bfdd = BFDD.replace("  profile uno\n exit\nexit", f"  profile uno\n exit\n {peer}\n exit\nexit")
    more = daemons(bgpd=bgpd, bfdd=bfdd)

    assert steps(daemons(), more) == (
        Step("bfdd", ("bfd", peer, "exit", "exit")),
        Step(
            "bgpd",
            (
                "router bgp 4200000001",
                "neighbor 10.0.0.3 remote-as 4200000003",
                "address-family ipv4 unicast",
                "neighbor 10.0.0.3 route-map IMPORT-uwg-b1-V4 in",
                "exit-address-family",
                "exit",
            ),
        ),
        Step(
            "bgpd",
            (
                "router bgp 4200000001",
                "address-family ipv4 unicast",
                "neighbor 10.0.0.3 activate",
                "exit-address-family",
                "exit",
            ),
        ),
    )
    assert steps(more, daemons()) == (
        Step("bgpd", ("router bgp 4200000001", "no neighbor 10.0.0.3", "exit")),
        Step("bfdd", ("bfd", f"no {peer}", "exit")),
    )


def test_another_cell_at_the_same_address_is_another_neighbour() -> None:
    other = changed("remote-as 4200000002", "remote-as 4200000009")

    commands = [step.commands for step in steps(daemons(), other)]

    assert commands[0] == ("router bgp 4200000001", "no neighbor 10.0.0.1", "exit")
    assert "neighbor 10.0.0.1 remote-as 4200000009" in commands[1]


def test_other_timers_and_networks_take_the_place_of_those_before() -> None:
    text = BGPD.replace("timers bgp 3 9", "timers bgp 1 3")
    text = text.replace("network 192.168.1.0/24", "network 192.168.11.0/24")

    assert [step.commands for step in steps(daemons(), daemons(bgpd=text))] == [
        (
            "router bgp 4200000001",
            "timers bgp 1 3",
            "address-family ipv4 unicast",
            "network 192.168.11.0/24",
            "no network 192.168.1.0/24",
            "exit-address-family",
            "exit",
        )
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("router bgp 4200000001", "router bgp 4200000009"),
        (" bgp router-id 10.255.128.2", " bgp router-id 10.255.128.9"),
        ("bgp route-map delay-timer 1", "bgp route-map delay-timer 5"),
        ("seq 77 permit 192.168.2.0/24", "seq 99 permit 192.168.2.0/24"),
        ("neighbor 10.0.0.1 description c2 on uwg-b0", "neighbor 10.0.0.1 shutdown"),
        # Another value of a setting that FRR changes by ending the session.
        ("  neighbor 10.0.0.1 activate", "  neighbor 10.0.0.1 weight 5"),
        # A setting of another kind in its place, though both can be replaced.
        ("neighbor 10.0.0.1 description c2 on uwg-b0", "neighbor 10.0.0.1 timers connect 1"),
        # One setting more.
        (" !\n", " neighbor 10.0.0.1 ttl-security hops 1\n !\n"),
    ],
)
def test_what_is_not_known_to_be_safe_is_left_to_another_program(old: str, new: str) -> None:
    with pytest.raises(Unknown):
        steps(daemons(), changed(old, new))


@pytest.mark.parametrize(
    "bfdd", ["", "log stdout\n" + BFDD + "hostkey x\n", "bfd\n shutdown\nexit\n"]
)
def test_another_change_of_bfd_than_of_sessions_is_left_to_another_program(bfdd: str) -> None:
    with pytest.raises(Unknown):
        steps(daemons(), daemons(bfdd=bfdd))


def test_a_value_that_two_lines_share_is_changed_where_a_setting_may_be() -> None:
    ports = BGPD.replace(" !\n", " neighbor 10.0.0.1 port 1790\n !\n")

    with pytest.raises(Unknown):
        steps(daemons(bgpd=ports), daemons(bgpd=ports.replace("1790", "1791")))


def test_a_default_that_was_switched_off_is_switched_on_again() -> None:
    off = changed(" bgp router-id", " no bgp network import-check\n bgp router-id")
    router = "router bgp 4200000001"

    assert steps(daemons(), off) == (Step("bgpd", (router, "no bgp network import-check", "exit")),)
    assert steps(off, daemons()) == (Step("bgpd", (router, "bgp network import-check", "exit")),)


def test_a_setting_replaces_one_of_its_own_kind_alone() -> None:
    tagged = changed(" call MEMBERS-V4\n", " call MEMBERS-V4\n set tag 1\n")
    preferred = changed(" call MEMBERS-V4\n", " call MEMBERS-V4\n set local-preference 0\n")
    other = changed(" call MEMBERS-V4\n", " call MEMBERS-V6\n")
    place = "route-map IMPORT-uwg-b0-V4 permit 10"

    assert steps(tagged, preferred) == (
        Step("bgpd", (place, "set local-preference 0", "no set tag 1", "exit")),
    )
    assert steps(daemons(), other) == (Step("bgpd", (place, "call MEMBERS-V6", "exit")),)


def test_what_filters_use_comes_before_them_and_goes_after_them() -> None:
    list_ = "ip prefix-list PREFIXES-3 seq 5 permit 192.168.3.0/24"
    step = "route-map MEMBERS-V4 permit 3"
    more = changed(
        "\nroute-map IMPORT-",
        f"\n{list_}\n{step}\n match ip address prefix-list PREFIXES-3\nexit\nroute-map IMPORT-",
    )

    assert [each.commands[0] for each in steps(daemons(), more)] == [list_, step]
    assert [each.commands[0] for each in steps(more, daemons())] == [f"no {step}", f"no {list_}"]


def test_only_a_family_with_a_difference_is_entered() -> None:
    six = " address-family ipv6 unicast\n  maximum-paths 8\n exit-address-family\n"
    both = changed(" exit-address-family\n", f" exit-address-family\n{six}")[2][1]
    new = both.replace("network 192.168.1.0/24", "network 192.168.11.0/24")

    assert steps(daemons(bgpd=both), daemons(bgpd=new)) == (
        Step(
            "bgpd",
            (
                "router bgp 4200000001",
                "address-family ipv4 unicast",
                "network 192.168.11.0/24",
                "no network 192.168.1.0/24",
                "exit-address-family",
                "exit",
            ),
        ),
    )


def test_another_zebra_or_no_configuration_at_all_is_left_to_another_program() -> None:
    for before in ((), daemons(zebra="!\n"), daemons()[:2]):
        with pytest.raises(Unknown):
            steps(before, daemons())
    assert filters_differ((), daemons())


def test_what_frr_shows_of_a_change_is_compared_with_what_was_asked_for() -> None:
    new = BGPD.replace("192.168.2.0/24", "192.168.22.0/24").replace(
        "EXPORT out", "EXPORT-GSHUT out"
    )
    place = "router bgp 4200000001 / address-family ipv4 unicast"

    assert missing(new, BGPD, new) == ()
    assert missing(f"frr version 8.4.4\n!\nhostname c1\n!\n{new}!\n", BGPD, new) == ()
    assert missing(BGPD, BGPD, new) == (
        "ip prefix-list PREFIXES-2 seq 77 permit 192.168.2.0/24",
        "ip prefix-list PREFIXES-2 seq 77 permit 192.168.22.0/24",
        f"{place} / neighbor 10.0.0.1 route-map EXPORT out",
        f"{place} / neighbor 10.0.0.1 route-map EXPORT-GSHUT out",
    )


def test_defaults_that_frr_does_not_show_are_not_missed() -> None:
    shown = BFDD.replace("  detect-multiplier 3\n", "")

    assert missing(shown, BFDD.replace("multiplier 3", "multiplier 4"), BFDD) == ()


def test_a_line_stands_where_it_is_written() -> None:
    config = parse(BGPD)

    assert config[("router bgp 4200000001",)][0] == "bgp router-id 10.255.128.2"
    assert config[("router bgp 4200000001", "address-family ipv4 unicast")][0] == (
        "network 192.168.1.0/24"
    )
    assert parse(BFDD)[("bfd", "peer 10.0.0.1 local-address 10.0.0.0 interface uwg-b0")] == (
        "profile uno",
    )


@pytest.mark.feature("G51")
def test_what_another_program_changed_is_reverted_line_by_line() -> None:
    before = """
router bgp 1
 neighbor 10.0.0.1 remote-as 2
 no bgp default ipv4-unicast
 address-family ipv4 unicast
  neighbor 10.0.0.1 activate
 exit-address-family
exit
route-map A permit 1
 set metric 1
exit
"""
    now = """
ip prefix-list L seq 5 permit any
router bgp 1
 neighbor 10.0.0.1 remote-as 2
 neighbor 10.0.0.1 shutdown
 address-family ipv4 unicast
  maximum-paths 2
 exit-address-family
 address-family ipv6 unicast
 exit-address-family
exit
route-map B permit 1
exit
"""
    found = reverting((("bgpd", now),), (("bgpd", before),))

    assert {each.daemon for each in found} == {"bgpd"}
    commands = [each.commands for each in found]
    family = ("router bgp 1", "address-family ipv4 unicast")
    assert commands[:4] == [
        ("no ip prefix-list L seq 5 permit any",),
        ("router bgp 1", "no bgp default ipv4-unicast", "no neighbor 10.0.0.1 shutdown", "exit"),
        (*family, "neighbor 10.0.0.1 activate", "no maximum-paths 2", "exit", "exit"),
        ("route-map A permit 1", "set metric 1", "exit"),
    ]
    assert commands[4:] == [
        ("router bgp 1", "no address-family ipv6 unicast", "exit"),
        ("no route-map B permit 1",),
    ]


@pytest.mark.feature("G51")
def test_the_order_of_lines_is_no_difference() -> None:
    one, other = "router bgp 1\n a\n b\nexit\n", "router bgp 1\n b\n a\nexit\n"

    assert not differ((("bgpd", one),), (("bgpd", other),))
    assert differ((("bgpd", one),), (("bgpd", f"c\n{one}"),))


@pytest.mark.feature("G22")
@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param({(3, 12), (11, 5)}, id="beside-cells-that-stay"),
        pytest.param({(3, 22), (22, 25)}, id="with-ids-of-their-own"),
        pytest.param({(11, 25), (3, 4), (4, 12)}, id="both"),
    ],
)
@pytest.mark.parametrize("comes", [True, False])
def test_no_path_gets_in_through_cells_that_come_or_go(
    pairs: set[tuple[int, int]], *, comes: bool
) -> None:
    small = {(2, 3), (3, 11), (11, 13)}
    large = small | pairs
    cells = sorted({cell for pair in large for cell in pair})
    links = large | {(other, one) for one, other in large}

    old, new = (forged(small), forged(large))[:: 1 if comes else -1]
    lines = [line for line in old.splitlines() if " FORGED seq " in line]
    for step in steps(daemons(bgpd=old), daemons(bgpd=new)):
        for command in step.commands:
            entry = command.removeprefix("no ").partition(" permit ")[0]
            lines = [line for line in lines if line.partition(" permit ")[0] != entry]
            lines += [] if command.startswith("no ") else [command]
        lists = [re.compile(line.partition(" permit ")[2]) for line in lines]
        for walk in ((2, *rest) for rest in product(cells, repeat=3)):
            path = " ".join(str(asn_of(cell)) for cell in walk)
            has_links = all(pair in links for pair in pairwise(walk))
            assert has_links or any(each.search(path) for each in lists), (step, path)


def forged(pairs: set[tuple[int, int]]) -> str:
    followers: dict[int, set[int]] = {cell: set() for pair in pairs for cell in pair}
    for one, other in pairs:
        followers[one].add(asn_of(other))
        followers[other].add(asn_of(one))
    adjacencies = tuple(
        Adjacency(cell=cell, asn=asn_of(cell), followers=tuple(sorted(its)))
        for cell, its in sorted(followers.items())
    )
    entries = "".join(
        f"bgp as-path access-list FORGED seq {number} permit {expression}\n"
        for number, expression in impossible(adjacencies, 30)
    )
    return entries + BGPD
