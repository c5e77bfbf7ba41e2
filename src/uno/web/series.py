"""Measurements of links over a day, in memory: one for each link and minute. Pure.

A status has no time of day. A measurement has the time at which it was received, on the viewer's
monotonic clock, in seconds. Rates are differences of counters; a counter that has fallen was reset,
and gives no rate.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from uno.model.status import CellView
from uno.web.documents import LinkSeries
from uno.web.picture import LinkRates, link_name

STEP = 60
"""Seconds of a slot."""

SLOTS = 24 * 60
"""Slots of a day."""

DAY = SLOTS * STEP
"""Seconds of a day."""

MAX_LINKS = 1000
"""The most links that are recorded; 22 kB for one that was measured each minute of a day."""

# Counters that are older give no rate.
_MAX_GAP = 900.0

# Slots that are older than a day are forgotten so many at once.
_FORGOTTEN_AT_ONCE = 60

FIELDS = ("rtt", "loss", "receive_rate", "send_rate")
"""What is measured of a link, in the order of `RecordedLink.values`."""

SIZES = (2, 1, 4, 4)
"""Octets of one value of each of these."""


# Fields that take less memory than a number with four bytes, of which an agent and the process of
# its page have some hundred thousand: the type of their numbers, and how many make one unit. The
# largest number of a type is for what is not known.
_SHORT = {"rtt": ("H", 20), "loss": ("B", 200)}
_MOST: dict[str, float] = {"H": 0xFFFF, "B": 0xFF}


class LinkSample(Struct, frozen=True, kw_only=True):
    """A measurement of a link at the end with the lower id: in ms, a share, and octets."""

    rtt: float | None
    loss: float | None
    received: int
    sent: int


def samples(cell: CellView) -> Iterator[tuple[str, LinkSample]]:
    """Yield what a cell has measured of the links whose lower end it is, by the link's name."""
    for link in cell.status.links if cell.status is not None and cell.alive else ():
        if cell.id < link.cell:
            yield (
                link_name((cell.id, link.cell)),
                LinkSample(rtt=link.rtt, loss=link.loss, received=link.received, sent=link.sent),
            )


class RecordedLink(Struct, frozen=True, kw_only=True):
    """What is recorded of a link, for another recorder on the same host.

    `slots` are minutes of the monotonic clock, as an array of numbers, negative ones from before
    the host has booted, and `values` the measurements of each, as arrays of floats. `counted_at` is
    when `counted` was measured, None if nothing was.
    """

    link: str
    slots: bytes
    values: tuple[bytes, ...]
    counted_at: float | None
    counted: LinkSample | None
    receive_rate: float | None
    send_rate: float | None


class _Column:
    """The values of one field, each of them a number or not known."""

    def __init__(self, field: str) -> None:
        kind, self._parts = _SHORT.get(field, ("f", 1))
        self._numbers: array[Any] = array(kind)
        self._unknown: float = _MOST.get(kind, math.nan)

    def __getitem__(self, index: int) -> float | None:
        number: float = self._numbers[index]
        return None if number == self._unknown or math.isnan(number) else number / self._parts

    def add(self) -> None:
        """Add one that is not known."""
        self._numbers.append(self._unknown)

    def set_last(self, value: float) -> None:
        """Have the last one be known."""
        if math.isnan(self._unknown):
            self._numbers[-1] = value
        else:
            number = round(value * self._parts)
            self._numbers[-1] = min(max(number, 0), self._unknown - 1)

    def forget(self, count: int) -> None:
        """Forget so many of the first."""
        del self._numbers[:count]

    def tobytes(self) -> bytes:
        """All of them, as they are in memory."""
        return self._numbers.tobytes()

    def frombytes(self, content: bytes) -> None:
        """Add those that `tobytes` returned. Raises `ValueError`."""
        self._numbers.frombytes(content)


