"""The report of a change: definition, plan, cost of failures, files, and the next command."""

# ruff: noqa: PLC0415 - only commands that change something need what is imported below

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.cli.output import printing
from uno.cli.output.printing import count
from uno.cli.output.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from uno.cli.input.options import Changing, Common
    from uno.registry.changes.operations import Change

# Lines of a change that fit on a screen; -v prints all of them.
_LINES = 40
# Costs of failures that are printed; `uno verify` prints all of them.
_COSTS = 5
# File names that fit on a line or two.
_NAMES = 4


def print_change(common: Changing, done: str, made: Change, *, notes: Sequence[str] = ()) -> None:
    """Print a change as text or, with `--json`, as a value; `done` is the title of a real one."""
    if common.json:
        # Here, since no other report needs all facts of a change.
        from uno.cli.output import change_values

        printing.json(change_values.value(made))
    else:
        print_text(common, done, made, notes=notes)


def print_text(common: Common, done: str, made: Change, *, notes: Sequence[str] = ()) -> None:
    """Print what a change did to definition, plan and files, `notes` on it, and what comes next."""
    for warning in made.warnings:
        printing.message(common, f"warning: {warning}")
    if common.verbosity < 0:
        return
    out = printing.console()
    if not made.is_made:
        out.print(f"No change: generation {made.after.number} already has this.")
        return
    before = f"{made.before} → " if made.before else ""
    title = "Dry run: nothing was changed." if made.is_dry_run else done
    out.print(title, style="bold", markup=False)
    out.print(f"generation {before}{made.after.number}")
    _diff(out, made.lines, everything=common.verbosity > 0)
    _failure_costs(out, made, everything=common.verbosity > 0)
    for line in (*_files(common, made), *notes):
        out.print(wrapped(line), markup=False)
    for line in () if made.is_dry_run else _following(made):
        out.print(wrapped(line), style="dim", markup=False)


def failure_costs(out: Console, lines: Sequence[str]) -> None:
    """Print what failures would cost, losses in red, suggestions in cyan."""
    for at, line in enumerate(lines):
        style = "bold red" if line.startswith("!") else "green" if len(lines) == 1 else ""
        style = "cyan" if at and not line.startswith("!") else style
        out.print(wrapped(line), style=style, markup=False)


def _diff(out: Console, lines: Sequence[str], *, everything: bool) -> None:
    shown = lines if everything else lines[:_LINES]
    for line in shown:
        printing.change_line(out, line)
    if len(shown) < len(lines):
        out.print(f"… and {len(lines) - len(shown):,} more lines; -v shows them", style="dim")


def _failure_costs(out: Console, made: Change, *, everything: bool) -> None:
    """Print what failures would cost, where a change is one of cells or links."""
    # Here, since most commands print no change.
    from uno.planning.survivability import report

    plan = made.after.plan
    before = made.parent.plan if made.parent else None
    if len(plan.cells) < 2 or (before and (before.cells, before.links) == (plan.cells, plan.links)):
        return
    found = report.verify(made.after.uvn, plan)
    failure_costs(out, report.lines(found, plan, limit=None if everything else _COSTS))


def _files(common: Common, made: Change) -> list[str]:
    done, root = made.published, common.root
    lines = []
    if done.cell_packages:
        lines.append(_written("cell package", done.cell_packages, root / "cells", made))
    if done.particle_packages:
        lines.append(_written("particle package", done.particle_packages, root / "particles", made))
    if done.removed:
        verb = "would delete" if made.is_dry_run else "deleted"
        noun = "package" if len(done.removed) == 1 else "packages"
        lines.append(f"{verb} outdated {noun}: {_some(done.removed)}")
    if done.stale:
        lines.append(
            f"{count(done.stale, 'particle package')} postponed; write them with: uno packages"
        )
    if not done.cell_packages and not _removed_cell_packages(done.removed):
        lines.append("no cell is affected")
    return lines


def _removed_cell_packages(names: Sequence[str]) -> bool:
    from uno.render import package_file

    return any(name.endswith(package_file.SUFFIX) for name in names)


def _written(noun: str, names: Sequence[str], place: Path, made: Change) -> str:
    verb = "would be written" if made.is_dry_run else "written"
    return f"{count(len(names), noun)} {verb} to {place}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES]) + (
        f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    )


def _following(made: Change) -> Iterator[str]:
    """Yield what to do after a change, and where that is described."""
    if following := _next(made):
        yield following
    yield from _guides(made)


def _next(made: Change) -> str:
    plan = made.after.plan
    if not plan.cells:
        return "next: uno define cell NAME -a ADDRESS -N LAN"
    if not made.published.cell_packages:
        return ""
    by_hand = "copy each package to its host and run there: uno install PACKAGE -r DIR"
    if plan.root is None:
        return f"next: {by_hand}"
    if not made.was_released:
        return f"next: {by_hand}; once agents run there, here: uno sync"
    before = {cell.member.id for cell in made.parent.plan.cells} if made.parent else set()
    new = [cell.member.name for cell in plan.cells if cell.member.id not in before]
    if new:
        places = "its host" if len(new) == 1 else "their hosts"
        return (
            f"next: copy the package{'' if len(new) == 1 else 's'} of {_some(new)} to {places}, run"
            " there: uno install PACKAGE -r DIR, and here: uno sync"
        )
    return f"next: uno sync; or for cells without an agent, {by_hand}"


def _guides(made: Change) -> Iterator[str]:
    """Yield the commands that guide through what is new."""
    before = made.parent.plan if made.parent else None
    cells = {it.member.id for it in before.cells} if before else set()
    particles = {it.id for it in before.particles} if before else set()
    plan = made.after.plan
    if new := [it.member.name for it in plan.cells if it.member.id not in cells]:
        one = len(new) == 1
        whose = f"of {new[0]}" if one else "of each"
        yield f"ports, routes and commands {whose}: uno guide {new[0] if one else 'CELL'}"
    new = [it.name for it in plan.particles if it.id not in particles]
    if new and made.published.particle_packages:
        one = len(new) == 1
        whose = f"of {new[0]}" if one else "of each"
        yield f"QR codes {whose}: uno show particle {new[0] if one else 'NAME'} --qr"
