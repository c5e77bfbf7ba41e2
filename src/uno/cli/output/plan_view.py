"""The table of `uno plan`: what a change does to each cell, and the totals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.cli.output import change_report, change_values, printing
from uno.planning.diff import plan_diff
from uno.registry.publish import cell_packages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uno.cli.input.options import Common, JsonOption
    from uno.planning.diff.per_cell import Delta, Impact
    from uno.registry.changes.operations import Change

# So many cells fit on a screen; -v shows them all.
_ROWS = 20


def show_plan(
    common: Common, output: JsonOption, made: Change, *, notes: Sequence[str] = ()
) -> None:
    """Print what a change would do, cell by cell too."""
    if output.json:
        printing.json(change_values.value(made))
        return
    change_report.print_text(common, "", made, notes=notes)
    if not made.is_made or common.verbosity < 0:
        return
    found = change_values.impacts(made)
    rewritten = set(made.published.cell_packages)
    shown = found if common.verbosity > 0 else found[:_ROWS]
    printing.heading("Per cell")
    printing.table(
        ("CELL", "LINKS", "ADDRESSES", "PORTS", "KEYS", "ROUTES", "PACKAGE"),
        [
            (
                each.name,
                _count(each.links, len(each.moved)),
                _count(each.addresses),
                _ports(each),
                _count(each.keys, len(each.rekeyed)),
                _count(each.routes),
                "changes"
                if cell_packages.file_name(made.after.plan.uvn, each.name) in rewritten
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
    printing.heading("Total")
    printing.result(_totals(made, found))
    _show_metered(made)


def _show_metered(made: Change) -> None:
    metered = change_values.metered(made)
    if not metered:
        return
    printing.heading("Metered")
    for each in metered[:_ROWS]:
        links = printing.count(each.links, "link")
        printing.result(
            f"{each.name}, {links}: at rest it sends about {each.total / 1e6:.2f} MB an hour;"
            f" a failed link is detected within {each.detection:g} s"
        )
        if each.bgp_kept > 0:
            printing.result(
                f"{each.name}: until its BGP sessions end they keep their timers, and cost about"
                f" {each.bgp_kept / 1e6:.2f} MB an hour more"
            )
    if len(metered) > _ROWS:
        printing.result(f"… and {printing.count(len(metered) - _ROWS, 'cell')} more")


def _count(delta: Delta, changed: int = 0) -> str | None:
    counts = (("+", len(delta.added)), ("-", len(delta.removed)), ("~", changed))
    return " ".join(f"{sign}{count}" for sign, count in counts if count) or None


def _ports(found: Impact) -> str | None:
    signed = (*(f"+{port}" for port in found.ports.added), *(f"-{p}" for p in found.ports.removed))
    return " ".join(signed) or None


def _totals(made: Change, found: Sequence[Impact]) -> str:
    difference = plan_diff.diff(made.parent.plan if made.parent else None, made.after.plan)
    links = difference.links
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
        ("keys", difference.keys.added, difference.keys.removed, difference.keys.replaced),
    )
    counts = [f"{noun} {_signed(*numbers)}" for noun, *numbers in lines]
    particles = len(done.particle_packages) + done.stale
    files = f"packages of {printing.count(len(done.cell_packages), 'cell')} and"
    files += f" {printing.count(particles, 'particle')} to write"
    return "; ".join((*counts, files))


def _signed(added: int, removed: int, changed: int) -> str:
    signs = (("+", added), ("-", removed), ("~", changed))
    return " ".join(f"{sign}{count:,}" for sign, count in signs if count) or "0"
