"""A view for a client that has an earlier one: only what has changed since. Pure.

The rows that grow with the square of the cells do not travel: what a cell reaches follows from the
LANs of all cells, and from those that it has advertised as lost. Ages, which always grow, are apart
from the cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from uno.model.net import Network
from uno.model.status import CellStatus, CellView, UvnView

Lans: TypeAlias = Mapping[int, tuple[Network, ...]]
"""The LANs of each cell, by its id."""


class CellAges(Struct, frozen=True, array_like=True):
    """What of a `CellView` grows without a change."""

    cell: int
    age: float | None
    status_age: float | None


class ViewUpdate(Struct, frozen=True, kw_only=True):
    """What a client receives.

    `head` is the view without its cells, `ages` are of all of them, in their order. `cells` are
    those that have changed, without ages; what the statuses of those in `derived` reach is left
    out, as it follows from `lans`, the LANs of each cell, which are None if they are as before.
    """

    head: UvnView
    ages: tuple[CellAges, ...] = ()
    cells: tuple[CellView, ...] = ()
    derived: tuple[int, ...] = ()
    lans: tuple[tuple[int, tuple[Network, ...]], ...] | None = None


class ViewUpdates:
    """What one client has received."""

    def __init__(self) -> None:
        """Start with a client that has nothing."""
        self._sent: dict[int, CellView] = {}
        self._lans: Lans | None = None

    def next(self, view: UvnView, lans: Lans) -> ViewUpdate:
        """Return what makes the client's view `view`."""
        has_other_lans = lans != self._lans
        if has_other_lans:
            self._lans = lans
            self._sent.clear()
        changed, derived = [], []
        for cell in view.cells:
            bare = replace(cell, age=None, status_age=None)
            known = self._sent.get(cell.id)
            if known is not None and _is_same(known, bare):
                continue
            self._sent[cell.id] = bare
            status = cell.status
            if status is not None and status.reachable == _derived(status, cell.id, lans):
                derived.append(cell.id)
                bare = replace(bare, status=replace(status, reachable=()))
            changed.append(bare)
        return ViewUpdate(
            head=replace(view, cells=()),
            ages=tuple(
                CellAges(each.id, _rounded(each.age), _rounded(each.status_age))
                for each in view.cells
            ),
            cells=tuple(changed),
            derived=tuple(derived),
            lans=tuple(lans.items()) if has_other_lans else None,
        )


class FollowedView:
    """The view as a client has it."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._cells: dict[int, CellView] = {}
        self._lans: Lans = {}

    def apply(self, update: ViewUpdate) -> UvnView:
        """Return the view after an update. Raises `KeyError` for a cell that never came."""
        if update.lans is not None:
            self._lans = dict(update.lans)
        derived = frozenset(update.derived)
        for cell in update.cells:
            status = cell.status
            if status is not None and cell.id in derived:
                status = replace(status, reachable=_derived(status, cell.id, self._lans))
            self._cells[cell.id] = replace(cell, status=status)
        cells = tuple(
            replace(self._cells[each.cell], age=each.age, status_age=each.status_age)
            for each in update.ages
        )
        return replace(update.head, cells=cells)


def _is_same(one: CellView, other: CellView) -> bool:
    # A status that has not changed is the same value: it is seldom compared.
    if one.status is not other.status and one.status != other.status:
        return False
    return replace(one, status=None) == replace(other, status=None)


def _derived(status: CellStatus, cell: int, lans: Lans) -> tuple[Network, ...]:
    """Return the LANs of other cells but those that a status names as lost, by the cells' ids."""
    lost = frozenset(status.unreachable)
    others = (lan for each in sorted(lans) if each != cell for lan in lans[each])
    return tuple(lan for lan in others if lan not in lost) if lost else tuple(others)


def _rounded(age: float | None) -> float | None:
    return None if age is None else round(age, 2)
