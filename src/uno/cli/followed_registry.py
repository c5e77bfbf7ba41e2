"""The registry's page on this host: its process, and the registry's agent as it shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Lock, Thread

from msgspec.structs import replace

from uno import control
from uno.cli.web_page import make_page
from uno.control import ControlRequest
from uno.controller.registry_page import RegistryPage
from uno.diagnostics import UnoError
from uno.model.messages import REGISTRY
from uno.model.net import Address
from uno.model.status import CellView, UvnView
from uno.model.web_access import REGISTRY_PORT

LOOPBACK = ip_address("127.0.0.1")
"""Where the registry's page is, unless another address is chosen."""

# Seconds until an agent that has ended is looked for again.
_AGAIN = 1.0


def make_registry_page(
    root: Path,
    directory: Path,
    *,
    environ: Mapping[str, str],
    address: Address = LOOPBACK,
    port: int = REGISTRY_PORT,
) -> RegistryPage:
    """Return the page of the registry in `root`, which keeps its events in `directory`.

    For one event loop.
    """
    process = make_page(directory, environ=environ)
    return RegistryPage(root, process, addresses=[address], port=port)


class FollowedAgent:
    """What the registry's agent shows its clients, read in a thread. For one event loop."""

    def __init__(self, identity: str, *, changed: Callable[[], None]) -> None:
        """Follow the agent of this UVN's registry; `changed` is called after each change."""
        self._socket = control.socket_path(identity, REGISTRY)
        self._changed, self._loop = changed, asyncio.get_running_loop()
        self._view: UvnView | None = None
        self._asking = Lock()

    def view(self) -> UvnView | None:
        """Return its newest view, None where no agent runs."""
        return self._view

    def start(self) -> None:
        """Begin. Raises `UnoError` where an agent runs that this user cannot follow."""
        with suppress(control.NoAgent):
            self._view = control.request_view(self._socket, ControlRequest.FOLLOW)
        Thread(target=self._follow, daemon=True).start()

    def watch(self) -> None:
        """Have cells measure for a while, as somebody reads the page. Returns at once."""
        Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        # One at a time, whatever time it takes.
        if self._asking.acquire(blocking=False):
            try:
                with suppress(UnoError):
                    control.request_view(self._socket)
            finally:
                self._asking.release()

    def _follow(self) -> None:
        while True:
            # However it fails, it is tried again.
            with suppress(UnoError):
                for view in control.watch_views(self._socket, ControlRequest.FOLLOW):
                    self._take(continued(view, self._view))
            self._take(None)
            Event().wait(_AGAIN)

    def _take(self, view: UvnView | None) -> None:
        self._view = view
        # The loop may have ended.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._changed)


def continued(view: UvnView, before: UvnView | None) -> UvnView:
    """Return a view that has the values of the one before where they are equal.

    What is the same value was not received again.
    """
    known = {cell.id: cell for cell in before.cells} if before is not None else {}
    return replace(view, cells=tuple(_continued(cell, known.get(cell.id)) for cell in view.cells))


def _continued(cell: CellView, before: CellView | None) -> CellView:
    if before is None:
        return cell
    return replace(
        cell,
        status=before.status if cell.status == before.status else cell.status,
        ack=before.ack if cell.ack == before.ack else cell.ack,
    )
