"""`uno sync`: releases the newest generation, and follows it to the cells."""

# ruff: noqa: PLC0415 - what a command needs is imported when it runs, so that `uno -h` is quick

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from uno.cli.input.options import Common, JsonOption, takes_groups
from uno.diagnostics import ActionNeeded, TransientFailure, UnoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from uno.model.status import CellView, UvnView

# Seconds that cells may take to go back from what was undone.
_GOING_BACK = 60.0

# Seconds until it is said who is missing: most are heard by then.
_FIRST_LOOK = 20.0

# An agent that starts needs a moment until it can be asked.
_STARTING = 15.0

# 128 and the number of SIGINT, as a shell reports it.
_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add this command to `app`."""
    app.command("sync")(takes_groups(sync))


def sync(
    output: JsonOption,
    common: Common,
    *,
    config_only: Annotated[
        bool,
        typer.Option(
            "-C",
            "--config-only",
            "--consistent-config",
            help="Wait for the configuration alone, and not for routes.",
        ),
    ] = False,
    max_wait_time: Annotated[
        float,
        typer.Option(
            "-t", "--max-wait-time", metavar="SECONDS", min=0, help="How long to wait at most."
        ),
    ] = 3600,
) -> None:
    """Bring every cell to the newest generation, and wait until all run it and reach every LAN.

    Packages are staged on all cells, and only then activated, together. If one cell refuses its
    package nothing changes; if one goes back, all do. Cells that are away catch up alone. Exit
    status 1 if it is not done within the time; then it says who is not, and why.
    """
    import asyncio

    from uno.cli import registry_agent_adapters

    common.start()
    registry_agent_adapters.require_root()
    newest = registry_agent_adapters.newest(common.root)
    follower = Follower(
        target=newest.number,
        config_only=config_only,
        deadline=time.monotonic() + max_wait_time,
        say=_silent if output.json or common.verbosity < 0 else _print,
    )
    try:
        _follow(common.root, newest.plan.identity, follower)
    except asyncio.CancelledError:
        # What was released goes on with the next agent.
        raise typer.Exit(_INTERRUPTED) from None
    _conclude(follower, as_json=output.json, waited=max_wait_time)


@dataclass(kw_only=True)
class Follower:
    """Watches a roll-out: says what happens, and when it is over.

    `target` is the generation that is waited for, `deadline` a moment of `clock`. `last` is what
    was seen last; it `is_hopeless` where cells that are there will not have their packages.
    """

    target: int
    config_only: bool
    deadline: float
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    last: UvnView | None = None
    is_hopeless: bool = False
    began: float = field(init=False)
    _failed_at: float | None = None
    _missed: bool = False

    def __post_init__(self) -> None:
        """Start to count."""
        self.began = self.clock()

    def seen(self, view: UvnView) -> bool:
        """Take a look at `view`, and return whether it is over."""
        from uno.controller import rollout_events

        before, self.last = self.last, view
        for line in rollout_events.events(before, view) if before else ():
            self.say(line)
        if self.clock() >= self.deadline:
            return True
        if self.failed:
            return self._is_back(view)
        if self.done:
            return True
        is_at_rest = self._is_target(view) and not view.rollout
        if not is_at_rest or self.clock() - self.began < _FIRST_LOOK:
            return False
        if not self._missed:
            self._missed = True
            for line in self.missing():
                self.say(f"waiting: {line}")
        behind = [cell for cell in view.cells if not cell.consistent]
        self.is_hopeless = bool(behind) and all(map(_is_unwilling, behind))
        return self.is_hopeless

    @property
    def done(self) -> bool:
        """Whether all is as it should be."""
        view = self.last
        if view is None or view.rollout or not self._is_target(view) or not view.consistent:
            return False
        return self.config_only or view.routed

    @property
    def failed(self) -> bool:
        """Whether the generation that is waited for was given up."""
        view = self.last
        return view is not None and view.undone is not None and view.undone >= self.target

    def missing(self) -> Iterator[str]:
        """Yield who is not as he should be, and why."""
        from uno.cli.output.status_view import faults

        for cell in self.last.cells if self.last else ():
            if cell.consistent and self.config_only:
                continue
            for fault in faults(cell):
                yield f"{cell.name}  {fault}"

    def _is_target(self, view: UvnView) -> bool:
        return view.generation >= self.target and view.undone is None

    def _is_back(self, view: UvnView) -> bool:
        """Whether all cells that can have gone back."""
        if self._failed_at is None:
            self._failed_at = self.clock()
        waited = self.clock() - self._failed_at
        # Nobody goes back where nobody went, as where the cells are ahead of this registry.
        return (
            view.generation == view.undone
            or all(cell.consistent for cell in view.cells if cell.alive)
            or waited >= _GOING_BACK
        )


def _follow(root: Path, identity: str, follower: Follower) -> None:
    """Be the registry's agent, or listen to the one that runs, until it is over."""
    from uno import control
    from uno.cli import registry_agent_adapters
    from uno.model.messages import REGISTRY

    path = control.socket_path(identity, REGISTRY)
    while True:
        try:
            if not control.is_served(path):
                registry_agent_adapters.run(root, release=True, until=follower.seen)
                return
            for view in control.follow(path, control.Want.SYNC):
                if follower.seen(view):
                    return
        except (control.AgentEnded, control.NoAgent):
            # Another `uno sync` was done earlier, or an agent was stopped: go on alone, and look
            # at everything anew.
            follower.last = None
            if follower.clock() >= follower.deadline:
                return
        except UnoError:
            if not _comes(path, folder=path.parent):
                raise


