"""`uno sync`: release the newest generation, and follow its roll-out."""

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

# Seconds that cells may take to roll back.
_ROLLBACK_TIMEOUT = 60.0

# Seconds until the cells that lag are printed: most have connected by then.
_FIRST_CONTACT = 20.0

# Seconds until an agent that starts serves its control socket.
_START_TIMEOUT = 15.0

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
            help="Wait for the configuration only, not for routes.",
        ),
    ] = False,
    max_wait_time: Annotated[
        float,
        typer.Option(
            "-t", "--max-wait-time", metavar="SECONDS", min=0, help="Maximum time to wait."
        ),
    ] = 3600,
) -> None:
    """Bring every cell to the newest generation, and wait for it.

    It waits until all cells run it and reach every LAN. Packages are staged on all cells,
    then activated together. If a cell refuses its package, nothing changes; if a cell rolls back,
    all do. A disconnected cell catches up when it connects. Exit status 1 if it does not finish in
    time; the output lists the cells that lag, and why.
    """
    import asyncio

    from uno import control
    from uno.cli import registry_agent_adapters
    from uno.model.messages import REGISTRY

    common.start()
    registry_agent_adapters.require_root()
    newest = registry_agent_adapters.newest(common.root)
    follower = RolloutFollower(
        target=newest.number,
        config_only=config_only,
        deadline=time.monotonic() + max_wait_time,
        report=_discard if output.json or common.verbosity < 0 else _print,
    )
    try:
        _follow(common.root, newest.plan.identity, follower)
    except asyncio.CancelledError:
        # The next agent continues the roll-out.
        raise typer.Exit(_INTERRUPTED) from None
    agent_runs = control.is_served(control.socket_path(newest.plan.identity, REGISTRY))
    _conclude(follower, as_json=output.json, waited=max_wait_time, agent_runs=agent_runs)


@dataclass(kw_only=True)
class RolloutFollower:
    """Follows a roll-out: reports its events, and decides when it is over.

    `target` is the generation to reach, `deadline` a time of `clock`, `last` the newest view. It
    `is_refused` if every cell that lags has refused or failed its package.
    """

    target: int
    config_only: bool
    deadline: float
    report: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    last: UvnView | None = None
    is_refused: bool = False
    began: float = field(init=False)
    _failed_at: float | None = None
    _reported_missing: bool = False

    def __post_init__(self) -> None:
        """Start to count."""
        self.began = self.clock()

    def evaluate(self, view: UvnView) -> bool:
        """Evaluate `view`, and return whether the roll-out is over."""
        from uno.controller import rollout_events

        before, self.last = self.last, view
        for line in rollout_events.events(before, view) if before else ():
            self.report(line)
        if self.clock() >= self.deadline:
            return True
        if self.failed:
            return self._is_rolled_back(view)
        if self.done:
            return True
        is_rolled_out = self._is_target(view) and not view.rollout
        if not is_rolled_out or self.clock() - self.began < _FIRST_CONTACT:
            return False
        if not self._reported_missing:
            self._reported_missing = True
            for line in self.missing():
                self.report(f"waiting: {line}")
        behind = [cell for cell in view.cells if not cell.consistent]
        self.is_refused = bool(behind) and all(it.unproven or _has_refused(it) for it in behind)
        return self.is_refused

    @property
    def done(self) -> bool:
        """Whether every cell runs the target, and all LANs are reachable unless `config_only`."""
        view = self.last
        if view is None or view.rollout or not self._is_target(view) or not view.consistent:
            return False
        return self.config_only or view.routed

    @property
    def failed(self) -> bool:
        """Whether the target was rolled back."""
        view = self.last
        return view is not None and view.undone is not None and view.undone >= self.target

    def missing(self) -> Iterator[str]:
        """Yield each cell that is not consistent or not routed, with the reason."""
        from uno.diagnosis.cell_faults import faults

        for cell in self.last.cells if self.last else ():
            if cell.consistent and self.config_only:
                continue
            for fault in faults(cell):
                yield f"{cell.name}  {fault}"

    def _is_target(self, view: UvnView) -> bool:
        return view.generation >= self.target and view.undone is None

    def _is_rolled_back(self, view: UvnView) -> bool:
        """Whether every cell that can has rolled back."""
        if self._failed_at is None:
            self._failed_at = self.clock()
        waited = self.clock() - self._failed_at
        # Where no cell ran the generation, as with cells ahead of this registry, none rolls back.
        return (
            view.generation == view.undone
            or all(cell.consistent for cell in view.cells if cell.alive)
            or waited >= _ROLLBACK_TIMEOUT
        )


