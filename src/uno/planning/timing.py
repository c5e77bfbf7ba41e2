"""How fast the network notices a change: the numbers behind each timing profile."""

from __future__ import annotations

from uno.model.plan import Timing
from uno.model.uvn import TimingProfile

# BFD declares a link dead after interval × multiplier: 750 ms by default, 300 ms if fast. Less than
# that and a busy host or a lossy line looks like a dead one. BGP's own hold timer is only the net
# below it, at three keepalives as RFC 4271 section 4.4 suggests. `restart` is how long neighbours
# keep the routes of a routing daemon that is being restarted (RFC 4724).
_PROFILES = {
    TimingProfile.DEFAULT: Timing(
        hold=9, keepalive=3, connect=1, bfd_interval=250, bfd_multiplier=3, restart=120
    ),
    TimingProfile.FAST: Timing(
        hold=3, keepalive=1, connect=1, bfd_interval=100, bfd_multiplier=3, restart=120
    ),
}


def timing(profile: TimingProfile) -> Timing:
    """Return the timers of `profile`."""
    return _PROFILES[profile]
