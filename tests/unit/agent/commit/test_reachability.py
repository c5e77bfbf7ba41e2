"""Who has to be heard again after a change."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from uno.agent.commit.reachability import Reachability, describe, lost, proven
from uno.model.plan import BackbonePeer, CellSet
from uno.ports.prober import ProbeResult, ProbeResults

CELLS = st.frozensets(st.integers(1, 6))
CONTACTS = st.builds(Reachability, registry=st.booleans(), neighbours=CELLS)


LINKS = tuple(
    BackbonePeer(
        cell=cell,
        interface=f"uwg-b{cell}",
        local4=IPv4Address("10.255.192.0"),
        local6=IPv6Address("fd00::"),
        remote4=IPv4Address(f"10.255.192.{cell}"),
        remote6=IPv6Address(f"fd00::{cell}"),
        public_key="",
        key="",
        psk="",
        import_origins=CellSet(),
    )
    for cell in (1, 2, 3)
)


def heard(**at: float | None) -> dict[IPv4Address, ProbeResult]:
    return {
        LINKS[int(cell[1]) - 1].remote4: ProbeResult(last_answered=when)
        for cell, when in at.items()
    }


def is_proven(measured: ProbeResults, *neighbours: int) -> bool:
    return proven(LINKS, measured, neighbours=frozenset(neighbours), since=100.0)


def test_neighbours_that_answered_what_was_sent_after_the_change_are_there() -> None:
    assert is_proven(heard(c1=100.0, c2=100.5), 1, 2)
    assert is_proven(heard(c1=100.0, c2=None, c3=90.0), 1)


def test_an_answer_to_what_was_sent_before_the_change_proves_nothing() -> None:
    assert not is_proven(heard(c1=100.5, c2=99.9), 1, 2)
    assert not is_proven(heard(c1=100.5, c2=None), 1, 2)
    assert not is_proven(heard(c1=100.5), 1, 2)


def test_a_neighbour_whose_link_is_gone_is_not_waited_for_but_proves_nothing_either() -> None:
    assert is_proven(heard(c1=100.5), 1, 9)
    assert not is_proven(heard(c1=100.5), 9)
    assert not is_proven(heard(c1=100.5))


def missing(
    before: Reachability, now: Reachability, *planned: int, elsewhere: bool = True
) -> Reachability:
    return lost(before, now, planned=planned, registry_elsewhere=elsewhere)


@given(before=CONTACTS, planned=CELLS, elsewhere=st.booleans())
def test_who_is_as_before_and_has_a_planned_neighbour_misses_nobody(
    *, before: Reachability, planned: frozenset[int], elsewhere: bool
) -> None:
    found = lost(before, before, planned=planned, registry_elsewhere=elsewhere)

    assert not found.registry
    assert not found or not before.neighbours & planned


@given(before=CONTACTS, now=CONTACTS, planned=CELLS)
def test_a_neighbour_that_is_missed_is_planned(
    before: Reachability, now: Reachability, planned: frozenset[int]
) -> None:
    found = lost(before, now, planned=planned, registry_elsewhere=True)

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


def test_who_hears_nobody_misses_the_registry_whatever_it_hears_of_it() -> None:
    before = Reachability(registry=True, neighbours=frozenset({1}))

    assert missing(before, Reachability(), 1, elsewhere=False).registry


def test_who_is_missing_is_said_by_name() -> None:
    found = describe(Reachability(registry=True, neighbours=frozenset({2, 9})), {2: "lan-b"})

    assert found == "the registry, lan-b, cell 9"
