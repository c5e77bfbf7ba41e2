"""What is probed to prove that a cell forwards, and what follows from the answers."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface

import pytest

from packages import HOME, HUB, LAN, LAN6, REMOTE, package_of, with_metered
from uno.model.attached_lan import AttachedLan
from uno.model.package import Package
from uno.ports.host import Facts, Nic
from uno.ports.prober import ForwardingProbe
from uno.reconcile.forwarding_proof import (
    SMALL,
    ForwardingProof,
    ProofPlan,
    conclude,
    proof_plan,
)
from uno.reconcile.lans import attached

NIC = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.1/24"),))
HUB_NICS = (
    Nic(
        name="lan",
        addresses=(IPv4Interface("192.168.1.254/24"), IPv6Interface("2001:db8:1::1/64")),
    ),
)


def working(package: Package) -> frozenset[str]:
    return frozenset(link.interface for link in package.plan.links)


def planned(cell: int = HOME, *nics: Nic, answering: tuple[int, ...] = ()) -> ProofPlan:
    package = package_of(cell)
    facts = Facts(nics=nics or (NIC,))
    lans = attached(package.own.lans, facts.nics)
    return proof_plan(
        package, lans=lans, facts=facts, working=working(package), answering=answering
    )


def node(package: Package, cell: int) -> IPv4Address:
    return package.roster.member(cell).node4


def is_forwarded(probe: ForwardingProbe) -> bool:
    return probe.interface is not None


def is_small(probe: ForwardingProbe) -> bool:
    return probe.size == SMALL


def proof(
    plan: ProofPlan, *, lost: Callable[[ForwardingProbe], bool] = lambda _: False
) -> ForwardingProof:
    answered = {each for each in plan.forwarded if not lost(each)}
    answered |= {each for each in plan.unanswered(answered) if not lost(each)}
    return conclude(plan, answered)


@pytest.mark.feature("G52")
def test_each_neighbour_is_probed_as_a_host_of_the_lan_and_as_the_cell_itself() -> None:
    package, plan = package_of(HOME), planned()
    host, own = IPv4Address("192.168.2.254"), package.own.node4

    for link in package.plan.links:
        target = node(package, link.cell)
        sent = {
            (each.interface, each.source, each.size)
            for each in plan.forwarded | plan.unanswered(())
            if each.destination == target
        }
        assert sent == {
            ("eth1", host, SMALL),
            ("eth1", host, package.plan.backbone_mtu),
            (None, own, SMALL),
            (None, own, package.plan.backbone_mtu),
        }
    assert plan.interfaces == ("eth1",)


def test_the_address_of_a_host_is_none_of_the_cell_itself() -> None:
    plan = planned(HUB, *HUB_NICS)

    sources = {each.source for each in plan.forwarded}

    assert sources == {
        IPv4Address("192.168.1.253"),
        IPv6Address("2001:db8:1:0:ffff:ffff:ffff:fffe"),
    }


def test_of_a_lan_behind_a_smaller_subnet_a_host_on_the_wire_is_taken() -> None:
    package = package_of(HOME)
    facts = Facts(nics=(Nic(name="eth1", addresses=(IPv4Interface("192.168.2.9/29"),)),))
    lan = AttachedLan(network=REMOTE, nic="eth1", exact=False)

    plan = proof_plan(package, lans=(lan,), facts=facts, working=working(package))

    assert {each.source for each in plan.forwarded} == {IPv4Address("192.168.2.14")}


def test_a_subnet_without_room_for_another_host_is_not_probed() -> None:
    alone = Nic(name="eth1", addresses=(IPv4Interface("192.168.2.1/32"),))

    assert planned(HOME, alone).forwarded == frozenset()


@pytest.mark.feature("G52")
def test_a_lan_is_forwarded_if_packets_of_both_sizes_return() -> None:
    plan = planned()

    found = proof(plan)

    assert found.forwards == {REMOTE: True}
    assert found.is_good
    assert plan.unanswered(plan.forwarded) == frozenset()


@pytest.mark.feature("G52")
def test_where_the_cells_own_packets_return_and_those_of_the_lan_do_not_it_does_not_forward() -> (
    None
):
    found = proof(planned(), lost=is_forwarded)

    assert found.forwards == {REMOTE: False}
    (obstacle,) = found.obstacles
    assert obstacle.what.startswith("LAN 192.168.2.0/24: this host loses packets between eth1 and ")
    assert not found.is_good


@pytest.mark.feature("G52")
def test_large_packets_that_are_not_forwarded_are_named() -> None:
    mtu = package_of(HOME).plan.backbone_mtu

    found = proof(planned(), lost=lambda each: is_forwarded(each) and not is_small(each))

    assert found.forwards == {REMOTE: False}
    (obstacle,) = found.obstacles
    assert f"this host loses packets of {mtu} octets between eth1 and " in obstacle.what


@pytest.mark.feature("G52")
def test_a_link_that_loses_large_packets_is_named_with_its_neighbour() -> None:
    package = package_of(HOME)
    link = package.plan.links[0]
    target, name = node(package, link.cell), package.roster.member(link.cell).name

    found = proof(planned(), lost=lambda each: each.destination == target and each.size > SMALL)

    assert found.obstacles == ()
    assert found.narrow[link.interface].what == (
        f"{link.interface} loses packets of {package.plan.backbone_mtu} octets to or from {name}, "
        "and passes small ones"
    )
    assert not found.is_good


def test_neighbours_that_do_not_answer_the_cell_itself_prove_nothing() -> None:
    found = proof(planned(), lost=lambda _: True)

    assert found == ForwardingProof()
    assert found.is_good


@pytest.mark.feature("G52")
def test_a_neighbour_without_an_answer_is_named_beside_one_with() -> None:
    package = package_of(HUB)
    silent = package.roster.member(package.plan.links[1].cell)

    found = proof(
        planned(HUB, *HUB_NICS),
        lost=lambda each: is_forwarded(each) and each.destination == silent.node4,
    )

    assert found.forwards == {LAN: True, LAN6: True}
    assert [each.what for each in found.obstacles] == [
        f"LAN {LAN}: this host loses packets between lan and {silent.name}"
    ]


@pytest.mark.feature("G52")
def test_a_lan_of_a_cell_that_answers_probes_is_reached_if_this_one_is_answered() -> None:
    plan = planned(answering=(HUB,))
    into_lan = plan.remote[LAN]

    assert (into_lan.interface, str(into_lan.destination)) == ("eth1", "192.168.1.254")
    # This cell has no IPv6 LAN to probe from.
    assert LAN6 not in plan.remote
    assert proof(plan).unreached == frozenset()
    assert proof(plan, lost=lambda each: each == into_lan).unreached == {LAN}
    # Where this cell forwards nothing, others are not judged.
    assert proof(plan, lost=is_forwarded).unreached == frozenset()
    assert planned().remote == {}


@pytest.mark.feature("G57")
def test_metered_cells_and_the_links_to_them_can_be_left_out() -> None:
    package, facts = with_metered(package_of(HUB), HOME), Facts(nics=HUB_NICS)
    lans = attached(package.own.lans, facts.nics)

    whole = proof_plan(package, lans=lans, facts=facts, working=working(package), answering=(HOME,))
    left = whole.without_metered

    assert {path.neighbor for path in whole.paths} == {"home", "roam"}
    assert {path.neighbor for path in left.paths} == {"roam"}
    assert (set(whole.remote), left.remote) == ({REMOTE}, {})
    assert planned(answering=(HUB,)).without_metered == planned(answering=(HUB,))


def test_without_ipv6_only_ipv4_is_probed() -> None:
    package = package_of(HUB)
    facts = Facts(nics=HUB_NICS, has_ipv6=False)
    lans = attached(package.own.lans, facts.nics)

    plan = proof_plan(package, lans=lans, facts=facts, working=working(package))

    assert {path.lan for path in plan.paths} == {LAN}
    assert isinstance(LAN, IPv4Network)


def test_links_that_do_not_work_are_not_probed_and_the_proof_is_not_complete_without_any() -> None:
    package, facts = package_of(HUB), Facts(nics=HUB_NICS)
    lans, first = attached(package.own.lans, facts.nics), package.plan.links[0]

    one = proof_plan(package, lans=lans, facts=facts, working={first.interface})
    none = proof_plan(package, lans=lans, facts=facts, working=(), answering=(HOME,))
    no_lan = proof_plan(package, lans=(), facts=facts, working={first.interface})

    assert {path.link for path in one.paths} == {first.interface}
    assert one.is_complete
    assert (none.forwarded, none.is_complete) == (frozenset(), False)
    assert (no_lan.forwarded, no_lan.is_complete) == (frozenset(), True)
