"""What cells are told to change over: who, in which order links, and which links not. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from uno.controller.rekey_batches import batches, rekeyed_for
from uno.controller.rollout import Heard, Rollout, is_done
from uno.model.messages import Activation
from uno.model.plan import Plan

# Seconds from one batch of links to the next: drained, changed, and up again.
PERIOD = 4.0


def activation(
    rollout: Rollout,
    heard: Mapping[int, Heard],
    *,
    plans: Mapping[int, Plan],
    runs: Mapping[int, int],
    confirm_timeout: float,
) -> Activation:
    """Return the word to change over for all that are `activated`.

    `plans` are known by generation, and `runs` has the generation that each cell runs now.
    """
    release = rollout.release
    plan = plans[release.generation]
    running = {cell: plans.get(runs.get(cell, 0)) for cell in release.cells}
    told = rollout.activated.keys()
    behind = {
        cell: running[cell]
        for cell, package in release.cells.items()
        if cell not in told and not is_done(package, heard.get(cell, Heard()))
    }
    hold = rekeyed_for(plan, behind)
    changing = rekeyed_for(plan, {cell: running[cell] for cell in told if cell in running})
    return Activation(
        generation=release.generation,
        cells=dict(rollout.activated),
        confirm_timeout=confirm_timeout,
        batches=batches(plan, set(changing) - set(hold), down=_down(plan, heard)),
        period=PERIOD,
        hold=hold,
    )


def undo(rollout: Rollout) -> Activation | None:
    """Return the word to go back for all that were activated, None if nobody was."""
    if not rollout.activated:
        return None
    return Activation(
        generation=rollout.release.generation, cells=dict(rollout.activated), undo=True
    )


def _down(plan: Plan, heard: Mapping[int, Heard]) -> set[str]:
    """Return the links over which nothing goes now, as far as one of their ends says so."""
    broken = {
        frozenset((cell, link.cell))
        for cell, one in heard.items()
        if one.status is not None
        for link in one.status.links
        if not link.works
    }
    return {link.name for link in plan.links if frozenset(link.cells) in broken}
