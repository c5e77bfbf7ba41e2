from __future__ import annotations

from collections.abc import Callable

import pytest

from uno.model.uvn import Uvn
from uno.planning.planner import plan
from uno.planning.resilience import Loss, losses


@pytest.mark.feature("G03")
@pytest.mark.parametrize("strategy", ["crossed", "circular", "full-mesh", "random"])
def test_public_cells_survive_the_loss_of_any_one(
    strategy: str, define: Callable[..., Uvn]
) -> None:
    assert losses(plan(define(public=7, deployment={"strategy": strategy}), None)) == ()


@pytest.mark.feature("G03")
def test_a_private_cell_depends_on_its_home(define: Callable[..., Uvn]) -> None:
    found = losses(plan(define(public=3, private=1), None))

    assert found == (
        Loss(failed=(1, 4), cut_off=((4,),)),
        Loss(failed=(1,), cut_off=((4,),)),
    )


@pytest.mark.feature("G03")
@pytest.mark.feature("G11")
def test_a_second_uplink_makes_it_independent(define: Callable[..., Uvn]) -> None:
    uvn = define(public=3, private=4, deployment={"private_uplinks": 2})

    assert losses(plan(uvn, None)) == ()


@pytest.mark.feature("G03")
def test_what_static_links_leave_apart_is_said_first(define: Callable[..., Uvn]) -> None:
    links = {"c1": ["c2"], "c2": ["c3"], "c4": ["c5"]}
    uvn = define(public=5, deployment={"strategy": "static", "strategy_args": links})

    found = losses(plan(uvn, None))

    assert found == (
        Loss(failed=(), cut_off=((4, 5),)),
        Loss(failed=(1, 2), cut_off=((1,),)),
        Loss(failed=(2, 3), cut_off=((3,),)),
        Loss(failed=(4, 5), cut_off=((5,),)),
        Loss(failed=(2,), cut_off=((3,),)),
    )
