"""The activation of a rollout, and the one that undoes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs
from msgspec.structs import replace

from uno.controller.activation import BATCH_INTERVAL, activation, undo
from uno.controller.release_record import Release, ReleasedPackage
from uno.controller.rollout import CellObservation, Rollout
from uno.model.key_ids import link_pair
from uno.model.messages import Ack, Activation, Phase
from uno.model.plan import Plan
from uno.model.status import CellStatus, LinkState
from uno.model.trust import Revocation, TrustUpdate
from uno.model.uvn import Uvn
from uno.planning import planner

CELLS = {cell: ReleasedPackage(name=f"c{cell}", generation=2, content="") for cell in (1, 2, 3, 4)}
FIRST = Rollout(
    release=Release(generation=2, cells=CELLS),
    receiving_since=0,
    started_at=0,
    newest_generation=2,
    activated={1: 2, 2: 2, 3: 2},
)
OLD = CellObservation(alive=True, status=CellStatus(generation=1), status_sequence=1)
CONFIRMED = replace(OLD, ack=Ack(generation=2, phase=Phase.CONFIRMED, running=2), ack_sequence=2)


@pytest.fixture
def plans(definition: Callable[..., Uvn]) -> dict[int, Plan]:
    """The plan of generation 1, and that of generation 2 with new keys on all links."""
    plan = planner.plan(definition(4), None)
    pairs = planner.required_keys(plan).pairs
    old = planner.with_keys(plan, {key: f"old {key}" for key in pairs})
    keys = {link_pair(link.name, cell): "new" for link in old.links for cell in link.cells}
    return {1: old, 2: structs.replace(old, public_keys={**old.public_keys, **keys})}


def made(
    rollout: Rollout,
    observed: dict[int, CellObservation],
    plans: dict[int, Plan],
    running: dict[int, int],
    trust: TrustUpdate | None = None,
) -> Activation:
    return activation(
        rollout,
        observed,
        plans=plans,
        running=running,
        confirm_timeout=17,
        trust=trust or TrustUpdate(),
    )


def in_batches(activated: Activation) -> set[str]:
    return {name for batch in activated.batches for name in batch}


def test_an_activation_names_cells_and_times(plans: dict[int, Plan]) -> None:
    found = made(FIRST, dict.fromkeys(CELLS, OLD), plans, dict.fromkeys(CELLS, 1))

    assert found.generation == 2
    assert found.cells == {1: 2, 2: 2, 3: 2}
    assert found.confirm_timeout == 17
    assert found.period == BATCH_INTERVAL
    assert not found.undo


def test_links_to_cells_that_are_left_behind_hold_their_keys(plans: dict[int, Plan]) -> None:
    names = {link.name for link in plans[1].links}
    to_last = {link.name for link in plans[1].links if 4 in link.cells}

    found = made(FIRST, dict.fromkeys((1, 2, 3), OLD), plans, dict.fromkeys(CELLS, 1))

    assert 0 < len(to_last) < len(names)
    assert set(found.hold) == to_last
    assert in_batches(found) == names - to_last


def test_held_links_change_once_their_other_end_is_activated(plans: dict[int, Plan]) -> None:
    to_last = {link.name for link in plans[1].links if 4 in link.cells}
    late = replace(FIRST, activated={**FIRST.activated, 4: 2})
    observed = {1: CONFIRMED, 2: CONFIRMED, 3: CONFIRMED, 4: OLD}

    found = made(late, observed, plans, {1: 2, 2: 2, 3: 2, 4: 1})

    assert found.hold == ()
    assert in_batches(found) == to_last


def test_a_cell_that_has_confirmed_is_not_left_behind(plans: dict[int, Plan]) -> None:
    observed = {1: OLD, 2: OLD, 3: OLD, 4: CONFIRMED}

    # Whatever generation is recorded for it.
    for recorded in (1, 2):
        assert made(FIRST, observed, plans, {1: 1, 2: 1, 3: 1, 4: recorded}).hold == ()


def test_nothing_is_rekeyed_for_cells_with_an_unknown_generation(plans: dict[int, Plan]) -> None:
    found = made(FIRST, {}, plans, {1: 9})

    assert found.batches == ()
    assert found.hold == ()


@pytest.mark.parametrize("bfd", ["up", "down"])
def test_a_link_that_is_down_is_in_the_first_batch(plans: dict[int, Plan], bfd: str) -> None:
    everyone = replace(FIRST, activated=dict.fromkeys(CELLS, 2))
    plain = made(everyone, dict.fromkeys(CELLS, OLD), plans, dict.fromkeys(CELLS, 1))
    name = plain.batches[-1][-1]
    one, other = (int(it) for it in name.split("-"))
    link = LinkState(interface="uwg-b0", cell=other, bgp="Established", bfd=bfd)
    reporting = replace(OLD, status=CellStatus(generation=1, links=(link,)))
    observed = {**dict.fromkeys(CELLS, OLD), one: reporting}

    found = made(everyone, observed, plans, dict.fromkeys(CELLS, 1))

    assert len(plain.batches) > 1
    assert (name in found.batches[0]) == (bfd == "down")


def test_all_activated_cells_roll_back() -> None:
    assert undo(FIRST) == Activation(generation=2, cells={1: 2, 2: 2, 3: 2}, undo=True)
    assert undo(replace(FIRST, activated={})) is None


@pytest.mark.feature("G54")
def test_links_to_a_cell_that_is_left_behind_do_not_hold_keys_that_are_revoked(
    plans: dict[int, Plan],
) -> None:
    observed, running = dict.fromkeys(CELLS, OLD), dict.fromkeys(CELLS, 1)
    stolen = TrustUpdate(cells=(Revocation(id=4, before=2),))

    assert made(FIRST, observed, plans, running).hold
    assert made(FIRST, observed, plans, running, stolen).hold == ()
