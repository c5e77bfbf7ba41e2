"""A selection of keys is a value: it prints what it selects, and a plan gives the ids."""

from __future__ import annotations

import pytest

from packages import HOME, HUB, ROAM, UVN, key
from uno.diagnostics import Rejected
from uno.model.plan import Plan
from uno.planning.planner import plan, required_keys, with_keys
from uno.registry.changes.key_selection import (
    KeyGroup,
    LinkKeys,
    ParticleKeys,
    ParticleVpnKeys,
    RootVpnKeys,
    ids,
)


@pytest.fixture(scope="module")
def planned() -> Plan:
    draft = plan(UVN, None)
    return with_keys(draft, {name: key(f"public {name}") for name in required_keys(draft).pairs})


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (RootVpnKeys((HUB,)), {"root/1", "root/1/psk"}),
        (RootVpnKeys((99,)), set()),
        (ParticleVpnKeys((HUB,)), {"particles/1", "hub/1"}),
        (ParticleVpnKeys((HOME,)), set()),
        (ParticleKeys(2), {"particle/2"}),
        (ParticleKeys(2, (HUB, HOME)), {"particle/2/1"}),
        (ParticleKeys(99), set()),
    ],
)
def test_a_group_selects_the_keys_that_the_plan_has(
    planned: Plan, group: KeyGroup, expected: set[str]
) -> None:
    assert ids((group,), planned) == expected


def test_the_root_vpn_of_all_cells_includes_the_registry(planned: Plan) -> None:
    found = ids((RootVpnKeys(),), planned)

    assert "root/registry" in found
    assert {f"root/{cell}" for cell in (HUB, HOME, ROAM)} <= found


def test_links_are_selected_all_by_one_cell_or_by_both(planned: Plan) -> None:
    links = {link.name: link for link in planned.links}
    one = next(iter(links.values()))

    everything = ids((LinkKeys("none"),), planned)
    between = ids((LinkKeys("none", tuple(one.cells)),), planned)

    assert {id_.split("/")[1] for id_ in everything} == links.keys()
    assert {id_.split("/")[1] for id_ in between} == {one.name}
    assert between <= ids((LinkKeys("none", (one.a.cell,)),), planned)


def test_a_missing_link_is_a_problem_and_the_groups_of_a_selection_add_up(planned: Plan) -> None:
    with pytest.raises(Rejected, match="no such link; there are no keys to replace"):
        ids((RootVpnKeys(), LinkKeys("no such link", (HUB, 99))), planned)

    both = ids((ParticleKeys(1), ParticleKeys(2)), planned)
    assert both == {"particle/1", "particle/2"}
    assert ids((), planned) == frozenset()


def test_a_selection_can_be_read_when_printed() -> None:
    assert repr((RootVpnKeys((1,)), ParticleKeys(2))) == (
        "(RootVpnKeys(cells=(1,)), ParticleKeys(particle=2, cells=()))"
    )
