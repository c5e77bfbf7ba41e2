"""Keeps the registry on its root VPN and on the bus, with the keys that cells have now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from uno.controller import root_keys, root_vpn
from uno.controller.root_key_fallback import Calling, Turns, call, take
from uno.diagnostics import ActionNeeded, UnoError
from uno.ports.bus import REGISTRY_INDEX, BusConfig
from uno.ports.host import Desired

if TYPE_CHECKING:
    from uno.controller.store_access import Known
    from uno.model.plan import Plan
    from uno.ports.bus import Security

_log = logging.getLogger(__name__)

# Seconds between two looks at a network that should be as it was left.
_LOOK = 60.0


class RootNetwork:
    """The registry's place in the root VPN. For one event loop."""

    def __init__(
        self,
        *,
        raise_network: Callable[[Desired], None],
        configure: Callable[[BusConfig], None],
        turns: Turns,
        has_ipv6: bool,
        licence: str | None,
        credentials: Callable[[Plan], Security | None],
    ) -> None:
        """Make the host's network with `raise_network`, which may take long, and then the bus."""
        self._raise = raise_network
        self._configure = configure
        self._turns = turns
        self._has_ipv6 = has_ipv6
        self._licence = licence
        self._credentials = credentials
        self._calling: Calling | None = None
        self._raised: Desired | None = None
        self._touched = False
        self._looked = 0.0
        self._joined: BusConfig | None = None

    async def tend(
        self,
        known: Known,
        *,
        wanted: int,
        ways: Collection[int] = (),
        unheard: Collection[int] = (),
        answering: Callable[[float], bool] = lambda _: False,
        now: float,
    ) -> None:
        """Be there with the keys of the generation `wanted`, but for turns with those of `ways`.

        `unheard` are the cells that nobody hears, and `answering` tells whether one has answered
        since a moment that still needs the keys it has. Raises `UnoError` the first time only.
        """
        before = take(self._calling or Calling(base=wanted, since=now), wanted, now=now)
        self._calling = call(
            before,
            earlier=[it for it in ways if self._is_other(known, it, before.base)],
            unheard=unheard,
            answering=answering(before.since),
            now=now,
            turns=self._turns,
        )
        turn = self._calling.turn
        if turn is not None and turn != before.turn:
            _log.info("calling cells that are not heard with the keys of generation %d", turn)
        await self._be(known, self._calling.generation, now)

    async def leave(self) -> None:
        """Take the network down."""
        if self._touched:
            await asyncio.to_thread(self._raise, Desired())

    def _is_other(self, known: Known, number: int, base: int) -> bool:
        plan = known.plans.get(base, known.plan)
        return root_keys.differs(known.plans[number], plan)

    async def _be(self, known: Known, number: int, now: float) -> None:
        plan, secrets = _way(known, number)
        desired = root_vpn.desired(plan, secrets, has_ipv6=self._has_ipv6)
        if desired == self._raised and now - self._looked < _LOOK:
            return
        self._looked, self._touched = now, True
        first = self._raised is None
        try:
            await asyncio.to_thread(self._raise, desired)
            self._raised = desired
            self._join(plan)
        except UnoError as error:
            if first:
                raise
            _log.warning("the root VPN is not as it should be: %s", error)

    def _join(self, plan: Plan) -> None:
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
        if config != self._joined:
            self._configure(config)
            self._joined = config


def _way(known: Known, number: int) -> tuple[Plan, dict[str, str]]:
    """Return the plan and keys of a generation, with the cells of what is released."""
    for plan in (known.plans.get(number), known.plan):
        if plan is None:
            continue
        merged = root_keys.merged(plan, known.plan)
        secrets = known.root.of(merged)
        if secrets is not None:
            return merged, secrets
    raise ActionNeeded(
        "the registry's keys for the root VPN are not those of its plan",
        "make new ones with: uno rekey uvn -R; then install the packages by hand",
    )
