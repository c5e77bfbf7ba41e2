"""Sessions in this process, for tests and their tools: agents have them in another (`separate`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from uno.bus.dds import Inbox
    from uno.bus.session import Post, Session
    from uno.ports.bus import BusConfig


class InProcess(Struct, frozen=True):
    """`dds.Sessions` that `opening` opens."""

    opening: Callable[[BusConfig, Post], Session]

    def open(self, config: BusConfig, inbox: Inbox) -> Session:
        """Open a session. Raises `UnoError`."""
        session = self.opening(config, inbox.post)
        inbox.opened()
        return session

    def follow(self, _config: BusConfig) -> bool:
        """Return False: a participant is configured once."""
        return False

    def close(self) -> None:
        """Do nothing: there is no process to end."""
