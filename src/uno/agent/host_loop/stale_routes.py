"""Which links are dead while BGP keeps the routes through them, and since when. Pure.

BGP keeps the routes of a neighbour whose session has ended, because its routing daemon may be
restarting (RFC 4724). If the link dies before the session returns, bgpd ignores BFD
(`bfd_session_status_update` in bgpd/bgp_bfd.c of FRR 8.4 and 10.3), against RFC 5882, section
4.3.1, and keeps the routes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from uno.model.status import LinkState

# Seconds without BFD after which a link counts as dead: more than it takes to come up once bfdd has
# started anew, here or at the other end.
DEAD_AFTER = 3.0

# BGP has no session, and neither end is opening one.
_WITHOUT_SESSION = frozenset({"Idle", "Connect", "Active"})


class StaleRoutes:
    """Keeps when the routes through each dead link are due to be dropped."""

    def __init__(self) -> None:
        """Start with none."""
        self._due: dict[str, float] = {}

    def due(self, links: Iterable[LinkState], *, now: float) -> frozenset[str]:
        """Return the interfaces of those `links` whose routes are due to be dropped `now`."""
        later = now + DEAD_AFTER
        dead = (link.interface for link in links if _is_dead(link))
        self._due = {name: self._due.get(name, later) for name in dead}
        return frozenset(name for name, at in self._due.items() if at <= now)

    def dropped(self, name: str) -> None:
        """Note that its routes were dropped; they are not dropped again until it has been up."""
        self._due[name] = math.inf


def _is_dead(link: LinkState) -> bool:
    return link.bfd == "down" and link.bgp in _WITHOUT_SESSION
