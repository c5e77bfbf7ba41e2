"""What a cell has to reach again after a change."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from packages import HUB, package_of
from uno.agent.commit.reachability import (
    Reachability,
    describe,
    detection_time,
    have_answered,
    missing_after,
    observed,
)
from uno.model.plan import Timing
from uno.model.status import LinkState

CELLS = st.frozensets(st.integers(1, 6))
CONTACTS = st.builds(Reachability, registry=st.booleans(), neighbours=CELLS)


def test_neighbours_that_answered_a_probe_sent_after_the_change_are_reached() -> None:
    assert is_answered({1: 100.0, 2: 100.5}, 1, 2)
    assert is_answered({1: 100.0, 2: None, 3: 90.0}, 1)


def test_an_answer_to_a_probe_sent_before_the_change_shows_nothing() -> None:
    assert not is_answered({1: 100.5, 2: 99.9}, 1, 2)
    assert not is_answered({1: 100.5, 2: None}, 1, 2)


def test_a_neighbour_without_a_link_is_not_awaited_and_shows_nothing() -> None:
    assert is_answered({1: 100.5}, 1, 9)
    assert not is_answered({1: 100.5}, 9)
    assert not is_answered({1: 100.5})


def is_answered(answered: dict[int, float | None], *neighbours: int) -> bool:
    return have_answered(frozenset(neighbours), answered, since=100.0)


def test_a_link_without_a_handshake_reaches_nothing() -> None:
    links = [
        LinkState(interface="uwg-b0", cell=1, bgp="Established", bfd="up", handshake=5),
        LinkState(interface="uwg-b1", cell=2, bgp="Established", bfd="up"),
        LinkState(interface="uwg-b2", cell=3, bgp="Active", bfd="up", handshake=5),
    ]

    found = observed(links, registry=True)

    assert found == Reachability(registry=True, neighbours=frozenset({1}))


def test_a_lan_counts_if_the_cell_is_proved_to_forward_for_it() -> None:
    found = observed([], registry=False, lans=frozenset({IPv4Network("10.1.0.0/16")}))

    assert found == Reachability(lans=frozenset({IPv4Network("10.1.0.0/16")}))
    assert found
    assert describe(found, {}) == "forwarding for 10.1.0.0/16"


def test_a_broken_link_is_detected_after_the_bfd_multiplier_and_a_moment_for_frr() -> None:
    own = package_of(HUB)
    timing = Timing(hold=9, keepalive=3, connect=5, bfd_interval=250, bfd_multiplier=3, restart=120)
    roster = replace(own.roster, timing=timing)
    neighbor = own.plan.links[0].cell
    slow = replace(timing, bfd_interval=20_000)
    members = (replace(it, timing=slow if it.id == neighbor else None) for it in roster.members)
    metered = replace(roster, members=tuple(members))

    assert detection_time(own.plan, roster) == pytest.approx(1.05)
    assert detection_time(own.plan, metered) == pytest.approx(60.3)
    assert detection_time(replace(own.plan, links=()), roster) == pytest.approx(1.05)


def missing(
    before: Reachability, now: Reachability, *planned: int, elsewhere: bool = True
) -> Reachability:
    return missing_after(before, now, planned=planned, registry_elsewhere=elsewhere)


@given(before=CONTACTS, planned=CELLS, elsewhere=st.booleans())
def test_a_cell_that_reaches_what_it_did_before_misses_nothing_that_is_planned(
    *, before: Reachability, planned: frozenset[int], elsewhere: bool
) -> None:
    found = missing_after(before, before, planned=planned, registry_elsewhere=elsewhere)

    assert not found.registry
    assert not found or not before.neighbours & planned


@given(before=CONTACTS, now=CONTACTS, planned=CELLS)
def test_a_neighbour_that_is_missed_is_planned(
    before: Reachability, now: Reachability, planned: frozenset[int]
) -> None:
    found = missing_after(before, now, planned=planned, registry_elsewhere=True)

    assert found.neighbours <= planned - now.neighbours


def test_a_neighbour_that_is_planned_is_missed() -> None:
    before, now = (
        Reachability(neighbours=frozenset({1, 2})),
        Reachability(neighbours=frozenset({1})),
    )

    assert missing(before, now, 1, 2).neighbours == {2}


def test_a_neighbour_that_is_not_planned_any_more_is_not() -> None:
    before, now = (
        Reachability(neighbours=frozenset({1, 2})),
        Reachability(neighbours=frozenset({1})),
    )

    assert not missing(before, now, 1)


def test_new_neighbours_are_missed_where_the_old_ones_have_all_gone() -> None:
    before = Reachability(registry=True, neighbours=frozenset({1}))

    assert missing(before, Reachability(registry=True), 3).neighbours == {3}
    assert not missing(before, Reachability(registry=True, neighbours=frozenset({3})), 3)


def test_a_cell_that_is_to_have_no_neighbours_misses_none() -> None:
    before = Reachability(registry=True, neighbours=frozenset({1}))

    assert not missing(before, Reachability(registry=True))


def test_the_registry_is_missed_unless_it_is_the_registry_that_has_gone() -> None:
    before, now = Reachability(registry=True), Reachability(neighbours=frozenset({1}))

    assert missing(before, now, 1).registry
    assert not missing(before, now, 1, elsewhere=False).registry


def test_a_cell_that_reaches_nothing_misses_the_registry_in_any_case() -> None:
    before = Reachability(registry=True, neighbours=frozenset({1}))

    assert missing(before, Reachability(), 1, elsewhere=False).registry


def test_what_is_missing_is_described_by_name() -> None:
    found = describe(Reachability(registry=True, neighbours=frozenset({2, 9})), {2: "lan-b"})

    assert found == "the registry, lan-b, cell 9"
