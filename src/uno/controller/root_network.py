"""Maintains the registry's root VPN and its place on the bus, with the keys that cells have now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from uno.controller import root_vpn
from uno.controller.root_key_fallback import FallbackSchedule, KeyPhase, fall_back, switch_to
from uno.diagnostics import ActionNeeded, UnoError
from uno.model.listening_ports import Transport, bus_transport
from uno.model.uvn import Middleware
from uno.ports.bus import REGISTRY_INDEX, BusConfig, BusPeer, listening
from uno.ports.host import Desired

if TYPE_CHECKING:
    from uno.controller.store_access import StoreSnapshot
    from uno.model.plan import BusPlan, Plan, RootVpn

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
        configure_bus: Callable[[BusConfig, tuple[BusConfig, ...]], None],
        schedule: FallbackSchedule,
        has_ipv6: bool,
        licence: str | None,
    ) -> None:
        """Reconcile the host with `reconcile`, which blocks, and then configure the bus.

        `configure_bus` has the registry be on the bus with the first configuration, and with all
        others too.
        """
        self._reconcile = reconcile
        self._configure_bus = configure_bus
        self._schedule = schedule
        self._has_ipv6 = has_ipv6
        self._licence = licence
        self._phase: KeyPhase | None = None
        self._desired: Desired | None = None
        self._plan: Plan | None = None
        self._others: tuple[Plan, ...] = ()
        self._reconcile_at = 0.0
        self._was_applied = self._changed_host = False
        self._failure = ""
        self._buses: tuple[BusConfig, ...] = ()

    async def maintain(  # noqa: PLR0913 - what the keys and domains depend on
        self,
        snapshot: StoreSnapshot,
        *,
        wanted: int,
        fallbacks: Collection[int] = (),
        overlap: Collection[int] = (),
        unreachable: Collection[int] = (),
        answering: Callable[[float], bool] = lambda _: False,
        pending: bool = False,
        now: float,
    ) -> None:
        """Use the keys of the generation `wanted`, and in fallback phases those of `fallbacks`.

        The registry is on the bus of the generations in `overlap` too, where that is possible at
        the same time.

        `unreachable` are the cells from which nothing is received. `answering` returns whether
        a cell that still needs the keys in use has answered since a time. While a commit may be
        `pending`, no fallback phase begins. Raises `UnoError` until
        the host was reconciled once; later failures are logged, and tried again.
        """
        before = switch_to(self._phase or KeyPhase(current=wanted, since=now), wanted, now=now)
        self._phase = fall_back(
            before,
            earlier=[it for it in fallbacks if self._differs(snapshot, it, before.current)],
            unreachable=unreachable,
            answering=answering(before.since),
            pending=pending,
            now=now,
            schedule=self._schedule,
        )
        fallback = self._phase.fallback
        if fallback is not None and fallback != before.fallback:
            _log.info("using the root VPN's keys of generation %d for unreachable cells", fallback)
        also = [snapshot.plans[it] for it in overlap if it in snapshot.plans]
        await self._apply(snapshot, self._phase.generation, also, now)

    @property
    def in_use(self) -> tuple[Plan, ...]:
        """The plan whose root VPN is on the host, and others on whose bus it is too."""
        return (self._plan, *self._others) if self._plan else ()

    async def remove(self) -> None:
        """Remove the root VPN from the host."""
        if self._changed_host:
            await asyncio.to_thread(self._reconcile, Desired())

    def _differs(self, snapshot: StoreSnapshot, generation: int, current: int) -> bool:
        known = current if current in snapshot.plans else snapshot.record.release.generation
        return root_vpn.differs(snapshot.root_plan(generation), snapshot.root_plan(known))

    async def _apply(
        self, snapshot: StoreSnapshot, generation: int, also: Iterable[Plan], now: float
    ) -> None:
        plan, secrets = _plan_and_keys(snapshot, generation)
        others = tuple(_other_buses(plan, also))
        desired = root_vpn.desired(
            plan, secrets, has_ipv6=self._has_ipv6, buses=[it.bus for it in others]
        )
        if desired == self._desired and now < self._reconcile_at:
            return
        moved = root_vpn.moved_peers(self._plan, plan) if self._plan else frozenset()
        self._desired, self._changed_host = desired, True
        self._plan, self._others = plan, others
        self._reconcile_at = now + _RECONCILE_INTERVAL
        try:
            if moved:
                await asyncio.to_thread(self._reconcile, root_vpn.without_peers(desired, moved))
            await asyncio.to_thread(self._reconcile, desired)
            self._join_bus(plan, others)
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

    def _join_bus(self, plan: Plan, others: Iterable[Plan]) -> None:
        buses = tuple(self._bus_config(it, it.root) for it in (plan, *others) if it.root)
        if buses and buses != self._buses:
            self._configure_bus(buses[0], buses[1:])
            self._buses = buses

    def _bus_config(self, plan: Plan, root: RootVpn) -> BusConfig:
        return BusConfig(
            domain=plan.bus.domain,
            address=root.registry4,
            tag=plan.identity,
            middleware=plan.bus.middleware,
            index=REGISTRY_INDEX,
            peers=_peers(plan) if plan.bus.middleware is Middleware.TCP else (),
            licence=self._licence,
        )


def _peers(plan: Plan) -> tuple[BusPeer, ...]:
    """Return the cells, which have a place in the root VPN. In DDS they call the registry."""
    members = (cell.member for cell in plan.cells)
    return tuple(
        sorted(BusPeer(it.node4, metered=(it.timing or plan.timing).metered) for it in members)
    )


def _other_buses(plan: Plan, also: Iterable[Plan]) -> Iterator[Plan]:
    """Yield those plans on whose bus the registry of `plan` can be at the same time.

    It has one address in the root VPN, and the ports follow from the domain.
    """
    taken = {_places(plan.bus)}
    for each in also:
        is_here = plan.root and each.root and plan.root.registry4 == each.root.registry4
        if is_here and _places(each.bus) not in taken:
            taken.add(_places(each.bus))
            yield each


def _places(bus: BusPlan) -> tuple[Transport, tuple[int, ...]]:
    return bus_transport(bus), listening(bus, REGISTRY_INDEX)


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
