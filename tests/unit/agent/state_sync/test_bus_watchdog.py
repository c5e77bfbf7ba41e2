"""When an agent that hears too little joins the bus anew."""

from __future__ import annotations

from uno.agent.state_sync.bus_watchdog import BusWatchdog


def joins(ages: dict[float, list[float | None]]) -> list[float]:
    deafness = BusWatchdog()
    return [now for now, each in ages.items() if deafness.is_due(each, now=now)]


def test_who_hears_its_neighbours_stays() -> None:
    assert joins({float(now): [3.0, 29.0] for now in range(0, 600, 60)}) == []


def test_a_neighbour_that_never_had_an_agent_is_not_missed() -> None:
    assert joins({float(now): [None] for now in range(0, 600, 60)}) == []


def test_a_neighbour_that_fell_silent_is_a_reason_and_ever_more_seldom() -> None:
    found = joins({float(now): [2.0, 200.0] for now in range(0, 7200, 60)})

    assert found[:4] == [0.0, 180.0, 480.0, 1080.0]
    assert found[4:] == [2280.0, 4680.0]


def test_a_neighbour_that_is_heard_again_and_falls_silent_again_is_a_new_reason() -> None:
    assert joins({0.0: [200.0], 60.0: [1.0], 120.0: [200.0]}) == [0.0, 120.0]