class _Ring:
    """The slots of one link in which something was measured, the oldest first."""

    def __init__(self) -> None:
        self.slots = array("i")
        self.values = {name: _Column(name) for name in FIELDS}
        self.counted: tuple[float, LinkSample] | None = None
        self.rates = LinkRates()

    def note(self, sample: LinkSample, *, at: float) -> None:
        """Record a measurement that is newer than those before."""
        self.rates = _rates(self.counted, sample, at)
        self.counted = at, sample
        slot = int(at // STEP)
        if not self.slots or self.slots[-1] < slot:
            self.slots.append(slot)
            for values in self.values.values():
                values.add()
            self._forget(slot - SLOTS)
        found = (sample.rtt, sample.loss, self.rates.receive, self.rates.send)
        for values, value in zip(self.values.values(), found, strict=True):
            if value is not None:
                values.set_last(value)

    def _forget(self, last: int) -> None:
        """Forget the slots up to `last`, many at once."""
        count = bisect_right(self.slots, last)
        if count >= _FORGOTTEN_AT_ONCE:
            del self.slots[:count]
            for values in self.values.values():
                values.forget(count)


class SeriesRecorder:
    """The measurements of all links, by name."""

    def __init__(self) -> None:
        """Start without any."""
        self._rings: dict[str, _Ring] = {}

    def note(self, link: str, sample: LinkSample, *, at: float) -> None:
        """Record a measurement that was received at `at`. What is the same again is another one.

        One that is older than the last is not recorded, nor one that is the last.
        """
        if link not in self._rings and len(self._rings) >= MAX_LINKS:
            return
        ring = self._rings.setdefault(link, _Ring())
        if ring.counted is None or (at >= ring.counted[0] and ring.counted != (at, sample)):
            ring.note(sample, at=at)

    @property
    def links(self) -> tuple[str, ...]:
        """The names of all links that are recorded."""
        return tuple(self._rings)

    def recorded(self) -> Iterator[RecordedLink]:
        """Yield all that is recorded, for `restore`."""
        return map(self.recorded_of, self._rings)

    def recorded_of(self, link: str) -> RecordedLink:
        """Return what is recorded of a link, for `restore`: nothing of one that is not there."""
        ring = self._rings.get(link) or _Ring()
        counted_at, counted = ring.counted or (None, None)
        return RecordedLink(
            link=link,
            slots=ring.slots.tobytes(),
            values=tuple(values.tobytes() for values in ring.values.values()),
            counted_at=counted_at,
            counted=counted,
            receive_rate=ring.rates.receive,
            send_rate=ring.rates.send,
        )

    def restore(self, recorded: RecordedLink) -> None:
        """Have what another recorder on this host has recorded of a link."""
        ring = self._rings[recorded.link] = _Ring()
        ring.slots.frombytes(recorded.slots)
        for values, found in zip(ring.values.values(), recorded.values, strict=True):
            values.frombytes(found)
        if recorded.counted_at is not None and recorded.counted is not None:
            ring.counted = recorded.counted_at, recorded.counted
        ring.rates = LinkRates(receive=recorded.receive_rate, send=recorded.send_rate)

    def rates(self, *, at: float) -> dict[str, LinkRates]:
        """Return the last rates of each link, of those that are not too old."""
        return {
            link: ring.rates
            for link, ring in self._rings.items()
            if ring.counted is not None and at - ring.counted[0] <= _MAX_GAP
        }

    def series(self, link: str, *, span: int, at: float) -> LinkSeries:
        """Return the measurements of the last `span` seconds; empty if there never was one."""
        ring = self._rings.get(link)
        if ring is None:
            return LinkSeries(link=link, step=STEP, age=0.0)
        now = int(at // STEP)
        count = max(1, min(SLOTS, -(-span // STEP)))
        first = now - count + 1
        known: dict[str, list[float | None]] = {name: [None] * count for name in FIELDS}
        for i in range(bisect_left(ring.slots, first), bisect_right(ring.slots, now)):
            for name, values in ring.values.items():
                if (value := values[i]) is not None:
                    known[name][ring.slots[i] - first] = round(value, 4)
        return LinkSeries(
            link=link,
            step=STEP,
            age=round(at - now * STEP, 1),
            **{name: tuple(values) for name, values in known.items()},
        )

    def keep_only(self, cells: frozenset[int]) -> None:
        """Forget the links of all other cells."""
        for link in [*self._rings]:
            if not cells.issuperset(map(int, link.split("-"))):
                del self._rings[link]


def _rates(before: tuple[float, LinkSample] | None, now: LinkSample, at: float) -> LinkRates:
    if before is None or not 0 < at - before[0] <= _MAX_GAP:
        return LinkRates()
    then, sample = before
    received, sent = now.received - sample.received, now.sent - sample.sent
    if received < 0 or sent < 0:
        return LinkRates()
    seconds = at - then
    return LinkRates(receive=round(received / seconds, 1), send=round(sent / seconds, 1))
