"""The BGP and BFD timers of each timing profile."""

from __future__ import annotations

from typing import assert_never

from uno.model.plan import Timing
from uno.model.uvn import TimingProfile


def timing(profile: TimingProfile) -> Timing:
    """Return the timers of `profile`.

    BFD declares a session down after interval × multiplier (RFC 5880 section 6.8.4): 750 ms by
    default, 300 ms if fast. With less, a busy host or a lossy line looks like a dead one. BGP's
    hold time, three keepalives (RFC 4271 section 4.4), only backs it up. `restart` is how long
    neighbours keep the routes of a routing daemon that restarts (RFC 4724): several times what a
    restart by FRR's watchdog takes, and not more, since neighbours without an agent send to a cell
    for so long that died just after its routing daemon.
    """
    match profile:
        case TimingProfile.DEFAULT:
            return Timing(
                hold=9, keepalive=3, connect=1, bfd_interval=250, bfd_multiplier=3, restart=15
            )
        case TimingProfile.FAST:
            return Timing(
                hold=3, keepalive=1, connect=1, bfd_interval=100, bfd_multiplier=3, restart=15
            )
        case _:
            assert_never(profile)
