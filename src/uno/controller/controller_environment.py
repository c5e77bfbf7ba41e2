"""What the registry's agent has around it, chosen by whoever starts it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uno import control
from uno.controller.rollout import LIMITS, Limits
from uno.controller.root_key_fallback import TURNS, Turns
from uno.model.plan import Plan
from uno.ports.bus import Bus, Security
from uno.ports.host import Desired


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the agent has around it.

    `raise_network` makes the host's network so, and `refresh_endpoints` resolves again the
    endpoints of cells that do not answer; both block, and other threads call them. `clock` is
    monotonic, in seconds; `alive` is called whenever all is well, for a watchdog; `has_ipv6`
    tells whether the host has IPv6; `licence` and `credentials` are for the bus; `run` is
    where sockets are.
    """

    bus: Bus
    raise_network: Callable[[Desired], None]
    clock: Callable[[], float]
    refresh_endpoints: Callable[[], None] = lambda: None
    alive: Callable[[], None] = lambda: None
    has_ipv6: bool = True
    licence: str | None = None
    credentials: Callable[[Plan], Security | None] = lambda _: None
    run: Path = control.RUN
    limits: Limits = LIMITS
    turns: Turns = TURNS
