"""A cell's plan to its routing policy."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network, IPv6Network

import pytest
from msgspec.structs import replace

from packages import HOME, HUB, LAN, LAN6, REMOTE, ROAM, package_of
from uno.model.attached_lan import AttachedLan
from uno.model.plan import CellSet
from uno.model.routing_policy import (
    Drain,
    RoutingPolicy,
    gshut_multiplier,
    members_of,
    originated,
    remote_prefixes,
    routing_policy,
)

ATTACHED = (AttachedLan(network=LAN, nic="eth1"), AttachedLan(network=LAN6, nic="eth1"))


def policy(
    *lans: AttachedLan, cell: int = HUB, drained: dict[str, Drain] | None = None
) -> RoutingPolicy:
    own = package_of(cell)
    return routing_policy(own.plan, own.roster, lans=lans, drained=drained)


@pytest.mark.feature("F004")
@pytest.mark.feature("F079")
def test_a_cell_originates_its_attached_lans_and_its_node_addresses() -> None:
    nodes = (IPv4Network("10.255.128.2/32"), IPv6Network("fd2b:5061:b7f9::2/128"))

    assert policy(*reversed(ATTACHED)).networks == (LAN, LAN6, *nodes)
    assert policy(ATTACHED[0], replace(ATTACHED[0], nic="wlan0")).networks == (LAN, *nodes)
    assert policy().networks == nodes


def test_a_lan_whose_subnet_is_another_is_no_route_of_the_kernel() -> None:
    assert policy(*ATTACHED).networks_are_in_kernel
    assert not policy(ATTACHED[0], replace(ATTACHED[1], exact=False)).networks_are_in_kernel


@pytest.mark.feature("G22")
def test_all_other_cells_are_origins_of_their_own_prefixes() -> None:
    own = package_of(HUB)
    origins = policy(*ATTACHED).origins

    assert [each.cell for each in origins] == [HOME, ROAM]
    for each in origins:
        member = own.roster.member(each.cell)
        assert (each.asn, each.prefixes) == (member.asn, originated(member))
    assert REMOTE in origins[0].prefixes


@pytest.mark.feature("G22")
def test_a_session_accepts_the_origins_that_the_plan_has_for_its_link() -> None:
    own = package_of(HUB)
    found = policy()

    assert [each.interface for each in found.sessions] == [
        link.interface for link in own.plan.links
    ]
    for link, session in zip(own.plan.links, found.sessions, strict=True):
        accepted = {each.cell for each in found.origins_of(session)}
        assert accepted == {cell for cell in (HOME, ROAM) if cell in link.import_origins}
        assert session.remote_as == own.roster.member(link.cell).asn
        assert (session.local4, session.remote4) == (link.local4, link.remote4)


@pytest.mark.feature("G08")
@pytest.mark.parametrize(
    ("drain", "marks", "avoided"),
    [(None, False, False), (Drain.TAGGED, True, False), (Drain.AVOIDED, True, True)],
)
def test_a_drain_changes_one_session_alone(
    drain: Drain | None, *, marks: bool, avoided: bool
) -> None:
    name, *others = (each.interface for each in policy().sessions)

    found = policy(drained={name: drain} if drain else {})

    drained, *rest = found.sessions
    assert (drained.marks_imports, drained.is_avoided) == (marks, avoided)
    assert [each.interface for each in rest] == others
    assert not any(each.marks_imports or each.is_avoided for each in rest)


@pytest.mark.feature("G07")
def test_a_closed_link_has_no_session() -> None:
    name, *others = (each.interface for each in policy().sessions)

    found = policy(drained={name: Drain.CLOSED})

    assert [each.interface for each in found.sessions] == others


@pytest.mark.parametrize(("interval", "multiplier"), [(250, 20), (1000, 5), (10, 255), (20_000, 3)])
def test_an_avoided_link_outlasts_a_change_of_keys(interval: int, multiplier: int) -> None:
    timing = replace(package_of(HUB).roster.timing, bfd_interval=interval)

    assert gshut_multiplier(timing) == multiplier


@pytest.mark.feature("G28")
def test_remote_prefixes_are_the_pools_and_the_lans_of_the_others() -> None:
    own = package_of(HUB)
    pools = own.roster.pools

    found = remote_prefixes(own.own, own.roster)

    assert found == (pools.particles, pools.root, pools.backbone, REMOTE, pools.ula)
    assert set(remote_prefixes(own.roster.member(ROAM), own.roster)) - set(found) == {LAN, LAN6}


def test_members_of_a_set_are_those_listed_or_all_others() -> None:
    roster = package_of(HUB).roster

    assert [each.id for each in members_of(CellSet(cells=(HOME,)), roster)] == [HOME]
    others = members_of(CellSet(cells=(HOME,), complement=True), roster)
    assert [each.id for each in others] == [HUB, ROAM]


def test_a_cell_originates_its_own_lans_and_addresses_sorted() -> None:
    member = package_of(HUB).own

    assert originated(member) == (
        IPv4Interface(member.node4).network,
        LAN,
        LAN6,
        IPv6Network(member.node6),
    )
