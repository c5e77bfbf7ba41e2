"""Notifies people of what is wrong: connects policy, turns, outbox and couriers. For one loop.

The queue and the ids of reported conditions are in a file, so that neither is lost when the agent
ends; what is wrong is derived anew. Times of the policy are of a monotonic clock; the queue has
times of the wall clock.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from uno import files
from uno.diagnostics import TransientFailure, UnoError
from uno.model import codec
from uno.model.codec import MalformedJson
from uno.model.notification_targets import Notifying, target
from uno.notify import policy, turns
from uno.notify.errands import Errand, Outcome
from uno.notify.notice_formats import Sent, message
from uno.notify.outbox import Outbox, Waiting
from uno.notify.policy import Condition, Notice, NoticeKind, Tracks
from uno.notify.turns import Senders

_log = logging.getLogger(__name__)

# Seconds between two observations, and between two heartbeats.
INTERVAL = 5.0
HEARTBEAT = 300.0
_FILE_LIMIT = 4 << 20


class SenderView(Struct, frozen=True, kw_only=True):
    """What a sender observes.

    `conditions` is what is wrong, by id; `events` are conditions that are reported once, as soon as
    they appear. `muted` are the ids of conditions that nobody is to be notified of. `alive` maps
    the senders that are alive, this cell among them, to what each has reported. `changing`: a
    change of the network is in progress. `page` is the address of this cell's page.
    """

    uvn: str
    cell: str
    own: int
    conditions: Mapping[str, Condition]
    events: tuple[Condition, ...] = ()
    muted: frozenset[str] = frozenset()
    alive: Mapping[int, frozenset[str]]
    changing: bool = False
    page: str = ""


class Record(Struct, frozen=True, kw_only=True):
    """What is on disk: the queue, and the conditions that this cell has reported."""

    outbox: Outbox = Outbox()
    reported: dict[str, Condition] = {}
    events: tuple[str, ...] = ()


class Clocks(Struct, frozen=True, kw_only=True):
    """`monotonic` and `wall` return seconds."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


class _Pending(Struct, frozen=True, kw_only=True):
    """A notice whose turn comes at `due`."""

    notice: Notice
    due: float


