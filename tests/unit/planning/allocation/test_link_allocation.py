from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.plan import Link, Plan
from uno.model.uvn import BACKBONE_VPN, CellSettings, Uvn
from uno.planning.planner import plan


@pytest.mark.feature("F063")
def test_links_have_a_pair_of_addresses_each_and_ports_from_63550(
    define: Callable[..., Uvn],
) -> None:
    made = plan(define(public=3, private=1), None)

    assert [shown(link) for link in made.links] == [
        "1:0 10.255.192.2 63550 - 2:0 10.255.192.3 63550",
        "1:1 10.255.192.4 63551 - 3:0 10.255.192.5 63550",
        "1:2 10.255.192.6 63552 - 4:0 10.255.192.7 None",
        "2:1 10.255.192.8 63551 - 3:1 10.255.192.9 63551",
    ]


@pytest.mark.feature("F061")
@pytest.mark.feature("G02")
def test_a_new_cell_takes_free_numbers_and_slots(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=3), None)

    after = plan(define(public=4), before)

    assert [shown(link) for link in after.links] == [
        "1:0 10.255.192.2 63550 - 2:0 10.255.192.3 63550",
        "1:1 10.255.192.4 63551 - 3:0 10.255.192.5 63550",
        "1:2 10.255.192.8 63552 - 4:0 10.255.192.9 63550",
        "2:1 10.255.192.6 63551 - 3:1 10.255.192.7 63551",
        "2:2 10.255.192.10 63552 - 4:1 10.255.192.11 63551",
        "3:2 10.255.192.12 63552 - 4:2 10.255.192.13 63552",
    ]


@pytest.mark.feature("G07")
def test_a_new_link_takes_nothing_from_one_that_goes_away_between_cells_that_stay(
    define: Callable[..., Uvn],
) -> None:
    ring = plan(define(public=6, deployment={"strategy": "circular"}), None)

    after = plan(define(public=7, deployment={"strategy": "circular"}), ring)

    staying = {link.cells for link in after.links}
    (gone,) = (link for link in ring.links if link.cells not in staying)
    new = [link for link in after.links if 7 in link.cells]
    taken = {(end.cell, end.slot) for link in new for end in (link.a, link.b)}
    assert len(new) == 2
    assert gone.number not in {link.number for link in new}
    assert taken.isdisjoint({(end.cell, end.slot) for end in (gone.a, gone.b)})


def test_a_new_link_takes_the_number_and_slots_of_a_cell_that_left(
    define: Callable[..., Uvn],
) -> None:
    uvn = define(public=4)
    before = plan(replace(uvn, cells=uvn.cells[:3]), None)

    after = plan(replace(uvn, cells=(*uvn.cells[:2], uvn.cells[3])), before)

    assert [shown(link) for link in after.links] == [
        "1:0 10.255.192.2 63550 - 2:0 10.255.192.3 63550",
        "1:1 10.255.192.4 63551 - 4:0 10.255.192.5 63550",
        "2:1 10.255.192.6 63551 - 4:1 10.255.192.7 63551",
    ]


def test_a_link_keeps_the_last_number_of_the_pool(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, backbone_vpn=replace(BACKBONE_VPN, subnet=IPv4Network("10.0.0.0/29")))
    before = plan(replace(uvn, cells=uvn.cells[:3]), None)

    after = plan(replace(uvn, cells=uvn.cells[1:]), before)

    assert (before.links[-1].cells, before.links[-1].number) == ((2, 3), 3)
    assert (after.links[0].cells, after.links[0].number) == ((2, 3), 3)


def test_where_nothing_else_is_free_a_new_link_takes_the_place_of_an_old_one(
    define: Callable[..., Uvn],
) -> None:
    small = replace(BACKBONE_VPN, subnet=IPv4Network("10.0.0.0/28"))
    highest = CellSettings(backbone_vpn_port=65534)
    before, after = (
        with_cell(
            define(public=count, deployment={"strategy": "circular"}, backbone_vpn=small),
            1,
            settings=highest,
        )
        for count in (6, 7)
    )

    made = plan(after, plan(before, None))

    assert sorted(link.number for link in made.links) == list(range(1, 8))
    assert ports(made)[1] == [65534, 65535]


@pytest.mark.feature("F037")
def test_another_subnet_readdresses_every_link_and_moves_no_port(
    define: Callable[..., Uvn],
) -> None:
    before = plan(define(public=3), None)
    subnet = IPv4Network("172.16.0.0/24")

    after = plan(define(public=3, backbone_vpn=replace(BACKBONE_VPN, subnet=subnet)), before)

    assert [link.a.address4 for link in after.links] == [subnet[2], subnet[4], subnet[6]]
    assert ports(after) == ports(before)


