"""The keys that the registry uses in its root VPN: the current ones, or earlier ones for a while.

A cell that missed new keys of the root VPN normally receives them through its neighbours. A cell
without neighbours, or all cells if the new keys do not work, would be cut off for good. So, while
cells are unreachable, the registry falls back to earlier keys for a phase, at intervals.

The registry switches to new keys itself once the activation has reached the cells that receive it
directly. No fallback phase may be active then: those cells would not receive the activation. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace


class FallbackSchedule(Struct, frozen=True, kw_only=True):
    """When the registry falls back to earlier keys; times in seconds.

    The first phase begins once cells are unreachable for `first_after`. One of `length` begins
    every `interval`; after `frequent_phases` of them, every `slow_interval`. It is prolonged while
    a cell answers that was unreachable, but not beyond `max_length`.
    """

    first_after: float = 20.0
    length: float = 15.0
    max_length: float = 60.0
    interval: float = 60.0
    slow_interval: float = 300.0
    frequent_phases: int = 10


FALLBACK_SCHEDULE = FallbackSchedule()


# Seconds from an activation until the registry switches to the new keys itself: the time that the
# activation needs to reach the cells. After a fallback phase they need a new handshake first, and
# possibly have to initiate it.
_SWITCH_AFTER = 1.0
_SWITCH_AFTER_FALLBACK = 10.0


class KeyPhase(Struct, frozen=True, kw_only=True):
    """The keys in use: those of the generation `fallback`, or of `current` if that is None.

    `since` is when the phase began, and `fallbacks` the number of fallback phases so far.
    `switch_at` is when other keys become current, None if no switch is due.
    """

    current: int
    fallback: int | None = None
    since: float
    fallbacks: int = 0
    switch_at: float | None = None

    @property
    def generation(self) -> int:
        """The generation whose keys are used."""
        return self.current if self.fallback is None else self.fallback


def switch_to(phase: KeyPhase, generation: int, *, now: float) -> KeyPhase:
    """Return the phase that follows if the keys of `generation` are to become current."""
    if generation == phase.current:
        return replace(phase, switch_at=None)
    if phase.switch_at is None:
        delay = _SWITCH_AFTER if phase.fallback is None else _SWITCH_AFTER_FALLBACK
        return replace(phase, fallback=None, since=now, switch_at=now + delay)
    if now >= phase.switch_at:
        return replace(phase, current=generation, switch_at=None)
    return phase


def fall_back(  # noqa: PLR0913 - what the keys depend on
    phase: KeyPhase,
    *,
    earlier: Sequence[int],
    unreachable: Collection[int],
    answering: bool,
    pending: bool,
    now: float,
    schedule: FallbackSchedule,
) -> KeyPhase:
    """Return the phase that follows, which may be one with earlier keys.

    `earlier` are the generations with other keys than the current ones, `unreachable` the cells
    from which nothing is received. With `answering`, a cell that was unreachable is being brought
    up to date. With `pending`, cells may have a pending commit, and would roll back if the registry
    left the keys that they use: then no phase begins.
    """
    if phase.switch_at is not None:
        return phase
    lasted = now - phase.since
    if phase.fallback is not None:
        is_over = lasted >= schedule.max_length or (lasted >= schedule.length and not answering)
        return replace(phase, fallback=None, since=now) if is_over or not earlier else phase
    if not unreachable:
        return replace(phase, since=now, fallbacks=0) if phase.fallbacks else phase
    if not earlier or pending:
        return phase
    pause = schedule.first_after
    if phase.fallbacks:
        is_frequent = phase.fallbacks < schedule.frequent_phases
        pause = schedule.interval if is_frequent else schedule.slow_interval
    if lasted < pause:
        return phase
    fallback = earlier[phase.fallbacks % len(earlier)]
    return replace(phase, fallback=fallback, since=now, fallbacks=phase.fallbacks + 1)