class Notifier:
    """One cell's part in notifying people."""

    def __init__(
        self,
        path: Path,
        *,
        notifying: Callable[[], Notifying | None],
        observe: Callable[[], SenderView | None],
        send: Callable[[Sequence[Errand]], Awaitable[Sequence[Outcome]]],
        clocks: Clocks,
    ) -> None:
        """Record in `path`. `notifying` are the settings in force, None for a cell that sends none.

        `observe` returns None where nothing is known yet. `send` has messages delivered; it raises
        `UnoError` where it cannot.
        """
        self.problem = ""
        self._path, self._notifying, self._observe, self._send = path, notifying, observe, send
        self._clocks = clocks
        self._record = _read(path)
        self._tracks: Tracks = _resumed(self._record, clocks.monotonic())
        self._pending: list[_Pending] = []
        self._changing_until = 0.0
        # What is fetched, and when next.
        self._heartbeat: str | None = None
        self._heartbeat_due = 0.0

    @property
    def reported(self) -> AbstractSet[str]:
        """The ids of the conditions that this cell has reported, for those after it."""
        return self._record.reported.keys()

    async def run(self) -> None:
        """Observe and send until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(INTERVAL)

    async def step(self) -> None:
        """Observe once, and send what is due."""
        settings = self._notifying()
        if settings is None:
            self._forget()
            return
        picture = self._observe()
        if picture is not None:
            self._decide(picture, settings)
        await self._deliver(settings, picture)

    def _decide(self, picture: SenderView, settings: Notifying) -> None:
        now = self._clocks.monotonic()
        if picture.changing:
            self._changing_until = now
        self._tracks, notices = policy.step(
            self._tracks,
            policy.unmuted(picture.conditions, picture.muted, self._tracks),
            now,
            since_change=float("inf") if picture.changing else self._changing_until,
            hold=float(settings.hold),
        )
        seen = set(self._record.events)
        events = [each for each in picture.events if each.id not in seen]
        notices += tuple(Notice(kind=NoticeKind.EVENT, condition=it, since=now) for it in events)
        if events:
            known = (*self._record.events, *(each.id for each in events))[-100:]
            self._store(replace(self._record, events=known))
        own = frozenset(self._record.reported)
        senders = Senders(own=picture.own, alive={**picture.alive, picture.own: own})
        # The sender before has withdrawn it: it would seem that it was not reported.
        over = {each.condition.id for each in notices if each.kind is NoticeKind.FOUND}
        self._pending = [it for it in self._pending if it.notice.condition.id not in over]
        self._pending += [
            _Pending(notice=notice, due=now + turns.delay(senders, notice)) for notice in notices
        ]
        due = [each for each in self._pending if each.due <= now]
        self._pending = [each for each in self._pending if each.due > now]
        for each in due:
            if not turns.is_settled(senders, each.notice):
                self._queue(each.notice, settings)

    def _queue(self, notice: Notice, settings: Notifying) -> None:
        wall = self._clocks.wall()
        began = wall - max(0.0, self._clocks.monotonic() - notice.since)
        stamped = replace(notice, since=began)
        waiting = [
            Waiting(id=secrets.token_hex(8), target=i, notice=stamped, created=wall, due=wall)
            for i in range(len(settings.to))
        ]
        _log.info("notifying of %s: %s", notice.condition.subject, notice.kind)
        self._store(replace(self._record, outbox=self._record.outbox.added(*waiting)))

    async def _deliver(self, settings: Notifying, picture: SenderView | None) -> None:
        wall = self._clocks.wall()
        due = [it for it in self._record.outbox.due(wall) if it.target < len(settings.to)]
        errands = [self._errand(each, settings, picture) for each in due]
        beat = self._is_heartbeat_due(settings, picture)
        if beat and settings.heartbeat:
            errands.append(Errand(url=settings.heartbeat))
        if not errands:
            return
        try:
            outcomes = await self._send(errands)
        except UnoError as error:
            outcomes = [Outcome(fault=error.what)] * len(errands)
        self._settle(due, outcomes)

    def _settle(self, due: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        wall = self._clocks.wall()
        box, reported = self._record.outbox, dict(self._record.reported)
        for each, outcome in zip(due, outcomes, strict=False):
            if outcome.fault:
                box = box.failed(each.id, outcome.fault, wall)
                continue
            box = box.delivered(each.id)
            condition = each.notice.condition
            if each.notice.kind is NoticeKind.FOUND:
                reported.pop(condition.id, None)
            elif each.notice.kind is not NoticeKind.EVENT:
                reported[condition.id] = condition
        faults = [it.fault for it in outcomes if it.fault]
        if faults and faults[0] != self.problem:
            _log.warning("a notification was not delivered: %s; it is tried again", faults[0])
        self.problem = faults[0] if faults else ""
        self._store(Record(outbox=box, reported=reported, events=self._record.events))

    def _errand(self, waiting: Waiting, settings: Notifying, picture: SenderView | None) -> Errand:
        url = settings.to[waiting.target]
        sent = Sent(
            id=waiting.id,
            uvn=picture.uvn if picture else "",
            cell=picture.cell if picture else "",
            began=datetime.fromtimestamp(waiting.notice.since, UTC),
            now=datetime.fromtimestamp(waiting.created, UTC),
            page=picture.page if picture else "",
            steady=float(policy.STEADY * settings.hold),
        )
        return Errand(url=url, message=message(target(url), waiting.notice, sent))

    def _is_heartbeat_due(self, settings: Notifying, picture: SenderView | None) -> bool:
        now = self._clocks.monotonic()
        if settings.heartbeat is None or picture is None:
            return False
        # Another address is fetched at once, which shows whether it works.
        if settings.heartbeat == self._heartbeat and now < self._heartbeat_due:
            return False
        if min(picture.alive, default=picture.own) < picture.own:
            return False
        self._heartbeat, self._heartbeat_due = settings.heartbeat, now + HEARTBEAT
        return True

    def _forget(self) -> None:
        """Send nothing more: this cell is no sender any longer."""
        self._tracks, self._pending, self.problem = {}, [], ""
        self._heartbeat = None
        if self._record != Record():
            self._store(Record())

    def _store(self, record: Record) -> None:
        if record == self._record:
            return
        self._record = record
        try:
            files.write_atomic(self._path, codec.encode(record))
        except UnoError as error:
            # It is in memory; a full disk must not keep people from being notified of it.
            _log.warning("%s", error)


def _read(path: Path) -> Record:
    try:
        return codec.decode(files.read(path, limit=_FILE_LIMIT), Record)
    except (TransientFailure, UnoError, MalformedJson):
        return Record()


def _resumed(record: Record, now: float) -> Tracks:
    """Return tracks of what was reported or waits, so that it is withdrawn if it is gone."""
    told = dict(record.reported)
    for each in record.outbox.waiting:
        condition = each.notice.condition
        if each.notice.kind is NoticeKind.FOUND:
            told.pop(condition.id, None)
        elif each.notice.kind is not NoticeKind.EVENT:
            told[condition.id] = condition
    return {
        id_: policy.Track(condition=condition, present=True, changed=now, reported=True)
        for id_, condition in told.items()
    }