@pytest.mark.feature("F037")
def test_a_smaller_subnet_renumbers_what_does_not_fit(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=5), None)
    small = replace(BACKBONE_VPN, subnet=IPv4Network("10.0.0.0/29"))

    after = plan(define(public=3, backbone_vpn=small), before)

    assert sorted(link.number for link in after.links) == [1, 2, 3]
    assert after.links[0].number == before.links[0].number


@pytest.mark.feature("F063")
def test_another_first_port_moves_the_ports_of_its_cell_alone(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3)
    before = plan(uvn, None)

    after = plan(with_cell(uvn, 1, settings=CellSettings(backbone_vpn_port=40000)), before)

    assert ports(after)[1] == [40000, 40001]
    assert {cell: ports(after)[cell] for cell in (2, 3)} == {
        cell: ports(before)[cell] for cell in (2, 3)
    }
    assert [link.a.address4 for link in after.links] == [link.a.address4 for link in before.links]


def test_cells_at_one_address_share_out_its_ports(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, enable_root_vpn=False, enable_particles_vpn=False)
    uvn = with_cell(uvn, 2, address="C1.Example.org")

    made = plan(uvn, None)

    assert ports(made) == {1: [63550, 63552], 2: [63551, 63553], 3: [63550, 63551]}


def test_the_cell_that_moves_to_an_address_gives_way(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, enable_root_vpn=False, enable_particles_vpn=False)
    before = plan(uvn, None)

    after = plan(with_cell(uvn, 1, address="c3.example.org"), before)

    assert ports(before) == {1: [63550, 63551], 2: [63550, 63551], 3: [63550, 63551]}
    assert ports(after) == {1: [63552, 63553], 2: [63550, 63551], 3: [63550, 63551]}


def test_the_cell_whose_first_port_changes_gives_way(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, enable_root_vpn=False, enable_particles_vpn=False)
    uvn = with_cell(uvn, 3, address="c1.example.org")
    lower = with_cell(uvn, 1, settings=CellSettings(backbone_vpn_port=40000))

    after = plan(uvn, plan(lower, None))

    assert ports(after) == {1: [63552, 63553], 2: [63550, 63551], 3: [63550, 63551]}


def test_a_link_gives_way_to_a_listener_with_a_port_of_its_own(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3)
    before = plan(uvn, None)

    after = plan(with_cell(uvn, 1, settings=CellSettings(particles_vpn_port=63550)), before)

    assert ports(after)[1] == [63551, 63552]


@pytest.mark.feature("F006")
def test_a_cell_that_becomes_public_begins_to_listen(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=3, private=1), None)

    after = plan(define(public=4), before)

    (kept,) = (link for link in after.links if link.cells == (1, 4))
    assert (kept.b.slot, kept.b.port) == (0, 63550)


@pytest.mark.feature("F063")
def test_a_pool_without_room_is_refused(define: Callable[..., Uvn]) -> None:
    small = replace(BACKBONE_VPN, subnet=IPv4Network("10.0.0.0/29"))

    with pytest.raises(Rejected, match=r"10.0.0.0/29 has room for 3 backbone links, and 6 are"):
        plan(define(public=4, backbone_vpn=small), None)


def test_one_port_for_two_listeners_is_refused(define: Callable[..., Uvn]) -> None:
    uvn = with_cell(define(public=2), 2, address="c1.example.org")

    with pytest.raises(Rejected) as caught:
        plan(uvn, None)

    assert [problem.what for problem in caught.value.problems] == [
        "c1 (root VPN) and c2 (root VPN) would both listen on UDP port 63448 of c1.example.org",
        "c1 (particles) and c2 (particles) would both listen on UDP port 63449 of c1.example.org",
    ]
    assert [problem.hint for problem in caught.value.problems] == [
        "give one of them another port with `root_vpn_port`",
        "give one of them another port with `particles_vpn_port`",
    ]


def with_cell(uvn: Uvn, number: int, **changes: Any) -> Uvn:
    cells = (replace(cell, **changes) if cell.id == number else cell for cell in uvn.cells)
    return replace(uvn, cells=tuple(cells))


def ports(made: Plan) -> dict[int, list[int | None]]:
    ends = sorted(
        (end.cell, end.port) for link in made.links for end in (link.a, link.b) if end.port
    )
    return {cell: [port for at, port in ends if at == cell] for cell, _ in ends}


def shown(link: Link) -> str:
    return " - ".join(
        f"{end.cell}:{end.slot} {end.address4} {end.port}" for end in (link.a, link.b)
    )
