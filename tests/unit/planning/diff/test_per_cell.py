from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model.uvn import Uvn
from uno.planning.diff.per_cell import Delta, impacts
from uno.planning.planner import plan, required_keys, with_keys


@pytest.mark.feature("G01")
def test_a_new_cell_means_something_for_those_that_it_is_linked_with(
    define: Callable[..., Uvn],
) -> None:
    before = plan(define(public=4), None)
    after = plan(define(public=5), before)

    found = {each.name: each for each in impacts(before, after)}

    neighbours = {name for name, each in found.items() if each.links.added}
    assert "c5" in neighbours
    assert found["c5"].ports.added[:2] == ("63448", "63449")
    assert len(found["c5"].routes.added) == 4
    for name in neighbours - {"c5"}:
        assert found[name].links.added == ("c5",)
        assert len(found[name].keys.added) == 1
    assert all(found[f"c{at}"].routes == Delta(added=("192.168.5.0/24",)) for at in range(1, 5))


@pytest.mark.feature("G01")
def test_a_cell_that_goes_takes_all_of_its_own_with_it(define: Callable[..., Uvn]) -> None:
    before = plan(define(public=4), None)
    after = plan(define(public=3), before)

    gone = next(each for each in impacts(before, after) if each.name == "c4")

    assert len(gone.links.removed) == len(gone.ports.removed) - 2
    assert not gone.links.added
    assert len(gone.routes.removed) == 3


@pytest.mark.feature("G01")
def test_replaced_keys_are_listed(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=2), None)
    names = required_keys(made).pairs
    before = with_keys(made, dict.fromkeys(names, "old"))
    after = with_keys(before, {"root/1": "new"})

    (found,) = impacts(before, after)

    assert (found.name, found.rekeyed) == ("c1", ("root/1",))


@pytest.mark.feature("G01")
def test_moved_links_are_listed(define: Callable[..., Uvn]) -> None:
    uvn = define(public=2)
    before = plan(uvn, None)
    backbone = replace(uvn.settings.backbone_vpn, port=50000)
    moved = replace(uvn, settings=replace(uvn.settings, backbone_vpn=backbone))

    found = impacts(before, plan(moved, before))

    assert [each.moved for each in found] == [("c2",), ("c1",)]
    assert found[0].ports == Delta(added=("50000",), removed=("63550",))


def test_the_same_plan_means_nothing_for_anybody(define: Callable[..., Uvn]) -> None:
    made = plan(define(public=3, private=1), None)

    assert impacts(made, made) == ()


def test_without_a_plan_before_all_is_new(define: Callable[..., Uvn]) -> None:
    found = impacts(None, plan(define(public=2), None))

    assert [each.links for each in found] == [Delta(added=("c2",)), Delta(added=("c1",))]
