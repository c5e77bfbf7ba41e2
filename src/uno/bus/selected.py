"""Sessions of the middleware that each configuration names: a node may change from one to another.

DDS has them in a process of its own, which is not started before a configuration needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.bus.separate import SeparateSessions
from uno.bus.tcp import TcpSessions
from uno.model.uvn import Middleware

if TYPE_CHECKING:
    from uno.bus.dds import Inbox, Sessions
    from uno.bus.separate import StartChild
    from uno.bus.session import Session
    from uno.ports.bus import BusConfig


class SelectedSessions:
    """`dds.Sessions` over TCP or DDS."""

    def __init__(self, start: StartChild) -> None:
        """Start nothing yet; `start` starts the process of DDS."""
        self._start = start
        self._sessions: Sessions | None = None
        self._is_tcp = False

    def open(self, config: BusConfig, inbox: Inbox) -> Session:
        """Open a session. Raises `UnoError`."""
        is_tcp = config.middleware is Middleware.TCP
        if self._sessions is None or is_tcp != self._is_tcp:
            self.close()
            self._sessions = TcpSessions() if is_tcp else SeparateSessions(self._start)
            self._is_tcp = is_tcp
        return self._sessions.open(config, inbox)

    def follow(self, config: BusConfig) -> bool:
        """Use another configuration in the open session; False if that needs another session."""
        return self._sessions is not None and self._sessions.follow(config)

    def close(self) -> None:
        """End what sessions need."""
        if self._sessions is not None:
            self._sessions.close()
        self._sessions = None
