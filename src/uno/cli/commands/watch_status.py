"""`uno status`: the whole UVN, as the agent of this directory observes it."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uno.cli.input.options import Common, JsonOption, takes_groups
from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import RenderableType

    from uno.controller.unreleased import Unreleased
    from uno.model.status import UvnView


# Beside 0, 1 and 2 of every command: the network is well, and does not have every change.
NOT_RELEASED = 3

# So many changes that are not released are listed.
_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentIdentity:
    """The agent that belongs to a directory. `cell` is 0 for the registry's."""

    uvn: str
    identity: str
    cell: int
    name: str

    @property
    def socket(self) -> Path:
        """The path of its control socket."""
        from uno import control

        return control.socket_path(self.identity, self.cell)


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("status")(takes_groups(status))


def status(
    output: JsonOption,
    common: Common,
    *,
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="Keep running, and show each change.")
    ] = False,
) -> None:
    """Show the whole UVN, its faults, and changes not released.

    Works where an agent runs, at the registry and on every cell. Exit status 1 if a cell has no
    contact, runs another generation than it should, does not reach every LAN, or reports what
    is in the way of packets that it forwards. Exit status 3 at the registry if all is well but
    changes, such as bans, are not released; until `uno sync`, no cell has them.
    """
    from uno import control

    common.start()
    here = agent_identity(common.root)
    views = control.watch_views(here.socket) if watch else _measured(here.socket)
    try:
        last = _show(
            views,
            as_json=output.json,
            in_place=watch,
            not_released=partial(_not_released, here, common.root),
        )
    except control.NoAgent as error:
        _without_agent(here, common.root, as_json=output.json)
        raise typer.Exit(1) from error
    if not (last.consistent and last.routed) or last.obstructed:
        raise typer.Exit(1)
    if _not_released(here, common.root):
        raise typer.Exit(NOT_RELEASED)


def _measured(socket: Path) -> Iterator[UvnView]:
    """Yield one view, with what all cells measure. Raises as `control.watch_views` does."""
    from uno import control

    yield control.measured_view(socket)


def agent_identity(root: Path) -> AgentIdentity:
    """Return the agent of the directory `root`. Raises UnoError if it is no registry or cell."""
    if (root / "registry.db").exists():
        return _registry(root)
    from uno.agent.commit.ledger import Ledger

    package = Ledger(root).current()
    if package is None:
        raise ActionNeeded(
            f"there is neither a registry nor a cell in {root.absolute()}",
            "name the directory with -r DIR",
        )
    manifest = package.manifest
    return AgentIdentity(
        uvn=manifest.uvn, identity=manifest.identity, cell=manifest.cell, name=manifest.cell_name
    )


def as_dict(view: UvnView) -> dict[str, Any]:
    """Return a view for programs, with the properties that are derived from it."""
    from uno.model import codec

    cells = [
        {
            **codec.to_builtins(cell),
            "consistent": cell.consistent,
            "routed": cell.alive and cell.status is not None and cell.status.routed,
        }
        for cell in view.cells
    ]
    derived = {
        "consistent": view.consistent,
        "routed": view.routed,
        "obstructed": view.obstructed,
    }
    return {**codec.to_builtins(view), **derived, "cells": cells}


def _registry(root: Path) -> AgentIdentity:
    from uno.model.messages import REGISTRY
    from uno.registry.changes import operations

    with operations.opened(root) as registry:
        uvn = registry.store.head().uvn
    return AgentIdentity(uvn=uvn.name, identity=uvn.identity, cell=REGISTRY, name="the registry")


def _not_released(here: AgentIdentity, root: Path) -> Unreleased:
    """Return what the registry in `root` has not released; a cell has no such thing."""
    from uno.controller import release_store
    from uno.controller.unreleased import Unreleased
    from uno.model.messages import REGISTRY
    from uno.registry.store import directory

    if here.cell != REGISTRY:
        return Unreleased()
    with directory.opened(root, for_change=False) as registry:
        return release_store.not_released(registry.store)


def _waiting(found: Unreleased, *, agent_runs: bool) -> tuple[str, ...]:
    """Return the lines on changes that are not released, as many as fit."""
    from uno.controller import unreleased

    lines = tuple(unreleased.lines(found, agent_runs=agent_runs))
    more = len(lines) - _LINES - 1
    return lines if more <= 0 else (*lines[: _LINES + 1], f"  … and {more:,} more: uno log")


def _show(
    views: Iterable[UvnView],
    *,
    as_json: bool,
    in_place: bool,
    not_released: Callable[[], Unreleased],
) -> UvnView:
    """Print each view as it comes, with what is not released then; return the last."""
    if as_json:
        return _print_json(views, on_one_line=in_place, not_released=not_released)
    from uno.cli.output import printing
    from uno.cli.output.status_view import renderable

    def page(view: UvnView) -> RenderableType:
        return renderable(view, waiting=_waiting(not_released(), agent_runs=True))

    if in_place and printing.console().is_terminal:
        return _refresh(views, page)
    last = None
    for last in views:
        printing.page(page(last))
    return _seen(last)


def _print_json(
    views: Iterable[UvnView], *, on_one_line: bool, not_released: Callable[[], Unreleased]
) -> UvnView:
    import json
    import sys

    last = None
    for last in views:
        found = not_released()
        waiting = {
            "generations": list(found.changes),
            "revoked": list(found.revoked),
        }
        value = as_dict(last) | {"not_released": waiting}
        print(json.dumps(value, indent=None if on_one_line else 2))
        sys.stdout.flush()
    return _seen(last)


def _refresh(views: Iterable[UvnView], page: Callable[[UvnView], RenderableType]) -> UvnView:
    from rich.live import Live

    from uno.cli.output import printing

    last = None
    with Live(console=printing.console(), auto_refresh=False) as live:
        for last in views:
            live.update(page(last), refresh=True)
    return _seen(last)


def _seen(last: UvnView | None) -> UvnView:
    if last is None:
        raise ActionNeeded("the agent has ended", "see its log")
    return last


def _without_agent(here: AgentIdentity, root: Path, *, as_json: bool) -> None:
    """Print that no agent runs, and the status of this host without one. Raises UnoError."""
    from uno.cli.commands import service_up_down
    from uno.cli.output import printing
    from uno.model.messages import REGISTRY

    missing = ActionNeeded(
        f"no agent runs for {here.name} of {here.uvn}", "start it: uno agent -r DIR"
    )
    if here.cell == REGISTRY and not as_json:
        for line in _waiting(_not_released(here, root), agent_runs=False):
            printing.result(line)
    if as_json or here.cell == REGISTRY:
        raise missing
    from uno.cli.output import error_output

    error_output.print_error(missing, as_json=False)
    service_up_down.status(root=root)
