"""With whose keys the registry is in its root VPN: those in force, and in turns earlier ones. Pure.

A cell that missed new keys of the root VPN hears of them from its neighbours. One that has none,
or all of them if new keys do not work, would be cut off for good. So, while there are such cells,
the registry goes back to earlier keys for a moment, every now and then.

New keys are taken once those who hear the registry were told to change over to them, and no turn
may fall into that moment: nobody would hear it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace


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


# Seconds until the registry takes new keys itself, once it told others to: they have heard by then.
# Who was called with other keys meanwhile needs a new handshake first, and may have to dial.
_LAST = 1.0
_LAST_AFTER_A_TURN = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """Whose keys are used: those of the generation `turn`, None for those of `base`, in force.

    `since` is when that began, and `count` how many turns there were. `next_at` is when others
    come into force, None if none are to.
    """

    base: int
    turn: int | None = None
    since: float
    count: int = 0
    next_at: float | None = None

    @property
    def generation(self) -> int:
        """The generation whose keys are used."""
        return self.base if self.turn is None else self.turn


def take(calling: Calling, wanted: int, *, now: float) -> Calling:
    """Return whose keys are to be used if those of `wanted` are to come into force."""
    if wanted == calling.base:
        return replace(calling, next_at=None)
    if calling.next_at is None:
        told = _LAST if calling.turn is None else _LAST_AFTER_A_TURN
        return replace(calling, turn=None, since=now, next_at=now + told)
    if now >= calling.next_at:
        return replace(calling, base=wanted, next_at=None)
    return calling


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
    if calling.next_at is not None:
        return calling
    lasted = now - calling.since
    if calling.turn is not None:
        is_over = lasted >= turns.longest or (lasted >= turns.length and not answering)
        return replace(calling, turn=None, since=now) if is_over or not earlier else calling
    if not unheard:
        return replace(calling, since=now, count=0) if calling.count else calling
    if not earlier:
        return calling
    pause = turns.after
    if calling.count:
        pause = turns.period if calling.count < turns.often else turns.seldom
    if lasted < pause:
        return calling
    turn = earlier[calling.count % len(earlier)]
    return replace(calling, turn=turn, since=now, count=calling.count + 1)
