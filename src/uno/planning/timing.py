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

    If metered, a link costs as little as lets a failure be detected in a minute. A BFD packet in
    less than 25 s also keeps NAT mappings, so that WireGuard sends no keepalives of its own.
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
        case TimingProfile.METERED:
            return Timing(
                hold=180,
                keepalive=60,
                connect=10,
                bfd_interval=20_000,
                bfd_multiplier=3,
                restart=15,
                metered=True,
            )
        case _:
            assert_never(profile)
