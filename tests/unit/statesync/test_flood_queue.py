"""When queued statuses are flooded."""

from __future__ import annotations

import pytest

from uno.statesync.flood_queue import FloodQueue


@pytest.mark.parametrize(
    ("members", "pause", "hold"), [(2, 0.02, 0.16), (50, 0.5, 4.0), (1000, 1.0, 5.0)]
)
def test_the_delay_grows_with_the_members_up_to_a_limit(
    members: int, pause: float, hold: float
) -> None:
    queue = FloodQueue()
    queue.put(1, now=10.0)
    assert queue.due(members=members, changing=False) == 10.0
    assert queue.take_due(members=members, changing=False, now=10.0) == (1,)
    assert queue.due(members=members, changing=False) is None

    queue.put(1, now=10.0)
    queue.put(2, now=10.5)

    assert queue.due(members=members, changing=False) == pytest.approx(10.0 + pause)
    assert queue.due(members=members, changing=True) == pytest.approx(10.0 + hold)
    assert queue.take((2, 3)) == (2,)
    assert queue.take_due(members=members, changing=False, now=20.0) == (1,)

    queue.put(1, now=50.0)
    assert queue.due(members=members, changing=False) == 50.0


@pytest.mark.parametrize("changing", [False, True])
def test_a_lost_neighbour_waits_for_neither_pacing_nor_a_change(*, changing: bool) -> None:
    queue = FloodQueue()
    queue.put(1, now=10.0, is_urgent=True)
    assert queue.take_due(members=64, changing=changing, now=10.0) == (1,)

    queue.put(2, now=10.0)
    queue.put(3, now=10.02)
    queue.put(3, now=10.03, is_urgent=True)
    # A later status of the same cell, which has lost nothing more.
    queue.put(3, now=10.04)

    assert queue.due(members=64, changing=changing) == pytest.approx(10.1)
    assert queue.take_due(members=64, changing=changing, now=10.05) == ()
    assert queue.take_due(members=64, changing=changing, now=10.1) == (3,)
    assert queue.take_due(members=64, changing=changing, now=20.0) == (2,)
    assert not queue
