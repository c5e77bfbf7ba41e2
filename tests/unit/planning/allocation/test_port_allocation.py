from __future__ import annotations

import pytest

from uno.diagnostics import Rejected
from uno.planning.allocation.port_allocation import Listener, Site, Slots

PRIVATE = Site(name="lan-p", host=None, base=63550)
PUBLIC = Site(name="lan-a", host="a.example.org", base=63550)
SHARING = Site(name="lan-b", host="a.example.org", base=63551)


def listener(port: int, what: str = "lan-a (root VPN)") -> Listener:
    return Listener(what=what, host="a.example.org", port=port, setting="root_vpn_port")


@pytest.mark.feature("F063")
def test_the_port_is_the_first_plus_the_slot() -> None:
    slots = Slots({1: PUBLIC}, ())

    assert [slots.take(1) for _ in range(3)] == [0, 1, 2]
    assert slots.port(1, 2) == 63552


def test_a_private_cell_has_slots_and_no_ports() -> None:
    slots = Slots({1: PRIVATE}, ())

    assert [slots.take(1), slots.take(1)] == [0, 1]
    assert slots.port(1, 1) is None


def test_a_slot_whose_port_is_taken_is_passed_over() -> None:
    slots = Slots({1: PUBLIC, 2: SHARING}, [listener(63551)])

    taken = [(cell, slots.take(cell)) for cell in (1, 2, 1, 2)]

    assert taken == [(1, 0), (2, 1), (1, 3), (2, 3)]
    assert [slots.port(*each) for each in taken] == [63550, 63552, 63553, 63554]


def test_a_slot_is_claimed_once() -> None:
    slots = Slots({1: PUBLIC, 2: SHARING}, ())

    assert slots.claim(1, 1)
    assert not slots.claim(1, 1)
    assert not slots.claim(2, 0), "its port is that of the slot above"
    assert [slots.take(1), slots.take(1)] == [0, 2]


def test_a_private_slot_is_claimed_once_too() -> None:
    slots = Slots({1: PRIVATE}, ())

    assert slots.claim(1, 0)
    assert not slots.claim(1, 0)


def test_spared_slots_are_taken_last_and_lowest_first() -> None:
    full = Site(name="lan-a", host="a.example.org", base=65533)
    slots = Slots({1: PRIVATE, 2: full}, ())
    for cell, slot in ((1, 1), (2, 1), (2, 0)):
        slots.spare(cell, slot)

    assert [slots.take(2) for _ in range(3)] == [2, 0, 1]
    assert slots.claim(1, 1), "the spared slot of the other cell is free"


def test_two_listeners_at_one_port_are_refused() -> None:
    with pytest.raises(Rejected) as caught:
        Slots({}, [listener(1), listener(1, "lan-b (root VPN)"), listener(2), listener(2, "lan-c")])

    assert [problem.what for problem in caught.value.problems] == [
        "lan-a (root VPN) and lan-b (root VPN) would both listen on UDP port 1 of a.example.org",
        "lan-a (root VPN) and lan-c would both listen on UDP port 2 of a.example.org",
    ]


@pytest.mark.feature("F063")
def test_a_cell_without_ports_left_is_refused() -> None:
    slots = Slots({1: Site(name="lan-a", host="a.example.org", base=65534)}, ())
    slots.take(1)
    slots.take(1)

    with pytest.raises(Rejected, match=r"lan-a has no UDP port left .* start at 65534"):
        slots.take(1)
