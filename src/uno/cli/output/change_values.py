"""A change and its verification as values for programs (`--json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uno.cli.output.metered_traffic import MeteredCell, metered_cells
from uno.model import codec
from uno.planning.diff import per_cell, plan_diff
from uno.planning.diff.per_cell import Impact
from uno.planning.survivability import report
from uno.registry.changes import history
from uno.registry.publish import cell_packages

if TYPE_CHECKING:
    from uno.model.plan import Plan
    from uno.registry.changes.operations import Change


def impacts(made: Change) -> tuple[Impact, ...]:
    """Return what a change means for each cell that it means something for.

    These are all cells whose package is written, also where nothing else is counted for them.
    """
    plan = made.after.plan
    found = {
        each.cell: each
        for each in per_cell.impacts(made.parent.plan if made.parent else None, plan)
    }
    written = set(made.published.cell_packages)
    for cell in plan.cells:
        member = cell.member
        if cell_packages.file_name(plan.uvn, member.name) in written:
            found.setdefault(member.id, Impact(cell=member.id, name=member.name))
    return tuple(found[cell] for cell in sorted(found))


def metered(made: Change) -> tuple[MeteredCell, ...]:
    """Return what the metered cells send at rest after a change."""
    return metered_cells(made.after.plan, made.parent.plan if made.parent else None)


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
        "metered": codec.to_builtins(
            [{**codec.to_builtins(each), "total": each.total} for each in metered(made)]
        ),
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
