"""The activation of a rollout: the cells that switch, and the order in which links rekey. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from uno.controller.rekey_batches import batches, rekeyed_for
from uno.controller.rollout import CellObservation, Rollout, is_confirmed
from uno.model.messages import Activation
from uno.model.plan import Plan
from uno.model.trust import TrustUpdate

# Seconds from one batch of links to the next: drain, rekey, handshake and session.
BATCH_INTERVAL = 4.0


def activation(
    rollout: Rollout,
    observed: Mapping[int, CellObservation],
    *,
    plans: Mapping[int, Plan],
    running: Mapping[int, int],
    confirm_timeout: float,
    trust: TrustUpdate,
) -> Activation:
    """Return the activation for all cells in `rollout.activated`.

    `plans` are known by generation, and `running` has the generation that each cell runs now. Links
    to cells that are left behind hold their keys, unless these are revoked by `trust`.
    """
    release = rollout.release
    plan = plans[release.generation]
    old_plans = {cell: plans.get(running.get(cell, 0)) for cell in release.cells}
    activated = rollout.activated.keys()
    behind = {
        cell: old_plans[cell]
        for cell, package in release.cells.items()
        if cell not in activated
        and not is_confirmed(package, observed.get(cell, CellObservation()))
        and cell not in trust.revoked_cells(running.get(cell, 0))
    }
    hold = rekeyed_for(plan, behind)
    changing = rekeyed_for(plan, {cell: old_plans[cell] for cell in activated if cell in old_plans})
    return Activation(
        generation=release.generation,
        cells=dict(rollout.activated),
        confirm_timeout=confirm_timeout,
        batches=batches(plan, set(changing) - set(hold), down=_links_down(plan, observed)),
        period=BATCH_INTERVAL,
        hold=hold,
    )


def undo(rollout: Rollout) -> Activation | None:
    """Return the activation that rolls all activated cells back, None if there are none."""
    if not rollout.activated:
        return None
    return Activation(
        generation=rollout.release.generation, cells=dict(rollout.activated), undo=True
    )


def _links_down(plan: Plan, observed: Mapping[int, CellObservation]) -> set[str]:
    """Return the links that one of their ends reports as down."""
    broken = {
        frozenset((cell, link.cell))
        for cell, one in observed.items()
        if one.status is not None
        for link in one.status.links
        if not link.works
    }
    return {link.name for link in plan.links if frozenset(link.cells) in broken}
