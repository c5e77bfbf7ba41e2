"""When a cell's agent reconciles its host and observes its links next.

Pure: all times are parameters, in seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

from uno.model.plan import Timing


class AgentIntervals(Struct, frozen=True, kw_only=True):
    """Intervals and timeouts of an agent, in seconds.

    The agent reconciles the host every `reconcile_every`, but not twice within
    `reconcile_spacing`. Every `check_every` it checks for changes of which there is no
    notification. It observes links and routes every `observe_every`, and every
    `observe_fast` for `fast_for` after the last change. For as long it compares the sessions of
    links every `sessions_every` while some are down. Where routing was found dead it reconciles
    again after `routing_retry`. While nothing changes and nobody watches it proves every
    `prove_every` that it forwards, and every `prove_metered_every` if the cell is metered, or with
    cells that are. LANs may
    take `lan_timeout` to come up at boot. An agent whose loop has not turned for `hung_after`
    sends no watchdog keep-alive. Cells report the registry as absent after `registry_grace`: a
    short interruption would else make every cell advertise twice.
    """

    reconcile_every: float = 60.0
    reconcile_spacing: float = 1.0
    check_every: float = 1.0
    observe_every: float = 5.0
    observe_fast: float = 0.5
    fast_for: float = 10.0
    sessions_every: float = 0.1
    routing_retry: float = 5.0
    prove_every: float = 300.0
    prove_metered_every: float = 7200.0
    lan_timeout: float = 60.0
    hung_after: float = 600.0
    registry_grace: float = 3.0

    def prove_after(self, timing: Timing) -> float:
        """Return the seconds at rest between two proofs that a cell with these timers forwards."""
        return self.prove_metered_every if timing.metered else self.prove_every


class LoopTimers:
    """The timers of the agent's loop, and why each is set."""

    def __init__(self, intervals: AgentIntervals, *, now: float) -> None:
        """Have both due at once."""
        self._intervals = intervals
        self._reconcile_due = self._observe_due = self._fast_until = now
        self._reconciled_at = now - intervals.reconcile_spacing
        self._sessions_due, self._sessions_until = math.inf, now

    def next_due(self, *, now: float, cleanup_due: float | None, poll: float) -> float:
        """Return when the loop has to turn next.

        `cleanup_due` is when a step of removing the previous package is due; one that cannot be
        taken then is tried again every `poll` seconds.
        """
        due = min(self._reconcile_due, self._observe_due, self._sessions_due)
        return due if cleanup_due is None else min(due, max(cleanup_due, now + poll))

    def is_reconcile_due(self, *, now: float) -> bool:
        """Whether it is time to reconcile."""
        return self._reconcile_due <= now

    def is_observe_due(self, *, now: float) -> bool:
        """Whether it is time to observe."""
        return self._observe_due <= now

    def request_reconcile(self, *, now: float) -> None:
        """Reconcile as soon as the spacing allows."""
        self._reconcile_due = now

    def request_observe(self, *, now: float) -> None:
        """Observe at once."""
        self._observe_due = now

    def poll_faster(self, *, now: float) -> None:
        """Observe at the fast interval for a while, as something has changed."""
        self._fast_until = now + self._intervals.fast_for
        self.expect_sessions(now=now)
        self._observe_due = min(self._observe_due, now + self._intervals.observe_fast)

    def expect_sessions(self, *, now: float) -> None:
        """Expect sessions that are down to come up soon, as something has changed on their way."""
        self._sessions_until = now + self._intervals.fast_for

    def await_sessions(self, *, now: float, missing: bool) -> None:
        """Set when sessions are compared next: never while none is `missing`, or none is expected.

        Routing daemons notify of routes alone, which may come before the last session of a link.
        """
        is_awaited = missing and now < self._sessions_until
        self._sessions_due = now + self._intervals.sessions_every if is_awaited else math.inf

    def are_sessions_due(self, *, now: float) -> bool:
        """Whether it is time to compare sessions with those of the last observation."""
        return self._sessions_due <= now

    def begin_reconcile(self, *, now: float, cleanup_due: float | None) -> bool:
        """Begin to reconcile, or postpone it; return whether it begins.

        Not before the previous package is removed: that would remove at once what others still use.
        """
        if now < self._reconciled_at + self._intervals.reconcile_spacing:
            self._reconcile_due = self._reconciled_at + self._intervals.reconcile_spacing
            return False
        if cleanup_due is not None:
            self._reconcile_due = max(cleanup_due, now + self._intervals.observe_fast)
            return False
        self._reconciled_at, self._reconcile_due = now, now + self._intervals.reconcile_every
        return True

    def retry_routing(self, *, now: float) -> None:
        """Reconcile soon: routing was not all there, and may be about to be started."""
        self._reconcile_due = now + self._intervals.routing_retry

    def routing_is_silent(self) -> None:
        """Reconcile soon after the last time: no routing daemon answers."""
        self._reconcile_due = min(
            self._reconcile_due, self._reconciled_at + self._intervals.routing_retry
        )

    def begin_observe(self) -> None:
        """Begin to observe: a change from here on may be missed, and requests another."""
        self._observe_due = math.inf

    def end_observe(self, *, now: float, fast: bool, also_at: Iterable[float | None] = ()) -> None:
        """Set the next observation: at the fast interval if asked, and at these times to come."""
        intervals = self._intervals
        is_fast = fast or now < self._fast_until
        pause = intervals.observe_fast if is_fast else intervals.observe_every
        times = (at for at in also_at if at is not None and now < at)
        self._observe_due = min(self._observe_due, now + pause, *times)

    def observe_within(self, pause: float, *, now: float) -> None:
        """Observe after a pause, or earlier where that is due anyway.

        Also after a failure: a pass that fails each second must not postpone what reports it.
        """
        self._observe_due = min(self._observe_due, now + pause)
