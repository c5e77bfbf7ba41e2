"""What an agent does to have people notified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from uno.model.network_directory import Directory
from uno.model.package import Package
from uno.model.status import UvnView


class Notifications(Protocol):
    """A cell's part in notifying people. For one event loop."""

    @property
    def problem(self) -> str:
        """Why a message was not delivered, empty if all were."""
        ...

    @property
    def reported(self) -> tuple[str, ...]:
        """The ids of what this cell has reported, for its status, in their order."""
        ...

    @property
    def muted_until(self) -> int | None:
        """The second on the host's clock until which nobody is notified of this cell, or None."""
        ...

    def configure(self, package: Package) -> None:
        """Notify as `package` has it from now on; a cell that is no sender does nothing."""
        ...

    async def run(
        self, view: Callable[[], UvnView], directory: Callable[[], Directory | None]
    ) -> None:
        """Observe, and send what is due, until cancelled."""
        ...
