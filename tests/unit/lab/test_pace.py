"""Deadlines of a lab grow with its size, and with what each processor has to do."""

from __future__ import annotations

from uno.lab.pace import pace


def test_deadlines_grow_with_the_cells_and_shrink_with_the_processors() -> None:
    small, large, faster = pace(5, 2), pace(50, 2), pace(50, 16)

    for name in ("command", "network", "agents"):
        assert getattr(small, name) < getattr(faster, name) < getattr(large, name)


def test_what_starts_at_once_is_bounded_by_the_processors_alone() -> None:
    assert pace(5, 2).at_once == pace(500, 2).at_once == 8
    assert pace(500, 16).at_once == 64


def test_a_machine_whose_processors_are_unknown_has_one() -> None:
    assert pace(5, 0) == pace(5, 1)
