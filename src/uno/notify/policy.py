"""Which notices follow from what is wrong, without a storm of them. Pure.

A condition is one thing that is wrong: one cause, not each of its symptoms. A notice is sent when a
condition has lasted for `hold` seconds, and another when it has been gone for as long. One that
changes more than `FLAPS` times within `window` causes one notice; the next follows when it has not
changed for `STEADY` times `hold` (RFC 2439 damps routes for the same reason).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

HOLD = 60.0
FLAPS = 6
# In holds. Changes that are no hold apart are not reported one by one: that they are many has to
# show within so many holds, which are therefore more than `FLAPS`.
STEADY = 15
# The least seconds in which changes are counted.
_WINDOW = 900.0


class Condition(Struct, frozen=True, kw_only=True):
    """Something that is wrong. `id` is the same for as long as it lasts, at every node.

    `subject` is what it is about (a cell, a LAN, a link), `text` what is wrong, `remedy` the cure.
    """

    id: str
    subject: str
    text: str
    remedy: str = ""


class NoticeKind(StrEnum):
    """What a notice reports."""

    LOST = "lost"
    FOUND = "found"
    UNSTABLE = "unstable"
    EVENT = "event"
    TEST = "test"


class Notice(Struct, frozen=True, kw_only=True):
    """What is to be sent. `since` is the time of the policy's clock at which it began."""

    kind: NoticeKind
    condition: Condition
    since: float


class Track(Struct, frozen=True, kw_only=True):
    """What is recorded of one condition.

    `present`: it is there since `changed`. `reported`: the last notice about it was that it is
    there. `changes` are the times of its last changes, at most as many as tell that it flaps.
    """

    condition: Condition
    present: bool
    changed: float
    reported: bool = False
    unstable: bool = False
    changes: tuple[float, ...] = ()


Tracks = Mapping[str, Track]


def window(hold: float) -> float:
    """Return the seconds in which changes are counted."""
    return max(_WINDOW, STEADY * hold)


def unmuted(
    conditions: Mapping[str, Condition], muted: AbstractSet[str], tracks: Tracks
) -> Mapping[str, Condition]:
    """Return the conditions that count: those of `muted` do only if they were reported before.

    Otherwise it would seem that these work again.
    """
    return {
        id_: each
        for id_, each in conditions.items()
        if id_ not in muted or (id_ in tracks and tracks[id_].reported)
    }


def step(
    tracks: Tracks,
    conditions: Mapping[str, Condition],
    now: float,
    *,
    since_change: float | None = None,
    hold: float = HOLD,
) -> tuple[Tracks, tuple[Notice, ...]]:
    """Return the tracks at `now`, and the notices that are due.

    `conditions` is all that is wrong now, by id. `since_change` is when the last change of the
    network ended, infinity while one is in progress: what begins to be wrong during it counts from
    its end.
    """
    found: dict[str, Track] = {}
    notices: list[Notice] = []
    for id_ in sorted({*tracks, *conditions}):
        track = _seen(tracks.get(id_), conditions.get(id_), now, hold=hold)
        if track is None:
            continue
        begun = max(track.changed, since_change or 0.0) if track.present else track.changed
        track, kind = _due(track, now, begun=begun, hold=hold)
        if kind is not None:
            notices.append(Notice(kind=kind, condition=track.condition, since=track.changed))
        if track.present or track.reported or now - track.changed < window(hold):
            found[id_] = track
    return found, tuple(notices)


def due_in(
    tracks: Tracks, now: float, *, since_change: float | None = None, hold: float = HOLD
) -> float | None:
    """Return the seconds until `step` may have something to report without a change; else None."""
    times = []
    for track in tracks.values():
        if track.unstable:
            times.append(track.changed + STEADY * hold)
        elif track.present and not track.reported:
            times.append(max(track.changed, since_change or 0.0) + hold)
        elif track.reported and not track.present:
            times.append(track.changed + hold)
    soonest = min(times, default=None)
    return None if soonest is None else max(0.0, soonest - now)


def _seen(
    track: Track | None, condition: Condition | None, now: float, *, hold: float
) -> Track | None:
    if track is None:
        if condition is None:
            return None
        return Track(condition=condition, present=True, changed=now, changes=(now,))
    present = condition is not None
    newest = condition or track.condition
    if present == track.present:
        return replace(track, condition=newest)
    recent = tuple(each for each in track.changes if now - each < window(hold))
    changes = (*recent, now)[-(FLAPS + 1) :]
    return replace(track, condition=newest, present=present, changed=now, changes=changes)


def _due(track: Track, now: float, *, begun: float, hold: float) -> tuple[Track, NoticeKind | None]:
    if track.unstable:
        if now - track.changed < STEADY * hold:
            return track, None
        kind = NoticeKind.LOST if track.present else NoticeKind.FOUND
        return replace(track, unstable=False, reported=track.present, changes=()), kind
    if len(track.changes) > FLAPS and now - track.changes[0] < window(hold):
        return replace(track, unstable=True, reported=True), NoticeKind.UNSTABLE
    if track.present and not track.reported and now - begun >= hold:
        return replace(track, reported=True), NoticeKind.LOST
    if track.reported and not track.present and now - track.changed >= hold:
        return replace(track, reported=False), NoticeKind.FOUND
    return track, None
