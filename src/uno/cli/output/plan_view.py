"""A change as values for programs, and a plan of one for people: per cell, and in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uno.cli.output import printing
from uno.model import codec
from uno.planning.diff import per_cell, plan_diff
from uno.planning.survivability import report
from uno.registry.changes import history
from uno.registry.publish import cell_packages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.cli.options import Common, JsonOption
    from uno.model.plan import Plan
    from uno.planning.diff.per_cell import Delta, Impact
    from uno.registry.changes.operations import Change

# So many cells fit on a screen; -v shows them all.
_ROWS = 20


def show_plan(
    common: Common, output: JsonOption, made: Change, *, notes: Sequence[str] = ()
) -> None:
    """Print what a change would do, cell by cell too."""
    if output.json:
        printing.json(value(made))
        return
    printing.change(common, "", made, notes=notes)
    if not made.is_made or common.verbosity < 0:
        return
    found = impacts(made)
    bundled = set(made.published.bundles)
    shown = found if common.verbosity > 0 else found[:_ROWS]
    printing.heading("Per cell")
    printing.table(
        ("CELL", "LINKS", "ADDRESSES", "PORTS", "KEYS", "ROUTES", "BUNDLE"),
        [
            (
                each.name,
                _count(each.links, len(each.moved)),
                _count(each.addresses),
                _ports(each),
                _count(each.keys, len(each.rekeyed)),
                _count(each.routes),
                "changes"
                if cell_packages.file_name(made.after.plan.uvn, each.name) in bundled
                else None,
            )
            for each in shown
        ],
        empty="No cell is affected.",
    )
    if len(shown) < len(found):
        printing.result(
            f"… and {printing.count(len(found) - len(shown), 'cell')} more; -v shows them"
        )
    printing.heading("In all")
    printing.result(_totals(made, found))


def impacts(made: Change) -> tuple[Impact, ...]:
    """Return what a change means for each cell that it means something for."""
    return per_cell.impacts(made.parent.plan if made.parent else None, made.after.plan)


def value(made: Change) -> dict[str, Any]:
    """Return all that is known of a change, for programs."""
    parent = made.parent
    before = parent.plan if parent else None
    found = plan_diff.diff(before, made.after.plan) if made.is_made else plan_diff.PlanDiff()
    done = made.published
    return {
        "changed": made.is_made,
        "rehearsal": made.is_rehearsal,
        "before": made.before,
        "after": made.after.number,
        "declared": codec.to_builtins(
            history.differences(parent.uvn, made.after.uvn) if parent else ()
        ),
        "diff": codec.to_builtins(found),
        "cells": codec.to_builtins(impacts(made) if made.is_made else ()),
        "secrets": {"drawn": made.keys, "revoked": made.revoked},
        "bundles": done.bundles,
        "packages": done.packages,
        "removed": done.removed,
        "packages_to_make": done.stale,
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


def _count(delta: Delta, changed: int = 0) -> str | None:
    counts = (("+", len(delta.added)), ("-", len(delta.removed)), ("~", changed))
    return " ".join(f"{sign}{count}" for sign, count in counts if count) or None


def _ports(found: Impact) -> str | None:
    signed = (*(f"+{port}" for port in found.ports.added), *(f"-{p}" for p in found.ports.removed))
    return " ".join(signed) or None


def _totals(made: Change, found: Sequence[Impact]) -> str:
    told = plan_diff.diff(made.parent.plan if made.parent else None, made.after.plan)
    links = told.links
    done = made.published
    lines = (
        ("links", len(links.added), len(links.removed), len(links.changed)),
        (
            "addresses",
            sum(len(each.addresses.added) for each in found),
            sum(len(each.addresses.removed) for each in found),
            0,
        ),
        (
            "ports",
            sum(len(each.ports.added) for each in found),
            sum(len(each.ports.removed) for each in found),
            0,
        ),
        ("keys", told.keys.added, told.keys.removed, told.keys.replaced),
    )
    counts = [f"{noun} {_signed(*numbers)}" for noun, *numbers in lines]
    written = printing.count(len(done.bundles), "bundle")
    packages = printing.count(len(done.packages) + done.stale, "particle package")
    return "; ".join((*counts, f"{written} and {packages} to write"))


def _signed(added: int, removed: int, changed: int) -> str:
    signs = (("+", added), ("-", removed), ("~", changed))
    return " ".join(f"{sign}{count:,}" for sign, count in signs if count) or "0"
