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
    assert queue.take_all(now=10.0) == (1,)
    assert queue.due(members=members, changing=False) is None

    queue.put(1, now=10.0)
    queue.put(2, now=10.5)

    assert queue.due(members=members, changing=False) == pytest.approx(10.0 + pause)
    assert queue.due(members=members, changing=True) == pytest.approx(10.0 + hold)
    assert queue.take((2, 3)) == (2,)
    assert queue.take_all(now=20.0) == (1,)

    queue.put(1, now=50.0)
    assert queue.due(members=members, changing=False) == 50.0
