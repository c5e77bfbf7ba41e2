"""The registry's host: reconciles the root VPN, and refreshes the endpoints of its peers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from uno.reconcile.converge import compare

if TYPE_CHECKING:
    from uno.ports.host import Desired, Host

_log = logging.getLogger(__name__)

# A WireGuard session ends when its keys are this old, in seconds (WireGuard paper, section 6.1).
_REJECT_AFTER_TIME = 180


class RootHost:
    """A host as a node of the root VPN. Threads may share it: one of them works at a time."""

    def __init__(self, host: Host, *, wall_clock: Callable[[], float]) -> None:
        """Change nothing yet. `wall_clock` returns seconds since the epoch."""
        self._host = host
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._desired: Desired | None = None
        self._logged: frozenset[str] = frozenset()

    def reconcile(self, desired: Desired) -> None:
        """Make the host as desired. Raises `UnoError`, and then it is as it was.

        A warning is logged when it begins to hold, and not at each pass.
        """
        with self._lock:
            host = self._host
            host.warnings.clear()
            compare(host, desired).apply(host, progress=partial(_log.debug, "%s"))
            for warning in host.warnings:
                if warning not in self._logged:
                    _log.warning("%s", warning)
            self._logged = frozenset(host.warnings)
            if not desired.tunnels:
                host.remove_state()
            self._desired = desired

    def refresh_endpoints(self) -> None:
        """Resolve the endpoints of peers without a session again. Raises `UnoError`."""
        for tunnel in self._desired.tunnels if self._desired else ():
            connected = self._connected_peers(tunnel.name)
            for peer in tunnel.peers:
                if peer.endpoint and peer.public_key not in connected:
                    with self._lock:
                        self._host.refresh_endpoint(tunnel.name, peer)

    def _connected_peers(self, tunnel: str) -> Collection[str]:
        now = int(self._wall_clock())
        with self._lock:
            status = self._host.peer_status().get(tunnel, ())
        return {it.public_key for it in status if now - it.handshake < _REJECT_AFTER_TIME}
