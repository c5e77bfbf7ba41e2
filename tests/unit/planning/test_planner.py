from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model import codec
from uno.model.uvn import ROOT_VPN, CellSettings, Strategy, User, Uvn
from uno.planning.invariants import broken_invariants
from uno.planning.planner import plan, required_keys, with_keys


@pytest.mark.feature("F023")
def test_a_cell_is_what_its_id_and_its_definition_make_it(define: Callable[..., Uvn]) -> None:
    uvn = define(public=2)
    lans = (IPv4Network("192.168.20.0/24"), IPv4Network("192.168.3.0/24"))
    own = CellSettings(root_vpn_port=1, particles_vpn_port=2, httpd_port=3, location="Rome")
    cell = replace(uvn.cells[1], allowed_lans=lans, settings=own)

    _, planned = plan(replace(uvn, cells=(uvn.cells[0], cell)), None).cells

    assert str(planned.member.node4) == "10.255.128.3"
    assert planned.member.asn == 4200000002
    assert planned.member.lans == (lans[1], lans[0])
    assert (planned.root_port, planned.particles_port, planned.httpd_port) == (1, 2, 3)
    assert planned.location == "Rome"


@pytest.mark.feature("F005")
@pytest.mark.feature("F006")
@pytest.mark.feature("F007")
def test_only_public_cells_listen(define: Callable[..., Uvn]) -> None:
    public, private = plan(define(public=1, private=1), None).cells

    assert (public.root_port, public.particles_port) == (63448, 63449)
    assert public.member.serves_particles
    assert (private.root_port, private.particles_port) == (None, None)
    assert not private.member.serves_particles


@pytest.mark.feature("F042")
def test_a_cell_that_switches_its_particle_vpn_off_serves_none(
    define: Callable[..., Uvn],
) -> None:
    uvn = define(public=2, particles=1)
    off = replace(uvn.cells[0], settings=CellSettings(enable_particles_vpn=False))

    made = plan(replace(uvn, cells=(off, uvn.cells[1])), None)

    assert [cell.member.serves_particles for cell in made.cells] == [False, True]
    assert [cell.particles_port for cell in made.cells] == [None, 63449]
    assert [key for key in required_keys(made).pairs if "particles" in key] == ["particles/2"]


@pytest.mark.feature("F009")
def test_a_cell_without_lans_is_planned_like_any_other(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4)
    roaming = replace(uvn.cells[3], allowed_lans=())

    made = plan(replace(uvn, cells=(*uvn.cells[:3], roaming)), None)

    assert made.links == plan(uvn, None).links


def test_the_vpns_can_be_switched_off(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=2, enable_root_vpn=False, enable_particles_vpn=False), None)

    assert (made.root, made.particles_vpn) == (None, None)
    assert [(cell.root_port, cell.particles_port) for cell in made.cells] == [(None, None)] * 2
    assert required_keys(made).pairs == (
        *("cell/1/seal", "cell/1/sign", "cell/2/seal", "cell/2/sign"),
        *("link/1-2/1", "link/1-2/2"),
    )


def test_a_registry_without_an_address_does_not_listen(define: Callable[..., Uvn]) -> None:
    uvn = define(public=1)

    listening, silent = plan(uvn, None).root, plan(replace(uvn, address=None), None).root

    assert listening is not None
    assert silent is not None
    assert (listening.endpoint, listening.port) == ("registry.example.org", 63447)
    assert (silent.endpoint, silent.port) == (None, None)
    assert (silent.registry_interface, silent.cell_interface) == ("uwg-v1", "uwg-v0")


def test_particles_whose_owner_is_excluded_are_not_planned(define: Callable[..., Uvn]) -> None:
    uvn = define(public=1, particles=3)
    guest = User(email="guest@example.org", excluded=True)
    theirs = replace(uvn.particles[0], owner=guest.email)
    banned = replace(uvn.particles[1], excluded=True)
    uvn = replace(uvn, users=(guest, *uvn.users), particles=(theirs, banned, uvn.particles[2]))

    (particle,) = plan(uvn, None).particles

    assert (particle.name, str(particle.address4)) == ("p3", "10.254.0.4")


