"""A client that receives what has changed has the view that the agent has."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from uno.model import codec
from uno.model.messages import Ack, Phase
from uno.model.status import CellStatus, CellView, LinkState, UvnView
from uno.statesync.view_updates import FollowedView, ViewUpdate, ViewUpdates

pytestmark = pytest.mark.feature("G57")

LANS = {cell: (IPv4Network(f"10.0.{cell}.0/24"),) for cell in (1, 2, 3, 4)} | {5: ()}


def derived(cell: int, lost: frozenset[IPv4Network]) -> tuple[IPv4Network, ...]:
    found = (lan for each, lans in sorted(LANS.items()) if each != cell for lan in lans)
    return tuple(lan for lan in found if lan not in lost)


@st.composite
def cell_views(draw: st.DrawFn, cell: int) -> CellView:
    lost = draw(st.frozensets(st.sampled_from(derived(cell, frozenset())), max_size=2))
    status = CellStatus(
        generation=draw(st.integers(1, 2)),
        links=(LinkState(interface="uwg-0", cell=2, handshake=draw(st.integers(0, 1))),),
        unreachable=tuple(sorted(lost)),
        # As a cell observes itself, it may be anything.
        reachable=draw(st.sampled_from([derived(cell, lost), derived(5, frozenset())[:1], ()])),
    )
    ages = st.none() | st.integers(0, 400).map(lambda quarters: quarters / 4)
    return CellView(
        id=cell,
        name=draw(st.sampled_from([f"cell-{cell}", "other"])),
        status=draw(st.just(status) | st.none()),
        ack=draw(st.none() | st.just(Ack(generation=1, phase=Phase.STAGED, running=1))),
        age=draw(ages),
        status_age=draw(ages),
        alive=draw(st.booleans()),
    )


views = st.sets(st.sampled_from(tuple(LANS)), max_size=5).flatmap(
    lambda cells: st.builds(
        UvnView,
        uvn=st.just("net"),
        viewer=st.integers(0, 1),
        generation=st.integers(1, 3),
        rollout=st.sampled_from(["", "staging"]),
        cells=st.tuples(*map(cell_views, sorted(cells))),
    )
)


def over_the_wire(update: ViewUpdate) -> ViewUpdate:
    return codec.decode(codec.encode(update), ViewUpdate)


@given(shown=st.lists(st.tuples(views, st.sampled_from([LANS, {}, {1: LANS[1]}])), max_size=6))
def test_a_client_follows_whatever_is_shown(
    shown: list[tuple[UvnView, dict[int, tuple[IPv4Network, ...]]]],
) -> None:
    updates, followed = ViewUpdates(), FollowedView()

    for view, lans in shown:
        # Twice: a line without a change changes nothing.
        for _ in range(2):
            assert followed.apply(over_the_wire(updates.next(view, lans))) == view


def test_what_has_not_changed_and_what_follows_from_lans_does_not_travel() -> None:
    status = CellStatus(generation=1, reachable=derived(1, frozenset()))
    cell = CellView(id=1, name="one", status=status, age=1.0, status_age=2.0)
    view = UvnView(uvn="net", viewer=1, generation=1, cells=(cell,))
    updates = ViewUpdates()

    first = updates.next(view, LANS)
    older = replace(view, cells=(replace(cell, age=3.0, status_age=4.0),))
    second = updates.next(older, LANS)

    assert [each.status for each in first.cells] == [replace(status, reachable=())]
    assert second.cells == ()
    assert second.lans is None
    assert [(each.age, each.status_age) for each in second.ages] == [(3.0, 4.0)]


def test_an_age_of_a_cell_that_never_came_is_refused() -> None:
    view = UvnView(uvn="net", viewer=1, generation=1, cells=(CellView(id=1, name="one"),))
    updates = ViewUpdates()
    updates.next(view, LANS)

    with pytest.raises(KeyError):
        FollowedView().apply(updates.next(view, LANS))
