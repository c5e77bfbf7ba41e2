"""What the host's network tells by itself: that something has changed, and which routes there are.

A change is a reason to look again, and says nothing about what to find then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from typing import Protocol

from uno.model.net import Network


class Change(StrEnum):
    """What kind of thing has changed.

    `HOST`: interfaces, addresses and routes, but for those that a routing daemon installs, which
    are `LEARNED`; a default route is the host's, whoever installed it.
    """

    HOST = "host"
    LEARNED = "learned"


class NetworkWatch(Protocol):
    """Sees the changes of one network namespace from when it is made."""

    def changes(self) -> AsyncIterator[frozenset[Change]]:
        """Yield what has changed since the last time, once it has; many changes at once are one."""
        ...

    def routed(self, interfaces: Iterable[str]) -> frozenset[Network]:
        """Return the destinations of routes into these interfaces, those with several hops too.

        Raises `UnoError`.
        """
        ...
