"""Measurements of links over a day, in memory: a ring for each link, a slot for each minute. Pure.

A status has no time of day. A measurement has the time at which it was received, on the viewer's
monotonic clock, in seconds. Rates are differences of counters; a counter that has fallen was reset,
and gives no rate.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

from msgspec import Struct

from uno.model.status import CellView
from uno.web.documents import LinkSeries
from uno.web.picture import LinkRates, link_name

STEP = 60
"""Seconds of a slot."""

SLOTS = 24 * 60
"""Slots of a ring: a day."""

DAY = SLOTS * STEP
"""Seconds of a ring."""

MAX_LINKS = 1000
"""The most links that are recorded; 23 kB each."""

# Counters that are older give no rate.
_MAX_GAP = 900.0

_FIELDS = ("rtt", "loss", "receive_rate", "send_rate")


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


class _Ring:
    """The slots of one link; `newest` is the number of the last one, from the clock's zero."""

    def __init__(self) -> None:
        self.values = {name: array("f", [math.nan] * SLOTS) for name in _FIELDS}
        self.newest = -1
        self.counted: tuple[float, LinkSample] | None = None
        self.rates = LinkRates()

    def advance(self, slot: int) -> None:
        """Begin the slots up to `slot`, empty."""
        first = max(self.newest + 1, slot - SLOTS + 1)
        for number in range(first, slot + 1):
            for values in self.values.values():
                values[number % SLOTS] = math.nan
        self.newest = max(self.newest, slot)


class SeriesRecorder:
    """The measurements of all links, by name."""

    def __init__(self) -> None:
        """Start without any."""
        self._rings: dict[str, _Ring] = {}

    def note(self, link: str, sample: LinkSample, *, at: float) -> None:
        """Record a measurement that was received at `at`. What is the same again is another one."""
        if link not in self._rings and len(self._rings) >= MAX_LINKS:
            return
        ring, slot = self._rings.setdefault(link, _Ring()), int(at // STEP)
        if slot < ring.newest - SLOTS + 1:
            return
        ring.advance(slot)
        ring.rates = _rates(ring.counted, sample, at)
        if ring.counted is None or at > ring.counted[0]:
            ring.counted = at, sample
        found = (sample.rtt, sample.loss, ring.rates.receive, ring.rates.send)
        for name, value in zip(_FIELDS, found, strict=True):
            if value is not None:
                ring.values[name][slot % SLOTS] = value

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
        slots = range(now - count + 1, now + 1)
        known = {name: [_value(ring, name, slot) for slot in slots] for name in _FIELDS}
        return LinkSeries(
            link=link,
            step=STEP,
            age=round(at - now * STEP, 1),
            **{name: tuple(values) for name, values in known.items()},
        )

    def keep_only(self, links: frozenset[str]) -> None:
        """Forget links that are none any more."""
        for link in self._rings.keys() - links:
            del self._rings[link]


def _value(ring: _Ring, name: str, slot: int) -> float | None:
    if not ring.newest - SLOTS < slot <= ring.newest or slot < 0:
        return None
    value = ring.values[name][slot % SLOTS]
    return None if math.isnan(value) else round(value, 4)


def _rates(before: tuple[float, LinkSample] | None, now: LinkSample, at: float) -> LinkRates:
    if before is None or not 0 < at - before[0] <= _MAX_GAP:
        return LinkRates()
    then, sample = before
    received, sent = now.received - sample.received, now.sent - sample.sent
    if received < 0 or sent < 0:
        return LinkRates()
    seconds = at - then
    return LinkRates(receive=round(received / seconds, 1), send=round(sent / seconds, 1))
