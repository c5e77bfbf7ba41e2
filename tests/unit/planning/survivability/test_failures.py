from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Network

import pytest
from msgspec.structs import replace

from uno.model.uvn import Uvn
from uno.planning.planner import plan
from uno.planning.survivability.failures import (
    FailureImpact,
    FailureKind,
    cut_pairs,
    failure_impacts,
)


@pytest.mark.feature("G03")
@pytest.mark.parametrize("strategy", ["crossed", "circular", "full-mesh", "random"])
def test_public_cells_survive_the_loss_of_any_one(
    strategy: str, define: Callable[..., Uvn]
) -> None:
    assert failure_impacts(plan(define(public=7, deployment={"strategy": strategy}), None)) == ()


@pytest.mark.feature("G03")
def test_a_private_cell_depends_on_its_home(define: Callable[..., Uvn]) -> None:
    found = failure_impacts(plan(define(public=3, private=1), None))

    assert found == (
        FailureImpact(
            kind=FailureKind.LINK,
            failed=(1, 4),
            cut_off=((4,),),
            lan_pairs=3,
            particle_paths=3,
        ),
        FailureImpact(
            kind=FailureKind.CELL, failed=(1,), cut_off=((4,),), lan_pairs=2, particle_paths=2
        ),
    )


@pytest.mark.feature("G03")
@pytest.mark.feature("G11")
def test_a_second_uplink_makes_it_independent(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, private=4, deployment={"private_uplinks": 2})

    assert failure_impacts(plan(uvn, None)) == ()


@pytest.mark.feature("G03")
def test_what_static_links_leave_apart_is_reported_first(define: Callable[..., Uvn]) -> None:
    links = {"c1": ["c2"], "c2": ["c3"], "c4": ["c5"]}
    uvn = define(public=5, deployment={"strategy": "static", "strategy_args": links})

    found = failure_impacts(plan(uvn, None))

    assert [(loss.failed, loss.cut_off, loss.lan_pairs) for loss in found] == [
        ((), ((4, 5),), 6),
        ((1, 2), ((1,),), 2),
        ((2, 3), ((3,),), 2),
        ((4, 5), ((4,), (5,)), 1),
        ((2,), ((1,), (3,)), 1),
    ]


@pytest.mark.feature("G03")
def test_who_has_nothing_to_lose_is_no_loss(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, private=2, enable_particles_vpn=False)
    roaming = replace(uvn.cells[3], allowed_lans=())
    uvn = replace(uvn, cells=(*uvn.cells[:3], roaming, uvn.cells[4]))

    assert {loss.cut_off for loss in failure_impacts(plan(uvn, None))} == {((5,),)}


@pytest.mark.feature("G03")
def test_a_ring_is_cut_by_any_two_of_its_links(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, deployment={"strategy": "circular"})

    (cycle,) = cut_pairs(plan(uvn, None))

    assert set(cycle.links) == {(1, 2), (2, 3), (3, 4), (1, 4)}
    assert sorted(cycle.pieces) == [(1,), (2,), (3,), (4,)]
    assert cycle.pairs == 6


@pytest.mark.feature("G03")
def test_two_uplinks_are_lost_together(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, private=1, deployment={"private_uplinks": 2})

    (cycle,) = cut_pairs(plan(uvn, None))

    assert set(cycle.links) == {(1, 5), (2, 5)}
    assert sorted(cycle.pieces) == [(1, 2, 3, 4), (5,)]
    assert cycle.pairs == 1


@pytest.mark.feature("G03")
def test_pairs_of_links_between_particles_and_lans_count(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, deployment={"strategy": "circular"})
    routing = tuple(replace(cell, allowed_lans=()) for cell in uvn.cells[1:])

    (found,) = cut_pairs(plan(replace(uvn, cells=(uvn.cells[0], *routing)), None))

    assert (len(found.links), found.pairs) == (4, 6)


@pytest.mark.feature("G03")
def test_where_every_lan_is_cut_off_all_are_named(define: Callable[..., Uvn]) -> None:
    star = {"c1": ["c2", "c3", "c4"]}
    uvn = define(public=4, deployment={"strategy": "static", "strategy_args": star})

    found = {loss.failed: loss.cut_off for loss in failure_impacts(plan(uvn, None))}

    assert found[1,] == ((2,), (3,), (4,))
    assert found[1, 2] == ((2,),)


@pytest.mark.feature("G03")
def test_cells_at_one_address_fail_one_by_one_and_together(define: Callable[..., Uvn]) -> None:
    uvn = at_one_address(define(public=4, deployment={"strategy": "circular"}), 0, 2)

    (found,) = failure_impacts(plan(uvn, None))

    assert found == FailureImpact(
        kind=FailureKind.SITE,
        failed=(1, 3),
        cut_off=((2,), (4,)),
        lan_pairs=1,
        particle_paths=2,
    )


@pytest.mark.feature("G03")
@pytest.mark.feature("G11")
def test_two_uplinks_survive_the_loss_of_a_site(define: Callable[..., Uvn]) -> None:
    uvn = define(public=4, private=3, deployment={"private_uplinks": 2})

    assert failure_impacts(plan(at_one_address(uvn, 0, 1), None)) == ()


@pytest.mark.feature("G03")
def test_pairs_of_one_ip_version_count(define: Callable[..., Uvn]) -> None:
    uvn = define(
        public=3,
        enable_particles_vpn=False,
        deployment={"strategy": "static", "strategy_args": {"c1": ["c2", "c3"]}},
    )
    lan6 = IPv6Network("2001:db8:3::/64")
    last = replace(uvn.cells[2], allowed_lans=(lan6,))
    uvn = replace(uvn, cells=(*uvn.cells[:2], last))

    found = failure_impacts(plan(uvn, None))

    assert [(loss.failed, loss.cut_off, loss.lan_pairs) for loss in found] == [
        ((1, 2), ((1, 3), (2,)), 1)
    ]


def at_one_address(uvn: Uvn, *places: int) -> Uvn:
    """Give some cells one address, and backbone ports of their own."""
    cells = list(uvn.cells)
    for place in places:
        settings = replace(
            cells[place].settings,
            root_vpn_port=50001 + place,
            particles_vpn_port=50011 + place,
            backbone_vpn_port=51000 + 100 * place,
        )
        cells[place] = replace(cells[place], address="site.example.org", settings=settings)
    return replace(uvn, cells=tuple(cells))
