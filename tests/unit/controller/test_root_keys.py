"""The stored keys of the root VPN, those that cells may still have among them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from uno.controller import root_keys, root_vpn
from uno.model.key_ids import ROOT_REGISTRY, root_pair, root_psk
from uno.model.plan import Plan
from uno.registry.changes import key_rotation, membership, operations
from uno.registry.changes.key_rotation import Networks
from uno.registry.changes.operations import Author
from uno.registry.store.directory import Registry


def rekeyed(registry: Registry, by: Author, cell: str | None = None) -> tuple[Plan, Plan]:
    before = registry.store.head().plan
    networks = Networks(root=True)
    operations.change(
        registry,
        lambda it: (
            key_rotation.rekey_cell(it, cell, networks)
            if cell
            else key_rotation.rekey_uvn(it, networks)
        ),
        by=by,
        why="test",
    )
    return before, registry.store.head().plan


@pytest.mark.feature("F051")
def test_each_plan_gets_its_own_epoch_of_keys(registry: Registry, by: Author) -> None:
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
    assert root_vpn.differs(old, new)


def test_keys_that_no_plan_has_any_more_are_deleted(registry: Registry, by: Author) -> None:
    old, _ = rekeyed(registry, by, "c1")
    _, new = rekeyed(registry, by)

    root_keys.prune(registry.store, (new,))

    keys = root_keys.read(registry.store)
    assert not keys.has_earlier
    assert keys.of(old) is None
    assert keys.of(new) is not None
    root_keys.prune(registry.store, (new,))


def test_a_cell_that_left_is_no_peer_and_an_added_one_is(registry: Registry, by: Author) -> None:
    old = registry.store.head().plan
    operations.change(
        registry, lambda it: membership.exclude_cell(it, "c3", excluded=True), by=by, why="test"
    )
    new = registry.store.head().plan

    assert {cell.member.id for cell in root_vpn.with_members_of(old, new).cells} == {1, 2}
    back = root_vpn.with_members_of(new, old)
    assert {cell.member.id for cell in back.cells} == {1, 2, 3}
    assert back.public_keys[root_pair(3)] == old.public_keys[root_pair(3)]


def test_plans_differ_if_keys_or_addresses_of_a_common_cell_do(
    registry: Registry, by: Author
) -> None:
    plan = registry.store.head().plan
    fewer = replace(plan, cells=plan.cells[:2])
    _, new = rekeyed(registry, by, "c1")

    assert not root_vpn.differs(plan, fewer)
    assert root_vpn.differs(plan, new)
    assert root_vpn.differs(plan, replace(plan, bus=replace(plan.bus, domain=7)))
