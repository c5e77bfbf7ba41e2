from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from msgspec.structs import replace

from uno.model.plan import CellSet, Link, Plan
from uno.model.uvn import Strategy, Uvn
from uno.planning.invariants import broken_invariants
from uno.planning.planner import plan


@pytest.fixture
def sound(define: Callable[..., Uvn]) -> Plan:
    return plan(define(public=4, private=1, particles=2), None)


def test_a_plan_as_made_is_sound(sound: Plan) -> None:
    assert broken_invariants(sound) == ()


def test_a_link_to_nowhere_is_found(sound: Plan) -> None:
    broken = replace(sound, cells=sound.cells[:-1])

    assert broken_invariants(broken) == ("link 1-5 ends at a cell that does not exist",)


def test_two_cells_with_one_id_are_found(sound: Plan) -> None:
    broken = replace(sound, cells=(*sound.cells, sound.cells[0]))

    assert "cell id 1 is there twice" in broken_invariants(broken)
    assert "cell name c1 is there twice" in broken_invariants(broken)


def test_two_particles_with_one_id_are_found(sound: Plan) -> None:
    broken = replace(sound, particles=(*sound.particles, sound.particles[0]))

    assert "particle id 1 is there twice" in broken_invariants(broken)


def test_a_particle_outside_its_pool_is_found(sound: Plan) -> None:
    lost = replace(sound.particles[0], address4=IPv4Address("192.0.2.1"))

    assert broken_invariants(replace(sound, particles=(lost,))) == (
        "particle p1 has an address outside the pools",
    )


def test_a_node_outside_its_pool_is_found(sound: Plan) -> None:
    member = replace(sound.cells[0].member, node6=IPv6Address("2001:db8::1"))
    broken = replace(sound, cells=(replace(sound.cells[0], member=member), *sound.cells[1:]))

    assert broken_invariants(broken) == ("cell c1 has an address outside the pools",)


def test_ends_in_the_wrong_order_are_found(sound: Plan) -> None:
    first = sound.links[0]

    found = broken_invariants(with_link(sound, replace(first, a=first.b, b=first.a)))

    assert "link 2-1 does not name its lower cell first" in found


def test_addresses_that_are_not_a_pair_are_found(sound: Plan) -> None:
    broken = with_end(sound, address4=IPv4Address("10.255.192.5"), address6=IPv6Address("fd00::1"))

    assert broken_invariants(broken)[:3] == (
        "link 1-2 does not have the two addresses of one /31",
        "link 1-2 does not have the two addresses of one /127",
        "link 1-2 has addresses outside the pools",
    )
    assert "link address 10.255.192.5 is there twice" in broken_invariants(broken)


def test_two_links_in_a_slot_are_found(sound: Plan) -> None:
    assert "cell 1 has two links in slot 1" in broken_invariants(with_end(sound, slot=1))


def test_two_listeners_at_a_port_are_found(sound: Plan) -> None:
    assert broken_invariants(with_end(sound, port=63449)) == (
        "two listeners share UDP port 63449 of c1.example.org",
    )


def test_a_port_that_there_is_not_is_found(sound: Plan) -> None:
    assert broken_invariants(with_end(sound, port=65536)) == (
        "c1.example.org has no UDP port 65536",
    )


def test_a_public_cell_that_does_not_listen_is_found(sound: Plan) -> None:
    assert broken_invariants(with_end(sound, port=None)) == (
        "cell 1 has a port and no public address, or the reverse",
    )


def test_a_scope_that_refuses_the_neighbour_is_found(sound: Plan) -> None:
    assert broken_invariants(with_end(sound, import_origins=CellSet(cells=(1,)))) == (
        "cell 1 accepts its own prefixes on link 1-2",
        "cell 1 does not accept its neighbour's on link 1-2",
        "cell 1 rejects prefixes that may come through link 1-2",
    )


def test_a_lan_within_another_s_is_found(sound: Plan) -> None:
    wide = sound.cells[1].member.lans[0].supernet(new_prefix=22)
    member = replace(sound.cells[0].member, lans=(wide,))
    broken = replace(sound, cells=(replace(sound.cells[0], member=member), *sound.cells[1:]))

    assert broken_invariants(broken) == (
        "192.168.0.0/22 of c1 overlaps 192.168.2.0/24 of c2",
        "192.168.0.0/22 of c1 overlaps 192.168.3.0/24 of c3",
    )


def test_lans_of_one_cell_may_overlap(sound: Plan) -> None:
    lan = sound.cells[0].member.lans[0]
    halves = tuple(lan.subnets(prefixlen_diff=1))
    member = replace(sound.cells[0].member, lans=(lan, *halves))

    assert (
        broken_invariants(
            replace(sound, cells=(replace(sound.cells[0], member=member), *sound.cells[1:]))
        )
        == ()
    )


@pytest.mark.feature("F006")
def test_a_link_between_private_cells_is_found(sound: Plan) -> None:
    hidden = [replace(cell, member=replace(cell.member, endpoint=None)) for cell in sound.cells[:2]]

    found = broken_invariants(replace(sound, cells=(*hidden, *sound.cells[2:])))

    assert "link 1-2 is between two private cells" in found
    assert "the ring does not hold each public cell once" in found


@pytest.mark.feature("F003")
def test_a_backbone_in_pieces_is_found(sound: Plan) -> None:
    broken = replace(sound, links=tuple(link for link in sound.links if 5 not in link.cells))

    assert broken_invariants(broken) == ("the backbone is in 2 pieces",)
    assert broken_invariants(replace(broken, strategy=Strategy.STATIC)) == ()


@pytest.mark.feature("F003")
def test_a_ring_that_is_open_is_found(define: Callable[..., Uvn]) -> None:
    ring = plan(define(public=4, deployment={"strategy": "circular"}), None)

    broken = replace(ring, links=ring.links[1:])

    assert broken_invariants(broken) == ("the loss of cell 4 parts the others",)


@pytest.mark.feature("F003")
def test_an_open_ring_of_three_is_found(define: Callable[..., Uvn]) -> None:
    ring = plan(define(public=3, deployment={"strategy": "circular"}), None)

    broken = replace(ring, links=ring.links[1:])

    assert broken_invariants(broken) == ("the loss of cell 3 parts the others",)


def with_end(plan: Plan, **changes: Any) -> Plan:
    first = plan.links[0]
    return with_link(plan, replace(first, a=replace(first.a, **changes)))


def with_link(plan: Plan, link: Link) -> Plan:
    return replace(plan, links=(link, *plan.links[1:]))
