"""A change and its verification as values for programs (`--json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uno.model import codec
from uno.planning.diff import per_cell, plan_diff
from uno.planning.survivability import report
from uno.registry.changes import history

if TYPE_CHECKING:
    from uno.model.plan import Plan
    from uno.planning.diff.per_cell import Impact
    from uno.registry.changes.operations import Change


def impacts(made: Change) -> tuple[Impact, ...]:
    """Return what a change means for each cell that it means something for."""
    return per_cell.impacts(made.parent.plan if made.parent else None, made.after.plan)


def value(made: Change) -> dict[str, Any]:
    """Return all facts of a change, for programs."""
    parent = made.parent
    before = parent.plan if parent else None
    found = plan_diff.diff(before, made.after.plan) if made.is_made else plan_diff.PlanDiff()
    done = made.published
    return {
        "changed": made.is_made,
        "dry_run": made.is_dry_run,
        "before": made.before,
        "after": made.after.number,
        "declared": codec.to_builtins(
            history.differences(parent.uvn, made.after.uvn) if parent else ()
        ),
        "diff": codec.to_builtins(found),
        "cells": codec.to_builtins(impacts(made) if made.is_made else ()),
        "secrets": {"generated": made.keys, "revoked": made.revoked},
        "cell_packages": done.cell_packages,
        "particle_packages": done.particle_packages,
        "removed": done.removed,
        "particle_packages_postponed": done.stale,
        "verification": verification(made),
        "warnings": [str(warning) for warning in made.warnings],
    }


def verification(made: Change) -> dict[str, Any]:
    """Return what failures would cost after a change, for programs."""
    plan = made.after.plan
    return verified(report.verify(made.after.uvn, plan), plan)


def verified(found: report.Verification, plan: Plan) -> dict[str, Any]:
    """Return a verification for programs; `lines` are those that people read."""
    return {
        "is_whole": found.is_whole,
        "is_safe": found.is_safe,
        **codec.to_builtins(found),
        "lines": report.lines(found, plan),
    }
