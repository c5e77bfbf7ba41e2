"""What is in the way of what a cell forwards, by the state of its host."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

import pytest
from msgspec.structs import replace

from nft_rules import (
    ACCEPT,
    DROP,
    ESTABLISHED,
    FIREWALLD,
    REJECT,
    chain,
    meta,
    payload,
    prefix,
    ruleset,
)
from packages import HOME, HUB, LAN, LAN6, ROAM, package_of
from uno.model.net import address, network
from uno.model.package import Package
from uno.ports.host import Facts, ForwardingState, HostRoute, LinkMode, Nic
from uno.reconcile.forwarding_obstacles import (
    Obstacle,
    ObstacleKind,
    obstacles,
    parameters,
    unanswered_probes,
)
from uno.reconcile.lans import attached

WAN = Nic(name="eth0", addresses=(IPv4Interface("198.51.100.7/24"),), has_default_route=True)
INSIDE = Nic(
    name="eth1", addresses=(IPv4Interface("192.168.1.7/24"), IPv6Interface("2001:db8:1::7/64"))
)
SECOND = Nic(name="eth2", addresses=(IPv4Interface("192.168.1.8/24"),))


@dataclass
class Site:
    """The cell `hub` on a host where nothing is in the way."""

    package: Package = field(default_factory=lambda: package_of(HUB))
    facts: Facts = field(default_factory=lambda: Facts(nics=(WAN, INSIDE)))
    rules: str = ""
    modes: dict[str, LinkMode] = field(default_factory=dict)
    sysctls: dict[str, str] = field(default_factory=dict)
    silent: Collection[str] = ()
    endpoints: Collection[str] = ()
    probed: bool = False

    @property
    def obstacles(self) -> tuple[Obstacle, ...]:
        lans = attached(self.package.own.lans, self.facts.nics)
        asked = parameters(self.package, lans, self.facts)
        assert set(self.sysctls) <= set(asked)
        state = ForwardingState(ruleset=self.rules, sysctls=self.sysctls, interfaces=self.modes)
        found = obstacles(
            self.package,
            state,
            lans=lans,
            facts=self.facts,
            silent=frozenset(self.silent),
            endpoints=[address(each) for each in self.endpoints],
        )
        return (*found, *unanswered_probes(self.package, state)) if self.probed else found

    @property
    def what(self) -> tuple[str, ...]:
        return tuple(each.what for each in self.obstacles)


@pytest.fixture
def site() -> Site:
    return Site()


def test_nothing_is_in_the_way_of_a_host_as_it_should_be(site: Site) -> None:
    site.rules = ruleset(chain("input", (ESTABLISHED, ACCEPT), (DROP,), hook="input"))
    site.sysctls = dict.fromkeys(
        parameters(site.package, attached(site.package.own.lans, site.facts.nics), site.facts), "1"
    )
    off = ("rp_filter", "ignore_all")
    site.sysctls |= {key: "0" for key in site.sysctls if key.endswith(off)}

    assert site.obstacles == ()


MASQUERADE: dict[str, object] = {"masquerade": None}


def postrouting(*rule: dict[str, object]) -> str:
    return ruleset(chain("post", rule, hook="postrouting", family="ip", table="nat"))


@pytest.mark.feature("G52")
@pytest.mark.parametrize(
    "rule",
    [
        (MASQUERADE,),
        (payload("ip", "saddr", prefix("192.168.1.0/24")), MASQUERADE),
        (payload("ip", "saddr", prefix("192.168.0.0/16")), {"snat": {"addr": "198.51.100.7"}}),
        (meta("oifname", "lo", "!="), {"xt": {"type": "target", "name": "MASQUERADE"}}),
    ],
)
def test_a_rule_that_gives_packets_into_links_another_source_is_named(
    site: Site, rule: tuple[dict[str, object], ...]
) -> None:
    site.rules = postrouting(*rule)

    (obstacle,) = site.obstacles

    assert obstacle.what.startswith("chain post of nftables table ip nat gives packets from ")
    assert "to uwg-b* another source (NAT), by the rule with handle 1" in obstacle.what


@pytest.mark.feature("G52")
@pytest.mark.parametrize(
    "rule",
    [
        (meta("oifname", "eth0"), MASQUERADE),
        (payload("ip", "saddr", prefix("172.17.0.0/16")), MASQUERADE),
        # Towards the LAN, as where its router has no route back.
        (meta("oifname", "eth1"), MASQUERADE),
        (payload("ip", "daddr", prefix("192.168.0.0/16"), "!="), MASQUERADE),
        ({"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}}, MASQUERADE),
        ({"dnat": {"addr": "192.168.1.9"}},),
    ],
)
def test_a_rule_that_gives_other_packets_another_source_is_not_in_the_way(
    site: Site, rule: tuple[dict[str, object], ...]
) -> None:
    site.rules = postrouting(*rule)

    assert site.obstacles == ()


@pytest.mark.feature("G52")
def test_a_host_that_answers_no_probes_of_other_cells_is_named_where_there_are_agents(
    site: Site,
) -> None:
    ignored = "net.ipv4.icmp_echo_ignore_all"
    closed = chain("input", (ESTABLISHED, ACCEPT), hook="input", policy="drop", table="mine")
    site.sysctls, site.rules = {ignored: "1"}, ruleset(closed)
    assert site.obstacles == ()
    site.probed = True

    parameter, rule = site.what

    assert parameter.startswith(f"{ignored} is 1: this host answers no probes")
    assert rule.startswith(
        "chain input of nftables table inet mine drops probes of other cells "
        "(ICMP echo requests from uwg-b*)"
    )


@pytest.mark.feature("G52")
@pytest.mark.parametrize(
    "passed",
    [
        (payload("ip", "protocol", "icmp"), ACCEPT),
        (meta("l4proto", "icmp"), ACCEPT),
        (meta("iifname", "uwg-*"), ACCEPT),
        (payload("icmp", "type", "echo-request"), {"limit": {"rate": 5}}, ACCEPT),
    ],
)
def test_a_firewall_that_may_pass_probes_is_not_in_their_way(
    site: Site, passed: tuple[dict[str, object], ...]
) -> None:
    site.rules = ruleset(chain("input", passed, hook="input", policy="drop"))
    site.probed = True

    assert site.obstacles == ()


def test_a_firewall_that_rejects_is_named_once_with_the_interfaces(site: Site) -> None:
    site.rules = FIREWALLD

    (obstacle,) = site.obstacles

    assert obstacle.what == (
        "chain filter_FORWARD of nftables table inet firewalld rejects packets between "
        "eth1, uwg-b* and uwg-p1, by the rule with handle 2"
    )
    assert "firewalld.policies(5)" in obstacle.remedy
    assert str(obstacle) == f"{obstacle.what}; {obstacle.remedy}"


def test_a_policy_that_drops_is_named_unless_uno_is_accepted(site: Site) -> None:
    site.rules = ruleset(chain("f", hook="forward", policy="drop", table="mine"))
    (obstacle,) = site.obstacles
    assert obstacle.what.startswith("chain f of nftables table inet mine drops packets")
    assert obstacle.what.endswith(", by its policy")
    assert 'accept iifname { "uwg-b*", ' in obstacle.remedy

    for key in ("iifname", "oifname"):
        one = (meta(key, "uwg-*"), ACCEPT)
        site.rules = ruleset(chain("f", one, hook="forward", policy="drop"))
        assert len(site.obstacles) == 1

    both = [(meta(key, "uwg-*"), ACCEPT) for key in ("iifname", "oifname")]
    site.rules = ruleset(chain("f", *both, hook="forward", policy="drop"))
    assert site.obstacles == ()


def test_a_firewall_that_closes_one_direction_is_named_with_that_one(site: Site) -> None:
    site.package = package_of(HOME)
    site.facts = Facts(nics=(Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),)),))
    links = [link.interface for link in site.package.plan.links]
    site.rules = ruleset(
        chain("f", (meta("iifname", links[0]), meta("oifname", "eth1"), DROP), hook="forward")
    )

    (what,) = site.what

    assert f"drops packets from {links[0]} to eth1, by" in what


def test_a_rule_for_some_hosts_or_some_ports_only_is_no_obstacle(site: Site) -> None:
    site.rules = ruleset(
        chain(
            "f",
            (payload("ip", "saddr", "192.168.1.66"), DROP),
            (payload("tcp", "dport", 25), REJECT),
            (payload("ip", "daddr", {"set": ["192.168.2.1", "192.168.2.2"]}), DROP),
            hook="forward",
        )
    )

    assert site.obstacles == ()


def test_a_rule_for_the_lan_of_another_cell_is_found(site: Site) -> None:
    rule = (payload("ip", "daddr", prefix("192.168.2.0/24")), REJECT)
    site.rules = ruleset(chain("f", rule, hook="forward"))

    (what,) = site.what

    assert "rejects packets from eth1 to uwg-b*" in what


def test_a_rule_for_the_cells_own_ipv6_lan_is_found(site: Site) -> None:
    rule = (payload("ip6", "saddr", prefix(str(LAN6))), DROP)
    site.package = package_of(HUB)
    site.rules = ruleset(chain("f", rule, hook="forward", family="ip6", table="filter"))

    # No other cell has an IPv6 LAN: nothing of the kind is forwarded.
    assert site.obstacles == ()
    assert LAN6 in site.package.own.lans


def test_iptables_are_mended_with_iptables(site: Site) -> None:
    rule = ({"xt": {"type": "target", "name": "REJECT"}},)
    site.rules = ruleset(chain("FORWARD", rule, hook="forward", family="ip", table="filter"))

    (obstacle,) = site.obstacles

    assert obstacle.remedy == "iptables -I FORWARD -i uwg-b+ -j ACCEPT, and the same with -o"


def test_a_cell_without_lans_forwards_between_links() -> None:
    site = Site(package=package_of(ROAM), rules=FIREWALLD)
    links = [link.interface for link in site.package.plan.links]

    assert len(site.obstacles) == (1 if len(links) > 1 else 0)


def test_what_the_host_does_not_receive_matters_where_a_link_is_silent(site: Site) -> None:
    link = site.package.plan.links[0]
    site.rules = ruleset(chain("i", (ESTABLISHED, ACCEPT), (DROP,), hook="input", table="mine"))
    assert site.obstacles == ()

    site.silent = [link.interface]

    (obstacle,) = site.obstacles
    assert "drops what links need (tcp port 1790, udp port 3784" in obstacle.what
    assert f"udp port {link.port}" in obstacle.what
    assert f"from eth0 and {link.interface}" in obstacle.what
    assert obstacle.remedy == "accept them in chain i"


@pytest.mark.feature("G51")
def test_where_ufw_is_what_drops_the_remedy_is_its_commands(site: Site) -> None:
    link = site.package.plan.links[0]
    site.rules = ruleset(
        chain("INPUT", hook="input", policy="drop", family="ip", table="filter"),
        chain("ufw-user-input", family="ip", table="filter"),
    )
    site.silent = [link.interface]

    (obstacle,) = site.obstacles

    assert obstacle.remedy == (
        f"ufw allow {link.port}/udp"
        " && ufw allow in on uwg-b+ proto tcp to any port 1790"
        " && ufw allow in on uwg-b+ proto udp to any port 3784"
    )


def test_an_input_chain_that_accepts_what_links_need_is_none(site: Site) -> None:
    site.silent = [link.interface for link in site.package.plan.links]
    ports = {"set": [link.port for link in site.package.plan.links]}
    site.rules = ruleset(
        chain(
            "i",
            (meta("iifname", "uwg-*"), ACCEPT),
            (payload("udp", "dport", ports), ACCEPT),
            hook="input",
            policy="drop",
        )
    )

    assert site.obstacles == ()


def test_a_lan_without_carrier_is_named(site: Site) -> None:
    site.modes = {"eth1": LinkMode.NO_CARRIER}

    assert site.what == (f"LAN {LAN}: eth1 has no carrier", f"LAN {LAN6}: eth1 has no carrier")


def test_a_lan_whose_interface_resolves_no_addresses_is_named(site: Site) -> None:
    site.modes = {"eth1": LinkMode.NO_ARP}

    text = "eth1 has ARP off; it and the LAN's hosts do not find each other"
    assert site.what == (f"LAN {LAN}: {text}", f"LAN {LAN6}: {text}")


def test_one_of_two_interfaces_to_a_lan_may_be_without_carrier(site: Site) -> None:
    site.facts = Facts(nics=(WAN, INSIDE, SECOND))
    site.modes = {"eth2": LinkMode.NO_CARRIER}

    assert site.what == ()


def test_an_interface_of_a_lan_that_is_down_is_named(site: Site) -> None:
    site.facts = Facts(nics=(WAN, replace(INSIDE, up=False)))
    site.modes = {"eth1": LinkMode.DOWN}

    (first, second) = site.obstacles

    assert (first.what, first.remedy) == (f"LAN {LAN}: eth1 is down", "ip link set eth1 up")
    assert second.what == f"LAN {LAN6}: eth1 is down"


def test_a_link_that_was_set_down_is_named(site: Site) -> None:
    site.modes = {"uwg-b0": LinkMode.DOWN, "uwg-b1": LinkMode.UP}

    assert site.what == ("uwg-b0 is down",)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("net.ipv4.ip_forward", "the kernel forwards no IPv4"),
        ("net.ipv6.conf.all.forwarding", "the kernel forwards no IPv6"),
        ("net.ipv4.conf.eth1.forwarding", "the kernel forwards no IPv4 from this interface"),
    ],
)
def test_a_switch_that_is_off_is_named(site: Site, key: str, expected: str) -> None:
    site.sysctls = {key: "0"}

    (obstacle,) = site.obstacles

    assert obstacle.what == f"{key} is 0: {expected}"
    assert obstacle.remedy.startswith(f"sysctl -w {key}=1, ")


def test_the_switch_for_all_interfaces_stands_for_each(site: Site) -> None:
    site.sysctls = {"net.ipv4.ip_forward": "0", "net.ipv4.conf.eth1.forwarding": "0"}

    assert len(site.obstacles) == 1


@pytest.mark.parametrize(
    ("all_", "own", "strict"),
    [("0", "1", True), ("1", "0", True), ("1", "2", False), ("2", "1", False)],
)
def test_strict_reverse_path_filtering_of_a_tunnel_is_named(
    site: Site, all_: str, own: str, *, strict: bool
) -> None:
    others = {
        f"net.ipv4.conf.{link.interface}.rp_filter": "2" for link in site.package.plan.links[1:]
    }
    hub = site.package.plan.particles
    others |= {f"net.ipv4.conf.{hub.interface}.rp_filter": "2"} if hub else {}
    name = site.package.plan.links[0].interface
    site.sysctls = {
        **others,
        "net.ipv4.conf.all.rp_filter": all_,
        f"net.ipv4.conf.{name}.rp_filter": own,
    }

    assert [f"{name}.rp_filter is 1" in each for each in site.what] == [True] * strict


def test_on_a_lans_interface_it_matters_where_there_are_two(site: Site) -> None:
    site.sysctls = {"net.ipv4.conf.eth1.rp_filter": "1"}
    assert site.what == ()

    site.facts = Facts(nics=(WAN, INSIDE, SECOND))

    assert ["eth1.rp_filter is 1" in each for each in site.what] == [True]


@pytest.mark.feature("G51")
@pytest.mark.feature("G52")
@pytest.mark.parametrize(
    ("endpoint", "own", "named"),
    [
        ("192.168.2.1", "1", True),
        ("192.168.2.1", "2", False),
        ("198.51.100.1", "1", False),
        ("2001:db8:1::1", "1", False),
    ],
)
def test_strict_filtering_towards_an_endpoint_in_a_lan_is_named(
    site: Site, *, endpoint: str, own: str, named: bool
) -> None:
    default = HostRoute(destination=network("0.0.0.0/0"), interface="eth0")
    site.facts = replace(site.facts, routes=(default,))
    site.sysctls = {"net.ipv4.conf.eth0.rp_filter": own}
    site.endpoints = [endpoint]

    what = (
        f"net.ipv4.conf.eth0.rp_filter is 1: answers of the endpoint {endpoint}, "
        "which is in a LAN of the UVN, are dropped"
    )
    assert list(site.what) == [what] * named


@pytest.mark.feature("G51")
@pytest.mark.feature("G52")
@pytest.mark.parametrize(
    ("endpoint", "flags", "none", "named"),
    [
        ("192.168.1.1", ["saddr", "mark", "iif"], False, True),
        ("2001:db8:1::1", ["saddr", "iif"], "0", True),
        ("2001:db8:1::1", ["saddr", "mark"], False, False),
        ("198.51.100.1", ["saddr", "mark", "iif"], False, False),
    ],
    ids=["IPv4", "IPv6", "loose", "in no LAN"],
)
def test_a_rule_that_drops_answers_of_an_endpoint_in_a_lan_is_named(
    endpoint: str, flags: list[str], none: object, *, named: bool
) -> None:
    """As firewalld has it for IPv6, unless it is set to be loose."""
    routes = [
        HostRoute(destination=network(each), interface="eth0") for each in ("0.0.0.0/0", "::/0")
    ]
    inside = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.7/24"),))
    site = Site(package=package_of(HOME), facts=Facts(nics=(WAN, inside), routes=tuple(routes)))
    lookup = {"fib": {"result": "oif", "flags": flags}}
    missing = {"match": {"op": "==", "left": lookup, "right": none}}
    site.rules = ruleset(chain("filter_PREROUTING", (missing, DROP), hook="prerouting"))
    site.endpoints = [endpoint]

    found = site.obstacles

    what = (
        "chain filter_PREROUTING of nftables table inet firewalld drops answers of the endpoint "
        f"{endpoint}, which is in a LAN of the UVN, by the rule with handle 1"
    )
    assert [each.what for each in found] == [what] * named
    assert all("IPv6_rpfilter=loose" in each.remedy for each in found)


@pytest.mark.feature("G52")
@pytest.mark.parametrize(
    ("cell", "protocol", "flags", "named"),
    [
        (HUB, "ipv6", ["saddr", "mark", "iif"], True),
        (HUB, "ipv4", ["saddr", "iif"], True),
        (HUB, "ipv6", ["saddr", "mark"], False),
        (HOME, "ipv6", ["saddr", "mark", "iif"], False),
    ],
    ids=["firewalld", "IPv4", "loose", "one link"],
)
def test_a_rule_that_drops_what_is_answered_by_another_link_is_named(
    cell: int, protocol: str, flags: list[str], *, named: bool
) -> None:
    """As firewalld has it for IPv6, unless it is set to be loose."""
    address = "192.168.1.7/24" if cell == HUB else "192.168.2.7/24"
    inside = Nic(name="eth1", addresses=(IPv4Interface(address),))
    site = Site(package=package_of(cell), facts=Facts(nics=(WAN, inside)))
    lookup = {"fib": {"result": "oif", "flags": flags}}
    missing = {"match": {"op": "==", "left": lookup, "right": False}}
    only = meta("nfproto", protocol)
    site.rules = ruleset(chain("filter_PREROUTING", (only, missing, DROP), hook="prerouting"))

    found = [each for each in site.obstacles if "another link" in each.what]

    text = (
        "chain filter_PREROUTING of nftables table inet firewalld drops packets from uwg-b* whose "
        "answers take another link, by the rule with handle 1"
    )
    assert [each.what for each in found] == [text] * named
    assert all(each.kind is ObstacleKind.RP_FILTER for each in found)


def test_names_with_dots_are_written_as_sysctl_does() -> None:
    site = Site(facts=Facts(nics=(replace(INSIDE, name="eth1.7"),)))
    site.sysctls = {"net.ipv4.conf.eth1/7.forwarding": "0"}

    assert len(site.obstacles) == 1


def test_a_kernel_without_ipv6_is_asked_for_none_of_its_parameters(site: Site) -> None:
    site.facts = Facts(nics=(WAN, INSIDE), has_ipv6=False)
    lans = attached(site.package.own.lans, site.facts.nics)

    assert [key for key in parameters(site.package, lans, site.facts) if "ipv6" in key] == []
