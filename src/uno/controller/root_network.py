"""Maintains the registry's root VPN and its place on the bus, with the keys that cells have now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from uno.controller import root_vpn
from uno.controller.root_key_fallback import FallbackSchedule, KeyPhase, fall_back, switch_to
from uno.diagnostics import ActionNeeded, UnoError
from uno.ports.bus import REGISTRY_INDEX, BusConfig
from uno.ports.host import Desired

if TYPE_CHECKING:
    from uno.controller.store_access import StoreSnapshot
    from uno.model.plan import Plan
    from uno.ports.bus import Security

_log = logging.getLogger(__name__)

# Seconds between two passes of the reconciler if nothing changes, also while an error needs a
# person's action; and those after a transient error.
_RECONCILE_INTERVAL, _RETRY_INTERVAL = 60.0, 2.0


class RootNetwork:
    """The registry as a node of the root VPN and of the bus. For one event loop."""

    def __init__(
        self,
        *,
        reconcile: Callable[[Desired], None],
        configure_bus: Callable[[BusConfig], None],
        schedule: FallbackSchedule,
        has_ipv6: bool,
        licence: str | None,
        credentials: Callable[[Plan], Security | None],
    ) -> None:
        """Reconcile the host with `reconcile`, which blocks, and then configure the bus."""
        self._reconcile = reconcile
        self._configure_bus = configure_bus
        self._schedule = schedule
        self._has_ipv6 = has_ipv6
        self._licence = licence
        self._credentials = credentials
        self._phase: KeyPhase | None = None
        self._desired: Desired | None = None
        self._reconcile_at = 0.0
        self._was_applied = self._changed_host = False
        self._failure = ""
        self._bus: BusConfig | None = None

    async def maintain(
        self,
        snapshot: StoreSnapshot,
        *,
        wanted: int,
        fallbacks: Collection[int] = (),
        unreachable: Collection[int] = (),
        answering: Callable[[float], bool] = lambda _: False,
        now: float,
    ) -> None:
        """Use the keys of the generation `wanted`, and in fallback phases those of `fallbacks`.

        `unreachable` are the cells from which nothing is received. `answering` returns whether
        a cell that still needs the keys in use has answered since a time. Raises `UnoError` until
        the host was reconciled once; later failures are logged, and tried again.
        """
        before = switch_to(self._phase or KeyPhase(current=wanted, since=now), wanted, now=now)
        self._phase = fall_back(
            before,
            earlier=[it for it in fallbacks if self._differs(snapshot, it, before.current)],
            unreachable=unreachable,
            answering=answering(before.since),
            now=now,
            schedule=self._schedule,
        )
        fallback = self._phase.fallback
        if fallback is not None and fallback != before.fallback:
            _log.info("using the root VPN's keys of generation %d for unreachable cells", fallback)
        await self._apply(snapshot, self._phase.generation, now)

    async def remove(self) -> None:
        """Remove the root VPN from the host."""
        if self._changed_host:
            await asyncio.to_thread(self._reconcile, Desired())

    def _differs(self, snapshot: StoreSnapshot, generation: int, current: int) -> bool:
        known = current if current in snapshot.plans else snapshot.record.release.generation
        return root_vpn.differs(snapshot.root_plan(generation), snapshot.root_plan(known))

    async def _apply(self, snapshot: StoreSnapshot, generation: int, now: float) -> None:
        plan, secrets = _plan_and_keys(snapshot, generation)
        desired = root_vpn.desired(plan, secrets, has_ipv6=self._has_ipv6)
        if desired == self._desired and now < self._reconcile_at:
            return
        self._desired, self._changed_host = desired, True
        self._reconcile_at = now + _RECONCILE_INTERVAL
        try:
            await asyncio.to_thread(self._reconcile, desired)
            self._join_bus(plan)
        except UnoError as error:
            if not self._was_applied:
                raise
            self._note_failure(error, now)
        else:
            self._was_applied, self._failure = True, ""

    def _note_failure(self, error: UnoError, now: float) -> None:
        if error.transient:
            self._reconcile_at = now + _RETRY_INTERVAL
        if str(error) != self._failure:
            self._failure = str(error)
            _log.warning("the root VPN cannot be reconciled: %s", error)

    def _join_bus(self, plan: Plan) -> None:
        if plan.root is None:
            return
        config = BusConfig(
            domain=plan.bus.domain,
            address=plan.root.registry4,
            tag=plan.identity,
            index=REGISTRY_INDEX,
            licence=self._licence,
            security=self._credentials(plan),
        )
        if config != self._bus:
            self._configure_bus(config)
            self._bus = config


def _plan_and_keys(snapshot: StoreSnapshot, generation: int) -> tuple[Plan, dict[str, str]]:
    """Return the plan and keys of a generation, with the cells of the release."""
    for number in (generation, snapshot.record.release.generation):
        if number not in snapshot.plans:
            continue
        plan = snapshot.root_plan(number)
        secrets = snapshot.root_keys.of(plan)
        if secrets is not None:
            return plan, secrets
    raise ActionNeeded(
        "the registry's keys for the root VPN are not those of its plan",
        "make new ones with: uno rekey uvn -R; then install the packages by hand",
    )
