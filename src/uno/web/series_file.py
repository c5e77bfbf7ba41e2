"""Measurements of a day in a file, for the next run of the agent. Pure.

Slots are minutes of the host's monotonic clock, which begins anew when the host boots: there they
are moved by the time that has passed on the clock of the day.
"""

from __future__ import annotations

import zlib
from array import array
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from uno.web.series import DAY, MAX_LINKS, SIZES, SLOTS, STEP, RecordedLink

CLOCK_SET: Final = 1_750_000_000
"""A clock before this, in seconds since the epoch, was not set since the host was switched on."""

# More than `SeriesRecorder` keeps before it forgets.
_MOST_SLOTS: Final = SLOTS + 120
_LARGEST: Final = MAX_LINKS * _MOST_SLOTS * 24


class SeriesMoment(Struct, frozen=True, kw_only=True):
    """When something is: of which boot of the host, on its monotonic clock, and since the epoch."""

    boot: str
    monotonic: float
    wall: int


class KeptSeries(Struct, frozen=True, kw_only=True):
    """What was recorded of all links at a moment."""

    moment: SeriesMoment
    links: tuple[RecordedLink, ...]


def encoded(kept: KeptSeries) -> bytes:
    """Return the content of a file."""
    return zlib.compress(msgspec.msgpack.encode(kept), 1)


def decoded(content: bytes) -> KeptSeries | None:
    """Parse the content of a file; None where it is none, or was damaged."""
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(content, _LARGEST)
        kept = msgspec.msgpack.decode(plain, type=KeptSeries) if unpacking.eof else None
    except (zlib.error, msgspec.MsgspecError):
        return None
    return kept if kept is not None and all(map(_is_whole, kept.links)) else None


def moved(kept: KeptSeries, now: SeriesMoment) -> tuple[RecordedLink, ...]:
    """Return the links of `kept` as measured on the clock of `now`; none where that is not known.

    After another boot that is where either clock was not set, or more than a day has passed.
    """
    then = kept.moment
    if then.boot and then.boot == now.boot:
        return kept.links
    passed = now.wall - then.wall
    if min(then.wall, now.wall) < CLOCK_SET or not 0 <= passed <= DAY:
        return ()
    by = round((now.monotonic - passed - then.monotonic) / STEP)
    return tuple(_moved(each, by) for each in kept.links)


def _moved(recorded: RecordedLink, by: int) -> RecordedLink:
    slots = array("i", (each + by for each in _slots(recorded)))
    # Counters of interfaces begin anew with the host.
    return replace(recorded, slots=slots.tobytes(), counted_at=None, counted=None)


def _is_whole(recorded: RecordedLink) -> bool:
    slots, size = len(recorded.slots), array("i").itemsize
    return (
        slots % size == 0
        and slots // size <= _MOST_SLOTS
        and [len(each) for each in recorded.values] == [it * slots // size for it in SIZES]
        and _is_ascending(_slots(recorded))
    )


def _is_ascending(slots: array[int]) -> bool:
    return all(one < other for one, other in pairwise(slots))


def _slots(recorded: RecordedLink) -> array[int]:
    slots = array("i")
    slots.frombytes(recorded.slots)
    return slots