def _follow(root: Path, identity: str, follower: RolloutFollower) -> None:
    """Run the registry's agent, or follow the one that runs, until the roll-out is over."""
    from uno import control
    from uno.cli import registry_agent_adapters
    from uno.model.messages import REGISTRY

    path = control.socket_path(identity, REGISTRY)
    while True:
        is_followed = control.is_served(path)
        try:
            if not is_followed:
                registry_agent_adapters.run(root, release=True, until=follower.evaluate)
                return
            for view in control.watch_views(path, control.ControlRequest.SYNC):
                if follower.evaluate(view):
                    return
        except (control.AgentEnded, control.NoAgent):
            # Another `uno sync` has finished, or an agent was stopped: continue without it, from a
            # fresh view.
            follower.last = None
            if follower.clock() >= follower.deadline:
                return
        except UnoError as error:
            # What the agent refuses, it refuses again.
            is_refused = is_followed and not error.transient
            is_late = follower.clock() >= follower.deadline
            if is_refused or is_late or not _agent_starts(path, folder=path.parent):
                raise


def _agent_starts(path: Path, *, folder: Path) -> bool:
    """Whether another agent has started; waits until it serves its control socket."""
    from uno import control
    from uno.agent.pidfile import running

    deadline = time.monotonic() + _START_TIMEOUT
    while running(folder) is not None and time.monotonic() < deadline:
        if control.is_served(path):
            return True
        Event().wait(0.1)
    return False


def _conclude(follower: RolloutFollower, *, as_json: bool, waited: float, agent_runs: bool) -> None:
    """Print the result; exit with status 1 if the roll-out did not finish."""
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
            rollout_events.failure(view),
            "" if view.generation == view.undone else _after_rollback(view),
        )
    else:
        for line in () if as_json else follower.missing():
            _print(line)
        failure = (
            ActionNeeded(
                "not all cells accepted their packages",
                "fix the cause there, and run again: uno sync",
            )
            if follower.is_refused
            else _unfinished(follower, waited, agent_runs=agent_runs)
        )
    if as_json:
        raise typer.Exit(1)
    raise failure


def _has_refused(cell: CellView) -> bool:
    """Whether a connected cell has refused, failed or rolled back its package."""
    from uno.model.messages import Phase

    ack = cell.ack
    if not cell.alive or ack is None or ack.generation != cell.package:
        return False
    return ack.phase in {Phase.REFUSED, Phase.FAILED, Phase.REVERTED}


def _success(follower: RolloutFollower, view: UvnView) -> str:
    from uno.cli.output import printing

    cells = printing.count(len(view.cells), "cell")
    took = f"{follower.clock() - follower.began:.1f} s"
    one = len(view.cells) == 1
    routes = "" if follower.config_only else f", and reach{'es' if one else ''} every LAN"
    return f"{cells} run{'s' if one else ''} generation {view.generation}{routes} ({took})."


def _after_rollback(view: UvnView) -> str:
    return (
        f"the cells stay at generation {view.generation}; fix the cause and run: uno sync; or go"
        f" back to it: uno rollback {view.generation}"
    )


def _unfinished(follower: RolloutFollower, waited: float, *, agent_runs: bool) -> UnoError:
    from uno.cli.output import printing

    cells = follower.last.cells if follower.last else ()
    running = sum(it.status is not None and it.status.generation == follower.target for it in cells)
    what = f"not finished after {waited:g} s"
    if cells:
        what += f": {running} of {printing.count(len(cells), 'cell')}"
        what += f" {'runs' if running == 1 else 'run'} generation {follower.target}"
    return TransientFailure(
        what,
        "the registry's agent is running; cells get it when they connect"
        if agent_runs
        else "cells get it when they connect and the registry's agent runs: uno agent",
    )


def _print(line: str) -> None:
    import sys

    from uno.cli.output import wrapping

    print(wrapping.wrapped(line))
    sys.stdout.flush()


def _discard(_line: str) -> None:
    return