def test_required_keys_are_those_of_the_contract(define: Callable[..., Uvn]) -> None:
    required = required_keys(plan(define(public=1, private=1), None))

    assert required.pairs == (
        *("cell/1/seal", "cell/1/sign", "cell/2/seal", "cell/2/sign"),
        "link/1-2/1",
        "link/1-2/2",
        "particles/1",
        "root/1",
        "root/2",
        "root/registry",
    )
    assert required.psks == ("link/1-2/psk", "root/1/psk", "root/2/psk")


@pytest.mark.feature("G02")
def test_keys_come_over_from_the_parent_while_they_are_needed(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=3, private=1), None)
    before = with_keys(before, {key: f"key of {key}" for key in required_keys(before).pairs})

    after = plan(define(public=3), before)

    assert after.public_keys == {key: f"key of {key}" for key in required_keys(after).pairs}


def test_keys_that_are_not_needed_are_left_out(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=1), None)

    keyed = with_keys(with_keys(made, {"root/1": "old", "root/2": "x"}), {"root/1": "new"})

    assert keyed.public_keys == {"root/1": "new"}


@pytest.mark.feature("F060")
@pytest.mark.feature("F061")
@pytest.mark.parametrize("strategy", Strategy)
def test_the_strategy_of_the_definition_decides(
    strategy: Strategy, define: Callable[..., Uvn]
) -> None:
    peers = {"c1": ["c2", "c3", "c4", "c5", "c6"]}
    arguments = peers if strategy is Strategy.STATIC else {}
    deployment = {"strategy": strategy, "strategy_args": arguments, "seed": 1}

    made = plan(define(public=6, deployment=deployment), None)

    assert made.strategy is strategy
    assert (
        len(made.links)
        == {
            Strategy.CROSSED: 9,
            Strategy.CIRCULAR: 6,
            Strategy.FULL_MESH: 15,
            Strategy.STATIC: 5,
            Strategy.RANDOM: 10,
        }[strategy]
    )


@pytest.mark.feature("F008")
def test_a_network_without_cells_has_an_empty_plan(define: Callable[..., Uvn]) -> None:
    made = plan(define(), None)

    assert (made.cells, made.links, made.ring) == ((), (), ())


def test_a_pool_without_an_address_for_a_cell_is_refused(define: Callable[..., Uvn]) -> None:
    small = replace(ROOT_VPN, subnet=IPv4Network("10.0.0.0/30"))

    with pytest.raises(Rejected, match=r"10.0.0.0/30 has no address for cell c2 \(id 2\)"):
        plan(define(public=2, root_vpn=small), None)


@pytest.mark.feature("G02")
def test_a_thousand_cells_and_one_more_are_sound(define: Callable[..., Uvn]) -> None:
    # More sites than a UVN has in practice, and as many as the default pools have addresses for.
    cell = replace(define(public=1).cells[0], allowed_lans=())
    many = [
        replace(cell, id=number, name=f"c{number}", address=f"c{number}.example.org")
        for number in range(1, 1002)
    ]
    many[1:1000:2] = [replace(each, address=None) for each in many[1:1000:2]]
    uvn = define(particles=1000)

    before = plan(replace(uvn, cells=tuple(many[:1000])), None)
    after = plan(replace(uvn, cells=tuple(many)), before)

    assert broken_invariants(before) == broken_invariants(after) == ()
    assert len(set(before.links) - set(after.links)) <= 1


@pytest.mark.feature("G02")
def test_the_order_of_cells_in_the_definition_does_not_matter(define: Callable[..., Uvn]) -> None:
    uvn = define(public=5, private=3, particles=2)
    turned = replace(uvn, cells=uvn.cells[::-1], particles=uvn.particles[::-1])

    assert codec.encode(plan(turned, None)) == codec.encode(plan(uvn, None))