def _comes(path: Path, *, folder: Path) -> bool:
    """Whether another agent has started meanwhile; waits until it can be asked."""
    from uno import control
    from uno.agent.pidfile import running

    deadline = time.monotonic() + _STARTING
    while running(folder) is not None and time.monotonic() < deadline:
        if control.is_served(path):
            return True
        Event().wait(0.1)
    return False


def _conclude(follower: Follower, *, as_json: bool, waited: float) -> None:
    """Say how it ended; exit with status 1 if it is not done."""
    from uno.controller import rollout_events

    view, done = follower.last, follower.done
    if as_json and view is not None:
        from uno.cli.commands import watch_status
        from uno.cli.output import printing

        printing.json(
            {"done": done, "missing": list(follower.missing()), **watch_status.as_dict(view)}
        )
    if done and view is not None:
        if not as_json:
            _print(_success(follower, view))
        return
    if view is not None and follower.failed:
        failure: UnoError = ActionNeeded(
            rollout_events.verdict(view),
            "" if view.generation == view.undone else _still(view),
        )
    else:
        for line in () if as_json else follower.missing():
            _print(line)
        failure = (
            ActionNeeded(
                "not all cells took their packages",
                "change what is wrong there, and ask them again with: uno sync",
            )
            if follower.is_hopeless
            else TransientFailure(
                f"not done within {waited:g} s",
                "cells that are away catch up when an agent of the registry runs: uno agent",
            )
        )
    if as_json:
        raise typer.Exit(1)
    raise failure


def _is_unwilling(cell: CellView) -> bool:
    """Whether a cell that is heard said that it will not run its package."""
    from uno.model.messages import Phase

    ack = cell.ack
    if not cell.alive or ack is None or ack.generation != cell.package:
        return False
    return ack.phase in {Phase.REFUSED, Phase.FAILED, Phase.REVERTED}


def _success(follower: Follower, view: UvnView) -> str:
    from uno.cli.output import printing

    cells = printing.count(len(view.cells), "cell")
    took = f"{follower.clock() - follower.began:.1f} s"
    one = len(view.cells) == 1
    routes = "" if follower.config_only else f", and reach{'es' if one else ''} every LAN"
    return f"{cells} run{'s' if one else ''} generation {view.generation}{routes} ({took})."


def _still(view: UvnView) -> str:
    return (
        f"the cells go on with generation {view.generation}; change what was wrong, or try again,"
        " and then: uno sync"
    )


def _print(line: str) -> None:
    import sys
    import textwrap

    print(textwrap.fill(line, 80, subsequent_indent="  ", break_on_hyphens=False))
    sys.stdout.flush()


def _silent(_line: str) -> None:
    return
