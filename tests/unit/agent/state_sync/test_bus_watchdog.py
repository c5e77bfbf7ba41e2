"""When an agent that receives too little rejoins the bus."""

from __future__ import annotations

from uno.agent.state_sync.bus_watchdog import BusWatchdog


def rejoins(ages: dict[float, list[float | None]]) -> list[float]:
    watchdog = BusWatchdog()
    return [now for now, each in ages.items() if watchdog.is_due(each, now=now)]


def test_a_cell_that_receives_from_its_neighbours_stays() -> None:
    assert rejoins({float(now): [3.0, 29.0] for now in range(0, 600, 60)}) == []


def test_a_neighbour_that_never_had_an_agent_is_no_reason() -> None:
    assert rejoins({float(now): [None] for now in range(0, 600, 60)}) == []


def test_for_a_neighbour_that_fell_silent_a_cell_rejoins_ever_less_often() -> None:
    found = rejoins({float(now): [2.0, 200.0] for now in range(0, 7200, 60)})

    assert found[:4] == [0.0, 180.0, 480.0, 1080.0]
    assert found[4:] == [2280.0, 4680.0]


def test_a_neighbour_that_returns_and_falls_silent_again_is_a_new_reason() -> None:
    assert rejoins({0.0: [200.0], 60.0: [1.0], 120.0: [200.0]}) == [0.0, 120.0]
