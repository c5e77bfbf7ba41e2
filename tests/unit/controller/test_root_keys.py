"""The keys of the root VPN, those that cells may still have among them; and when they are tried."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from uno.controller import root_keys
from uno.controller.root_key_fallback import Calling, Turns, call, take
from uno.model.key_ids import ROOT_REGISTRY, root_pair, root_psk
from uno.model.plan import Plan
from uno.registry.changes import membership, operations, rekey_requests
from uno.registry.changes.operations import Author
from uno.registry.changes.rekey_requests import Networks
from uno.registry.store.directory import Registry


def rekeyed(registry: Registry, by: Author, cell: str | None = None) -> tuple[Plan, Plan]:
    before = registry.store.head().plan
    networks = Networks(root=True)
    operations.change(
        registry,
        lambda it: (
            rekey_requests.rekey_cell(it, cell, networks)
            if cell
            else rekey_requests.rekey_uvn(it, networks)
        ),
        by=by,
        why="test",
    )
    return before, registry.store.head().plan


@pytest.mark.feature("F051")
def test_each_plan_has_the_keys_that_it_was_made_with(registry: Registry, by: Author) -> None:
    first = root_keys.read(registry.store).of(registry.store.head().plan)
    old, new = rekeyed(registry, by)
    keys = root_keys.read(registry.store)
    before, after = keys.of(old), keys.of(new)

    assert before == first
    assert before is not None
    assert after is not None
    assert before.keys() == {ROOT_REGISTRY, root_psk(1), root_psk(2), root_psk(3)} == after.keys()
    assert all(before[name] != after[name] for name in before)
    assert keys.has_earlier
    assert root_keys.differs(old, new)


def test_keys_that_no_plan_has_any_more_are_deleted(registry: Registry, by: Author) -> None:
    old, _ = rekeyed(registry, by, "c1")
    _, new = rekeyed(registry, by)

    root_keys.prune(registry.store, (new,))

    keys = root_keys.read(registry.store)
    assert not keys.has_earlier
    assert keys.of(old) is None
    assert keys.of(new) is not None
    root_keys.prune(registry.store, (new,))


def test_who_left_is_no_peer_and_who_came_is_one(registry: Registry, by: Author) -> None:
    old = registry.store.head().plan
    operations.change(
        registry, lambda it: membership.exclude_cell(it, "c3", excluded=True), by=by, why="test"
    )
    new = registry.store.head().plan

    assert {cell.member.id for cell in root_keys.merged(old, new).cells} == {1, 2}
    back = root_keys.merged(new, old)
    assert {cell.member.id for cell in back.cells} == {1, 2, 3}
    assert back.public_keys[root_pair(3)] == old.public_keys[root_pair(3)]


def test_plans_differ_where_a_cell_of_both_is_reached_otherwise(
    registry: Registry, by: Author
) -> None:
    plan = registry.store.head().plan
    fewer = replace(plan, cells=plan.cells[:2])
    _, new = rekeyed(registry, by, "c1")

    assert not root_keys.differs(plan, fewer)
    assert root_keys.differs(plan, new)
    assert root_keys.differs(plan, replace(plan, bus=replace(plan.bus, domain=7)))


TURNS = Turns(after=20, length=15, longest=60, period=60, seldom=300, often=2)
START = Calling(base=5, since=100.0)


def later(
    calling: Calling,
    now: float,
    *,
    unheard: tuple[int, ...] = (3,),
    answering: bool = False,
    earlier: tuple[int, ...] = (4, 2),
) -> Calling:
    return call(
        calling, earlier=earlier, unheard=unheard, answering=answering, now=now, turns=TURNS
    )


def test_who_is_not_heard_is_called_with_earlier_keys_in_turns() -> None:
    waiting = later(START, 119.0)
    first = later(waiting, 120.0)
    pause = later(first, 135.0)
    second = later(pause, 195.0)

    assert waiting.turn is None
    assert first == Calling(base=5, turn=4, since=120.0, count=1)
    assert pause == Calling(base=5, turn=None, since=135.0, count=1)
    assert second.turn == 2


def test_a_turn_lasts_while_somebody_answers_but_not_for_ever() -> None:
    turn = Calling(base=5, turn=4, since=0.0, count=1)

    assert later(turn, 30.0, answering=True).turn == 4
    assert later(turn, 60.0, answering=True).turn is None
    assert later(turn, 1.0, earlier=()).turn is None


def test_turns_become_rare_and_begin_anew_when_all_are_heard() -> None:
    often = Calling(base=5, since=0.0, count=2)

    assert later(often, 299.0).turn is None
    assert later(often, 300.0).turn == 4
    assert later(often, 1.0, unheard=()) == Calling(base=5, since=1.0)
    assert later(START, 1000.0, earlier=()) == START


def test_new_keys_are_taken_once_others_were_told() -> None:
    told = take(START, 6, now=110.0)

    assert told.generation == 5
    assert take(told, 6, now=110.9).generation == 5
    assert take(told, 6, now=111.0) == Calling(base=6, since=110.0)
    # It was given up before.
    assert take(told, 5, now=110.5).next_at is None


def test_a_turn_gives_way_to_new_keys_that_others_are_told_of() -> None:
    """Who was called with other keys hears nothing; who was not needs time to hear again."""
    turn = later(START, 120.0)
    told = take(turn, 6, now=125.0)

    assert turn.generation == 4
    assert told.generation == 5
    assert take(told, 6, now=134.9).generation == 5
    assert take(told, 6, now=135.0).generation == 6
    # However long nobody was heard.
    waiting = take(START, 6, now=500.0)
    assert later(waiting, 500.5) == waiting
