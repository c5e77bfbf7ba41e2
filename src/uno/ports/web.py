"""The web page of a cell, as its agent needs it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from uno.model.net import Address
from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import UvnView


class WebPage(Protocol):
    """Serves the page of the UVN. The agent never waits for it, and runs without it."""

    @property
    def problem(self) -> str:
        """Why the page is not served, or not everywhere; empty if it is."""
        ...

    async def run(
        self,
        view: Callable[[], UvnView],
        directory: Callable[[], Directory | None],
        watch: Callable[[], None],
    ) -> None:
        """Serve until cancelled; `view` and `directory` return what is to be shown.

        `watch` is called now and then while somebody reads the page.
        """
        ...

    def configure(self, package: Package, addresses: Collection[Address]) -> None:
        """Serve the page of `package` at these addresses of the host."""
        ...

    def changed(self) -> None:
        """Show what has changed."""
        ...

    def close(self) -> None:
        """Serve no more."""
        ...
