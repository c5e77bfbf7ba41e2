"""Proves that the cell forwards for its LANs: after changes, every few minutes, after a failure.

For one event loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from msgspec.structs import replace

from uno.diagnostics import UnoError
from uno.model.net import Network
from uno.ports.prober import ForwardingProber
from uno.reconcile.forwarding_proof import ForwardingProof, ProofPlan, conclude

WAITS = (0.3,)
"""Seconds to wait for the answers of a round."""

WAITS_AGAIN = (0.3, 0.5, 0.8)
"""Seconds to wait after each further sending. A busy uplink delays an answer for a second."""


async def prove(
    prober: ForwardingProber,
    plan: ProofPlan,
    *,
    run_blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread,
) -> ForwardingProof:
    """Probe as planned, and return what is proved. Where the host permits no proof, it has why.

    What fails is probed again if another program had removed what it takes meanwhile.
    """
    try:
        await run_blocking(prober.prepare, plan.interfaces)
        proof = await _probe(prober, plan)
        if not proof.is_good and await run_blocking(prober.prepare, plan.interfaces):
            proof = await _probe(prober, plan)
    except UnoError as error:
        return ForwardingProof(unproved=error.what)
    return proof


async def _probe(prober: ForwardingProber, plan: ProofPlan) -> ForwardingProof:
    answered = await prober.probe(plan.forwarded, waits=WAITS)
    if again := plan.unanswered(answered):
        # At the same time as the host's own: the tunnel may have come up only now.
        answered |= await prober.probe(again, waits=WAITS_AGAIN)
    return conclude(plan, answered)


async def prove_once(prober: ForwardingProber, plan: ProofPlan) -> ForwardingProof:
    """Probe as planned, and close the prober."""
    try:
        return await prove(prober, plan)
    finally:
        prober.close()


class ProofTaken(Protocol):
    """Takes note that there is a new proof, and whether it differs from the one before."""

    def __call__(self, *, is_changed: bool) -> None:
        """Take note."""
        ...


class ForwardingCheck:
    """The newest proof of one cell.

    `settled_at` is when it was begun, None if it proves nothing although something was probed.
    `forwarded` are the LANs that the newest proof of each has shown to be forwarded: a proof that
    shows nothing, as on a busy host, disproves nothing.
    """

    def __init__(
        self,
        prober: ForwardingProber | None,
        *,
        plan: Callable[[], ProofPlan | None],
        run_blocking: Callable[..., Awaitable[Any]],
        proved: ProofTaken,
        now: Callable[[], float],
        retry_after: float,
    ) -> None:
        """Prove with `prober`, if there is one, what `plan` returns, if anything can be proved.

        `proved` is called with each proof. One in which something failed is repeated after
        `retry_after` seconds of the clock `now`.
        """
        self.proof = ForwardingProof()
        self.settled_at: float | None = None
        self.forwarded: frozenset[Network] = frozenset()
        self._prober = prober
        self._plan = plan
        self._run_blocking = run_blocking
        self._proved = proved
        self._now = now
        self._retry_after = retry_after
        self._last = ForwardingProof()
        self._requested_at = self._all_requested_at = -math.inf
        self._requested = asyncio.Event()
        # Whether the round that is requested leaves metered cells and links out.
        self._spares_metered = False
        self._lock = asyncio.Lock()

    def request(self) -> None:
        """Prove again: something has changed."""
        self._requested_at = self._all_requested_at = self._now()
        self._spares_metered = False
        self._requested.set()

    def request_after(self, seconds: float, *, metered_after: float = 0.0) -> None:
        """Prove again if that was not requested for so many seconds.

        Metered cells and links are probed if that was not requested for `metered_after` seconds.
        """
        now = self._now()
        if now - self._requested_at < seconds:
            return
        if now - self._all_requested_at >= metered_after:
            self.request()
        elif not self._requested.is_set():
            self._requested_at, self._spares_metered = now, True
            self._requested.set()

    def has_proved_since(self, when: float) -> bool:
        """Whether the newest proof was begun since then, and nothing has failed."""
        return self.settled_at is not None and self.settled_at >= when and self.proof.is_good

    async def run(self) -> None:
        """Prove on each request, and what has failed again and again, until cancelled."""
        while True:
            timeout = None if self._last.is_good else self._retry_after
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._requested.wait()
            await self.prove()

    async def prove(self) -> None:
        """Prove now."""
        async with self._lock:
            self._requested.clear()
            spares_metered, self._spares_metered = self._spares_metered, False
            plan = self._plan()
            if plan is not None and spares_metered and self._last.is_good:
                # What has failed is probed until it has not: a round without it would forget it.
                plan = plan.without_metered if plan.without_metered.paths else None
            if self._prober is None or plan is None:
                return
            began = self._now()
            before, found = (
                self._last,
                await prove(self._prober, plan, run_blocking=self._run_blocking),
            )
            self._last = found
            shown = frozenset(lan for lan, does in found.forwards.items() if does)
            self.forwarded = (self.forwarded - found.forwards.keys()) | shown
            is_nothing = plan.is_complete and not plan.paths
            is_settled = is_nothing or found.forwards or found.unproved
            self.settled_at = began if is_settled else None
            # The agent of a cell that was just stopped does not answer either: that of one time
            # proves nothing.
            proof = replace(found, unreached=found.unreached & before.unreached)
            is_changed, self.proof = proof != self.proof, proof
            self._proved(is_changed=is_changed)

    def close(self) -> None:
        """Release what probes take on the host. Raises `UnoError`."""
        if self._prober is not None:
            self._prober.close()
