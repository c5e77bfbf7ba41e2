from __future__ import annotations

import pytest

from uno.model.uvn import TimingProfile
from uno.planning.timing import timing


@pytest.mark.parametrize("profile", TimingProfile)
def test_a_dead_link_is_noticed_within_a_second(profile: TimingProfile) -> None:
    timers = timing(profile)

    assert timers.bfd_interval * timers.bfd_multiplier < 1000
    assert timers.hold == 3 * timers.keepalive


def test_fast_is_faster() -> None:
    default, fast = timing(TimingProfile.DEFAULT), timing(TimingProfile.FAST)

    assert (fast.hold, fast.bfd_interval) < (default.hold, default.bfd_interval)
