"""Statistics of a stream of pings."""

from __future__ import annotations

from collections import deque

import pytest

from uno.lab.ping_matrix import flow, take_turns


def test_a_stream_that_is_always_answered_has_the_gap_between_two_pings() -> None:
    result = flow([0.0, 0.1, 0.2], {0, 1, 2})

    assert (result.sent, result.lost) == (3, 0)
    assert result.longest_gap == pytest.approx(0.1)


def test_a_gap_lasts_from_the_last_answered_ping_to_the_next() -> None:
    result = flow([0.0, 0.1, 0.2, 0.3, 0.4], {0, 1, 4})

    assert result.lost == 2
    assert result.longest_gap == pytest.approx(0.3)


def test_pings_never_answered_at_the_end_are_a_gap_too() -> None:
    assert flow([0.0, 0.1, 0.5], {0}).longest_gap == pytest.approx(0.5)


def test_a_stream_without_any_answer_is_one_gap() -> None:
    assert flow([1.0, 2.0, 3.0], set()).longest_gap == pytest.approx(2.0)


def test_nothing_sent_is_nothing_lost() -> None:
    assert flow([], set()).longest_gap == 0.0


def test_paths_take_turns_and_answered_ones_none() -> None:
    waiting = deque([1, 2, 3, 4, 5])

    assert take_turns(waiting, {2}, most=3) == [1, 3]
    assert take_turns(waiting, {2}, most=3) == [4, 5, 1]
    assert take_turns(waiting, {1, 2, 3, 4}, most=99) == [5]
    assert list(waiting) == [5]
