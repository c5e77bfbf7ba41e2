"""Notifications of changes in the host's network, and the destinations of its routes.

A notification triggers another observation; it does not carry the new state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from enum import StrEnum
from typing import Protocol

from uno.model.net import Network


class NetworkChange(StrEnum):
    """The kind of a change.

    `HOST`: interfaces, addresses, default routes, and routes that no routing daemon installed.
    `ROUTING`: all other routes that a routing daemon installed.
    """

    HOST = "host"
    ROUTING = "routing"


class NetworkWatch(Protocol):
    """Watches one network namespace from its construction on."""

    def changes(self) -> AsyncIterator[frozenset[NetworkChange]]:
        """Yield the kinds of changes since the last item; changes close together are one item."""
        ...

    def destinations_via(self, interfaces: Iterable[str]) -> Mapping[Network, tuple[str, ...]]:
        """Return the destinations of routes into these interfaces, and into which of them.

        A route with several next hops leads into several. Raises `UnoError`.
        """
        ...
