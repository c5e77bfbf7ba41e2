"""When to probe which target, and the results. Pure: time is an argument.

A target that answers is probed at its interval, which is long while nobody watches, and again at
once after a lost probe or when the network has changed. After three lost in a row it is
unreachable, and probed with exponential back-off up to the short interval.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from random import Random
from statistics import median

from msgspec import Struct, field
from msgspec.structs import replace

from uno.ports.prober import ProbeResult, ProbeTarget


class ProbePace(Struct, frozen=True, kw_only=True):
    """Seconds between two probes of an adjacent and of a distant target, and of full size.

    All distant targets share `distant_per_second`, however many they are.
    """

    adjacent: float
    distant: float
    distant_per_second: float
    full_size: float


WATCHED = ProbePace(adjacent=2.0, distant=10.0, distant_per_second=5.0, full_size=60.0)
AT_REST = ProbePace(adjacent=30.0, distant=60.0, distant_per_second=0.1, full_size=600.0)
METERED = ProbePace(adjacent=300.0, distant=1800.0, distant_per_second=0.1, full_size=7200.0)
"""The pace of metered targets at rest; while someone watches, theirs is `AT_REST`."""

REPLY_TIMEOUT = 2.0
"""Seconds to wait for a reply. A busy uplink with a large buffer delays one for a second."""

WINDOW = 10
UNREACHABLE_AFTER = 3
"""So many probes lost in a row make a target unreachable."""

SMALL = 64
"""Octets of an ordinary probe, with the IP header."""

SMALLEST = 576
"""Octets that every path carries (RFC 791, section 3.1): the MTU search goes no lower."""

_MTU_SOON = 1.0
_MTU_STEP = 8
_MTU_TRIES = 3


class Probe(Struct, frozen=True):
    """An echo request to send: its target, number, and size in octets with the IP header."""

    target: ProbeTarget
    number: int
    size: int = SMALL


class _Search(Struct):
    """The search for the path MTU: a packet of `low` octets was answered, one of `high` was not."""

    size: int
    low: int
    high: int
    tries: int = 0

    def take(self, *, passed: bool) -> bool:
        """Take the result of a probe of `size`; return whether the search has ended."""
        self.tries = 0 if passed else self.tries + 1
        if not passed and self.tries < _MTU_TRIES:
            return False
        self.tries = 0
        if passed:
            self.low = self.size
        else:
            self.high = self.size
        self.size = SMALLEST if self.low == 0 else (self.low + self.high) // 2
        return self.high - self.low <= _MTU_STEP or self.high <= SMALLEST


class _Track(Struct):
    """A target, and the results of its probes."""

    target: ProbeTarget
    due: float
    sent_at: float = -math.inf
    results: deque[float | None] = field(default_factory=lambda: deque(maxlen=WINDOW))
    last_answered: float | None = None
    unanswered: int = 0
    misses: int = UNREACHABLE_AFTER
    mtu: int | None = None
    mtu_due: float = math.inf
    search: _Search | None = None

    @property
    def answers(self) -> bool:
        return self.misses < UNREACHABLE_AFTER


class ProbeSchedule:
    """The targets, their pending probes, and the results."""

    def __init__(self, *, random: Random, changed: Callable[[], None]) -> None:
        """Spread probes by `random`; call `changed` as documented in `IcmpProber`."""
        self._random = random
        self._changed = changed
        self._watched = True
        self._tracks: dict[IPv4Address, _Track] = {}
        self._distant = 0
        self._waiting: dict[int, tuple[float, Probe]] = {}
        self._number = 0
        self._probed_now: set[IPv4Address] = set()
        self._probed_now_at = 0.0

    def set_targets(self, targets: Iterable[ProbeTarget], *, now: float) -> None:
        """Probe these targets and no others."""
        wanted = {target.address: target for target in targets}
        spread = min(1.0, len(wanted) * 0.02)
        tracks = {}
        for address, target in wanted.items():
            before = self._tracks.get(address)
            if before is None or before.target != target:
                due = now + self._random.uniform(0, spread)
                tracks[address] = _Track(target=target, due=due)
            else:
                tracks[address] = before
        self._tracks = tracks
        self._distant = sum(not each.adjacent for each in wanted.values())
        self._probed_now &= tracks.keys()

    def set_watched(self, *, watched: bool, now: float) -> None:
        """Probe often, since someone watches the results, or seldom."""
        if watched == self._watched:
            return
        self._watched = watched
        if watched:
            self._hurry(now)
            for track in self._tracks.values():
                if track.mtu_due < math.inf:
                    track.mtu_due = min(track.mtu_due, now + self._full_size_gap(track))

    def reset_backoff(self, *, now: float) -> None:
        """Probe unreachable targets at once, others soon, and restart the back-off."""
        for track in self._tracks.values():
            if track.misses:
                track.unanswered = 0
                track.due = min(track.due, now + self._random.uniform(0, 0.1))
        self._hurry(now)

    def probe_now(self, addresses: Iterable[IPv4Address], *, now: float) -> None:
        """Probe these at once; replies to earlier probes do not count."""
        self._probed_now, self._probed_now_at = self._tracks.keys() & set(addresses), now
        for address in self._probed_now:
            self._tracks[address].due = now

    def restart(self, addresses: Iterable[IPv4Address], *, now: float) -> None:
        """Forget the losses of targets, and the probes on the way to them; probe them at once."""
        for track in (self._tracks[each] for each in addresses if each in self._tracks):
            self._reset(track)
            if track.answers:
                track.misses = 0
            track.unanswered, track.due = 0, now

    def due(self, *, now: float) -> tuple[Probe, ...]:
        """Count overdue probes as lost, and return those to send now."""
        for number in [n for n, (sent, _) in self._waiting.items() if now >= sent + REPLY_TIMEOUT]:
            self.lost(number, now=now)
        return tuple(
            self._probe(track, size, now=now)
            for track in self._tracks.values()
            for size in self._sizes(track, now=now)
        )

    def answered(self, number: int, address: IPv4Address, *, now: float) -> None:
        """Take a reply from `address`."""
        sent, probe = self._waiting.get(number, (0.0, None))
        if probe is None or probe.target.address != address:
            return
        del self._waiting[number]
        track = self._of(probe)
        if track is None:
            return
        track.last_answered = (
            sent if track.last_answered is None else max(track.last_answered, sent)
        )
        if probe.size != SMALL:
            self._take_size_result(track, now=now, passed=True)
            return
        is_back = not track.answers
        if is_back:
            self._reset(track)
            track.mtu_due = now + _MTU_SOON if track.target.mtu else math.inf
        track.results.append((now - sent) * 1000)
        track.misses = track.unanswered = 0
        was_requested = address in self._probed_now and sent >= self._probed_now_at
        if was_requested:
            self._probed_now.remove(address)
        if is_back:
            track.due = now + self._interval(track, self._pace(track))
        if is_back or (was_requested and not self._probed_now):
            self._changed()

    def lost(self, number: int, *, now: float) -> None:
        """Count a probe as lost."""
        _, probe = self._waiting.pop(number, (0.0, None))
        track = self._of(probe) if probe else None
        if probe is None or track is None:
            return
        if probe.size != SMALL:
            self._take_size_result(track, now=now, passed=False)
            return
        answered_before = track.answers
        track.misses += 1
        track.results.append(None)
        if track.answers:
            track.due = now
        elif answered_before:
            track.search = None
            self._changed()

    def results(self) -> dict[IPv4Address, ProbeResult]:
        """Return the result of each target."""
        return {address: _result(track) for address, track in self._tracks.items()}

    def pause(self, *, now: float) -> float:
        """Return the seconds until `due` is to be called again."""
        times = [track.due for track in self._tracks.values()]
        times += [track.mtu_due for track in self._tracks.values() if track.answers]
        times += [sent + REPLY_TIMEOUT for sent, _ in self._waiting.values()]
        return max(0.0, min(times, default=math.inf) - now)

    def _reset(self, track: _Track) -> None:
        """Drop the lost and pending probes of a target that answers again."""
        track.results.clear()
        self._waiting = {
            number: (sent, probe)
            for number, (sent, probe) in self._waiting.items()
            if probe.target != track.target
        }

    def _sizes(self, track: _Track, *, now: float) -> Iterable[int]:
        if now >= track.due:
            track.unanswered += 1
            track.sent_at = now
            track.due = now + self._gap(track)
            yield SMALL
        if now >= track.mtu_due and track.answers and track.target.mtu:
            track.mtu_due = math.inf
            track.search = track.search or _Search(
                size=track.target.mtu, low=0, high=track.target.mtu + 1
            )
            yield track.search.size

    def _probe(self, track: _Track, size: int, *, now: float) -> Probe:
        self._number += 1
        probe = Probe(track.target, self._number, size)
        self._waiting[probe.number] = (now, probe)
        return probe

    def _of(self, probe: Probe) -> _Track | None:
        """Return the track of a probe, None if its target was replaced since."""
        track = self._tracks.get(probe.target.address)
        return track if track and track.target == probe.target else None

    def _take_size_result(self, track: _Track, *, now: float, passed: bool) -> None:
        search = track.search
        if search is None:
            track.mtu_due = now + self._full_size_gap(track)
        elif not search.take(passed=passed):
            track.mtu_due = now
        else:
            track.search = None
            track.mtu_due = now + self._full_size_gap(track)
            before, track.mtu = track.mtu, search.low or None
            if track.mtu != before:
                self._changed()

    def _gap(self, track: _Track) -> float:
        """Return the seconds from a probe that is sent now to the next."""
        if track.answers:
            return self._interval(track, self._pace(track))
        interval = self._interval(track, _pace(track.target, watched=True))
        return min(interval, 0.5 * 2.0 ** min((track.unanswered - 1) // 2, 10))

    def _pace(self, track: _Track) -> ProbePace:
        return _pace(track.target, watched=self._watched)

    def _interval(self, track: _Track, pace: ProbePace) -> float:
        interval = (
            pace.adjacent
            if track.target.adjacent
            else max(pace.distant, self._distant / pace.distant_per_second)
        )
        return interval * self._random.uniform(0.9, 1.1)

    def _full_size_gap(self, track: _Track) -> float:
        return self._pace(track).full_size * self._random.uniform(0.9, 1.1)

    def _hurry(self, now: float) -> None:
        """Probe all within the short interval, spread, and none more often than at that."""
        for track in self._tracks.values():
            interval = self._interval(track, _pace(track.target, watched=True))
            soon = now + self._random.uniform(0, interval)
            track.due = min(track.due, max(soon, track.sent_at + interval))


def _pace(target: ProbeTarget, *, watched: bool) -> ProbePace:
    if target.metered:
        return AT_REST if watched else METERED
    return WATCHED if watched else AT_REST


def _result(track: _Track) -> ProbeResult:
    # An atomic copy: the caller may be another thread.
    results = list(track.results)
    found = [each for each in results if each is not None]
    loss = (len(results) - len(found)) / len(results) if results else None
    answers = (
        ProbeResult(rtt=median(found), mtu=track.mtu) if track.answers and found else ProbeResult()
    )
    return replace(answers, loss=loss, last_answered=track.last_answered)
