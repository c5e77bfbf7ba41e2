from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model.plan import slower
from uno.model.uvn import CellSettings, TimingProfile, Uvn
from uno.planning.cell_plans import roster
from uno.planning.planner import plan
from uno.planning.timing import timing


def profiled(uvn: Uvn, number: int, profile: TimingProfile) -> Uvn:
    settings = CellSettings(timing_profile=profile)
    cells = (replace(it, settings=settings) if it.id == number else it for it in uvn.cells)
    return replace(uvn, cells=tuple(cells))


@pytest.mark.parametrize(
    ("profile", "milliseconds"),
    [
        (TimingProfile.DEFAULT, 1000),
        (TimingProfile.FAST, 1000),
        (TimingProfile.METERED, 60_001),
    ],
)
def test_a_dead_link_is_noticed_within_a_second_or_if_metered_a_minute(
    profile: TimingProfile, milliseconds: int
) -> None:
    timers = timing(profile)

    assert timers.detection == timers.bfd_interval * timers.bfd_multiplier < milliseconds
    assert timers.hold == 3 * timers.keepalive


def test_fast_is_faster() -> None:
    default, fast = timing(TimingProfile.DEFAULT), timing(TimingProfile.FAST)

    assert (fast.hold, fast.bfd_interval) < (default.hold, default.bfd_interval)


@pytest.mark.parametrize("one", TimingProfile)
@pytest.mark.parametrize("other", TimingProfile)
def test_of_two_profiles_the_slower_is_used(one: TimingProfile, other: TimingProfile) -> None:
    order = [TimingProfile.FAST, TimingProfile.DEFAULT, TimingProfile.METERED]

    assert slower(timing(one), timing(other)) == timing(max(one, other, key=order.index))


def test_links_of_a_metered_cell_are_metered_at_both_ends(define: Callable[..., Uvn]) -> None:
    made = roster(plan(profiled(define(public=3), 3, TimingProfile.METERED), None))

    assert [each.timing for each in made.members] == [None, None, timing(TimingProfile.METERED)]
    assert made.link_timing(1, 2) == made.timing == timing(TimingProfile.DEFAULT)
    assert made.link_timing(1, 3) == made.link_timing(3, 1) == timing(TimingProfile.METERED)


def test_a_cell_with_the_profile_of_the_uvn_has_no_timers_of_its_own(
    define: Callable[..., Uvn],
) -> None:
    uvn = define(public=2)

    assert plan(profiled(uvn, 1, TimingProfile.DEFAULT), None) == plan(uvn, None)
