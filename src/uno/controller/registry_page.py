"""The registry's own page: what it is of, as the definition and the agent's view change."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from uno.controller import public_directory, release_store
from uno.diagnostics import ActionNeeded, UnoError
from uno.model import codec, web_access
from uno.model.key_ids import WEB_ROOT
from uno.model.messages import REGISTRY
from uno.model.status import CellView, UvnView
from uno.model.web_access import REGISTRY_PORT, WebAccess
from uno.planning.cell_plans import roster
from uno.registry.publish import keygen, web_authority, web_packages
from uno.registry.store import directory
from uno.registry.store.generation_store import UnknownGeneration
from uno.web.page_site import PageSite, PageSource, device_key

if TYPE_CHECKING:
    from uno.model.net import Address
    from uno.model.network_directory import Directory
    from uno.registry.store.directory import Registry
    from uno.registry.store.generation_store import Generation
    from uno.web.page_process import PageProcess

_log = logging.getLogger(__name__)

# Seconds between two comparisons of the registry's file with what is shown.
_FOLLOW_EVERY: Final = 2.0


class ShownDefinition(Struct, frozen=True, kw_only=True):
    """A definition as the page shows it. `view` is the UVN as it is known without an agent."""

    source: PageSource
    directory: Directory
    view: UvnView


def read(root: Path, *, port: int, generation: int | None = None) -> ShownDefinition:
    """Return what the registry in `root` has of a generation, of the newest where it has not that.

    Raises `UnoError`: there is no registry, or it has no certificates.
    """
    with directory.opened(root, for_change=False) as registry:
        found = _generation(registry, generation)
        return ShownDefinition(
            source=_source(registry, found, port=port),
            directory=public_directory.directory_of(found.number, found.uvn, found.plan),
            view=_view(registry, found),
        )


class RegistryPage:
    """The page of the registry in one directory. For one event loop."""

    def __init__(
        self,
        root: Path,
        process: PageProcess,
        *,
        addresses: Collection[Address],
        port: int = REGISTRY_PORT,
    ) -> None:
        """Serve nothing yet; `process` serves at these addresses of the host and at `port`."""
        self._root, self._process = root, process
        self._addresses, self._port = tuple(addresses), port
        self._shown: ShownDefinition | None = None
        self._last: tuple[UvnView, float] | None = None
        self._mark: tuple[int, int | None] | None = None
        self._failure = ""

    def start(self) -> ShownDefinition:
        """Open the listening sockets; return the definition that is shown first.

        Raises `UnoError`, also where the port is taken.
        """
        self._mark = self._changed_at(), None
        shown = read(self._root, port=self._port)
        self._show(shown)
        self._process.listen()
        return shown

    async def run(self, view: Callable[[], UvnView | None], watch: Callable[[], None]) -> None:
        """Serve until cancelled; `view` returns that of the agent, None where none runs.

        `watch` is called now and then while somebody reads the page. Raises `UnoError` where it was
        not started and the registry cannot be read.
        """
        if self._shown is None:
            self._show(await asyncio.to_thread(read, self._root, port=self._port))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(view))
            tasks.create_task(self._process.run(partial(self._view, view), self._directory, watch))

    def close(self) -> None:
        """Serve no more."""
        self._process.close()

    def changed(self) -> None:
        """Show what has changed."""
        self._process.changed()

    def _view(self, view: Callable[[], UvnView | None]) -> UvnView:
        """Return the UVN as the agent has it, or as it is defined, with what was last received."""
        assert self._shown is not None
        now, found = asyncio.get_running_loop().time(), view()
        if found is not None:
            self._last = found, now
            return found
        if self._last is None:
            return self._shown.view
        last, seen_at = self._last
        return without_contact(self._shown.view, last, since=now - seen_at)

    def _directory(self) -> Directory | None:
        return self._shown.directory if self._shown is not None else None

    async def _follow(self, view: Callable[[], UvnView | None]) -> None:
        """Show the definition of the generation that the view is of."""
        while True:
            found = view()
            mark = self._changed_at(), found.generation if found is not None else None
            if mark != self._mark:
                try:
                    shown = await asyncio.to_thread(
                        read, self._root, port=self._port, generation=mark[1]
                    )
                except UnoError as error:
                    self._note(error)
                else:
                    self._mark, self._failure = mark, ""
                    self._show(shown)
            await asyncio.sleep(_FOLLOW_EVERY)

    def _show(self, shown: ShownDefinition) -> None:
        self._shown = shown
        self._process.show(shown.source, self._addresses)

    def _note(self, error: UnoError) -> None:
        if str(error) != self._failure:
            self._failure = str(error)
            _log.warning("the page shows an older definition: %s", error)

    def _changed_at(self) -> int:
        try:
            return directory.Layout(self._root).database.stat().st_mtime_ns
        except OSError:
            return 0


def without_contact(defined: UvnView, last: UvnView, *, since: float) -> UvnView:
    """Return the cells of a definition as they were seen last, `since` seconds ago."""
    known = {cell.id: cell for cell in last.cells}
    return replace(
        defined,
        cells=tuple(
            _out_of_contact(known[cell.id], since) if cell.id in known else cell
            for cell in defined.cells
        ),
    )


def _out_of_contact(cell: CellView, since: float) -> CellView:
    lost = 0.0 if cell.alive else cell.age
    return replace(
        cell,
        alive=False,
        age=None if lost is None else lost + since,
        status_age=None if cell.status_age is None else cell.status_age + since,
    )


def _generation(registry: Registry, number: int | None) -> Generation:
    if number is not None:
        try:
            return registry.store.generation(number)
        except UnknownGeneration:
            pass
    return registry.store.head()


def _source(registry: Registry, found: Generation, *, port: int) -> PageSource:
    secrets, plan, uvn = registry.store.secrets(), found.plan, found.uvn
    seed = secrets.get(WEB_ROOT)
    if seed is None:
        raise ActionNeeded(
            "this registry has no certificates for web pages yet",
            "an older uno made it; the next change makes them, as does: uno redeploy",
        )
    # The root signs for the registry itself, which has its key: an authority of its own would
    # bound nothing.
    root, key = web_authority.root_certificate(seed.private, uvn.name), web_authority.root_key
    access = WebAccess(
        root=root,
        authority=root,
        key=key(seed.private),
        owner=uvn.owner,
        cell_owner="",
        metrics_token="",
        users=web_packages.logins(uvn.users),
    )
    site = PageSite(
        uvn=uvn.name,
        identity=plan.identity,
        cell=REGISTRY,
        cell_name="the registry",
        name=web_access.registry_host_name(uvn.name),
        port=port,
        owner=access.owner,
        cell_owner="",
        root=root,
        metrics_token="",
        device_key=device_key(access.key),
        registry_key=keygen.text(secrets[keygen.SIGNING].public or b""),
        roster=roster(plan),
        users=access.users,
    )
    return PageSource(
        mark=hashlib.sha256(codec.encode(site)).hexdigest(),
        site=site,
        access=access,
        networks=(*web_access.LOOPBACK, *web_access.PERMITTED),
        certified=web_access.PERMITTED,
        port_remedy="choose another with --port",
        loopback_is_plain=True,
    )


def _view(registry: Registry, found: Generation) -> UvnView:
    """Return the UVN of a definition that no agent rolls out: no cell is in contact."""
    packages = {cell: row.generation for cell, row in registry.store.cell_packages().items()}
    members = (cell.member for cell in found.plan.cells)
    return UvnView(
        uvn=found.uvn.name,
        viewer=REGISTRY,
        generation=found.number,
        cells=tuple(
            CellView(id=it.id, name=it.name, package=packages.get(it.id)) for it in members
        ),
        waiting=len(release_store.not_released(registry.store).changes),
    )
