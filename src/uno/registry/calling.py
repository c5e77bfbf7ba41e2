"""Whom nobody hears any more is called with the keys that it had before, in turns. Pure.

A cell that missed new keys of the root VPN hears of them from its neighbours. One that has none,
or all of them if new keys do not work, would be cut off for good. So, while there are such cells,
the registry goes back to earlier keys for a moment, every now and then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """When cells that nobody hears are called as they were before; times in seconds.

    A turn of `length` begins every `period`, after `often` turns every `seldom`. It lasts while
    somebody answers who was not heard, but no more than `longest`.
    """

    after: float = 20.0
    length: float = 15.0
    longest: float = 60.0
    period: float = 60.0
    seldom: float = 300.0
    often: int = 10


TURNS = Turns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """Whose keys are used: those of the generation `turn`, None for those in force.

    `since` is when that began, and `count` how many turns there were.
    """

    turn: int | None = None
    since: float
    count: int = 0


def call(
    calling: Calling,
    *,
    earlier: Sequence[int],
    unheard: Collection[int],
    answering: bool,
    now: float,
    turns: Turns,
) -> Calling:
    """Return whose keys are to be used now.

    `earlier` are the generations with other keys than those in force, `unheard` the cells that are
    not heard; `answering` tells that one that was not is on its way to the newest generation.
    """
    lasted = now - calling.since
    if calling.turn is not None:
        is_over = lasted >= turns.longest or (lasted >= turns.length and not answering)
        if is_over or not earlier:
            return Calling(since=now, count=calling.count)
        return calling
    if not unheard:
        return Calling(since=now if calling.count else calling.since)
    if not earlier:
        return calling
    pause = turns.after
    if calling.count:
        pause = turns.period if calling.count < turns.often else turns.seldom
    if lasted < pause:
        return calling
    return Calling(turn=earlier[calling.count % len(earlier)], since=now, count=calling.count + 1)
