"""What a generation changes, as lines: what was declared, and what follows from it. Pure.

Both are derived field by field, from the definition (`history`) and from the plan (`plan_diff`). So
every change has a line, also one that follows from nothing else or leads to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uno.planning.diff import plan_diff
from uno.registry.changes import history

if TYPE_CHECKING:
    from uno.model.plan import Plan
    from uno.model.uvn import Uvn
    from uno.registry.changes.history import Difference

# The plan has these as they are declared, so that its own lines name them.
_COPIED = {
    "cell": {
        "name",
        "owner",
        "address",
        "allowed_lans",
        "settings.httpd_port",
        "settings.location",
    },
    "particle": {"name", "owner"},
    "": {"owner", "settings.deployment.strategy"},
}


def lines(old: tuple[Uvn, Plan] | None, new: tuple[Uvn, Plan]) -> tuple[str, ...]:
    """Return what differs from `old` to `new`; without `old`, all of it is new."""
    decided = plan_diff.lines(plan_diff.diff(old[1] if old else None, new[1]))
    if old is None:
        return decided
    found = history.differences(old[0], new[0])
    before, after = _planned(old[1]), _planned(new[1])
    declared = [each for each in found if not _is_in_plan(each, before, after)]
    return (*history.lines(declared), *decided)


def _planned(plan: Plan) -> dict[str, tuple[str, int]]:
    """Return the kind and id of each cell and particle of a plan, by kind and name."""
    cells = {f"cell {cell.member.name}": ("cell", cell.member.id) for cell in plan.cells}
    return cells | {f"particle {each.name}": ("particle", each.id) for each in plan.particles}


def _is_in_plan(
    each: Difference, before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]]
) -> bool:
    """Whether the lines of the plan name this difference too."""
    if each.sign != "~":
        return each.thing in (after if each.sign == "+" else before)
    kind = each.thing.partition(" ")[0]
    stays = not kind or before.get(each.thing) in after.values()
    return stays and each.key in _COPIED.get(kind, ())
