"""What a new plan changes, as a value for programs and as lines for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from msgspec import Struct

from uno.model.plan import CellPlan, Link, LinkEnd, Plan, PlannedCell, PlannedParticle
from uno.planning.cell_plans import cell_plans, roster
from uno.planning.diff import diff_text
from uno.planning.planner import required_keys


class Item(Struct, frozen=True, kw_only=True):
    """A cell, particle or link that comes, goes or changes.

    `id` is that of the cell or particle, for a link the ids of its cells (`1-2`). `name` is for
    people. `details` describe it, or what changes about it.
    """

    id: str
    name: str
    details: tuple[str, ...] = ()


class ItemDiff(Struct, frozen=True, kw_only=True):
    """All of one kind that come, go or change, in order of their ids."""

    added: tuple[Item, ...] = ()
    removed: tuple[Item, ...] = ()
    changed: tuple[Item, ...] = ()


class KeyCounts(Struct, frozen=True, kw_only=True):
    """How many key pairs come, go, or are replaced under the same id."""

    added: int = 0
    removed: int = 0
    replaced: int = 0


class PlanDiff(Struct, frozen=True, kw_only=True):
    """What is different in a new plan.

    `settings` are changes of the UVN as a whole. `cell_plans` are the ids of the cells whose
    `CellPlan` changes (new cells included, removed ones not). `roster`: the roster changes, and
    with it the packages of all cells.
    """

    settings: tuple[str, ...] = ()
    cells: ItemDiff = ItemDiff()
    particles: ItemDiff = ItemDiff()
    links: ItemDiff = ItemDiff()
    keys: KeyCounts = KeyCounts()
    cell_plans: tuple[int, ...] = ()
    roster: bool = False


def diff(old: Plan | None, new: Plan) -> PlanDiff:
    """Return what `new` changes; without `old`, all of it is new."""
    names = _names(old) | _names(new)
    return PlanDiff(
        settings=diff_text.settings(old, new) if old else (),
        cells=_items(
            _by_id(old.cells if old else (), _cell_id),
            _by_id(new.cells, _cell_id),
            name=lambda cell: cell.member.name,
            describe=diff_text.cell,
            compare=diff_text.cell_changes,
        ),
        particles=_items(
            _by_id(old.particles if old else (), _particle_id),
            _by_id(new.particles, _particle_id),
            name=lambda particle: particle.name,
            describe=diff_text.particle,
            compare=diff_text.particle_changes,
        ),
        links=_items(
            _by_id(old.links if old else (), _cells_of_link),
            _by_id(new.links, _cells_of_link),
            name=lambda link: f"{names[link.a.cell]} ↔ {names[link.b.cell]}",
            describe=diff_text.link,
            compare=_link_changes(old, new, names),
        ),
        keys=_key_counts(old, new),
        cell_plans=_changed_cell_plans(old, new),
        roster=old is None or roster(old) != roster(new),
    )


def lines(diff: PlanDiff) -> tuple[str, ...]:
    """Return `diff` for people, a line for each item: `+` comes, `-` goes, `~` changes."""
    found = [f"~ {setting}" for setting in diff.settings]
    for kind, items in (("cell", diff.cells), ("particle", diff.particles), ("link", diff.links)):
        for sign, group in (("+", items.added), ("-", items.removed), ("~", items.changed)):
            found += ["  ".join((f"{sign} {kind} {each.name}", *each.details)) for each in group]
    counts = {"new": diff.keys.added, "removed": diff.keys.removed, "replaced": diff.keys.replaced}
    keys = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return (*found, f"  keys: {keys}") if keys else tuple(found)


_T = TypeVar("_T", PlannedCell, PlannedParticle, Link)
_Id = tuple[int, ...]


def _items(
    old: Mapping[_Id, _T],
    new: Mapping[_Id, _T],
    *,
    name: Callable[[_T], str],
    describe: Callable[[_T], tuple[str, ...]],
    compare: Callable[[_T, _T], tuple[str, ...]],
) -> ItemDiff:
    def item(key: _Id, value: _T, details: tuple[str, ...]) -> Item:
        return Item(id="-".join(map(str, key)), name=name(value), details=details)

    changes = {key: compare(old[key], new[key]) for key in sorted(old.keys() & new.keys())}
    return ItemDiff(
        added=tuple(item(key, new[key], describe(new[key])) for key in sorted(new.keys() - old)),
        removed=tuple(item(key, old[key], describe(old[key])) for key in sorted(old.keys() - new)),
        changed=tuple(item(key, new[key], what) for key, what in changes.items() if what),
    )


def _link_changes(
    old: Plan | None, new: Plan, names: Mapping[int, str]
) -> Callable[[Link, Link], tuple[str, ...]]:
    # A new or removed cell changes the import policy of every link; the cell is listed once.
    both = {cell.member.id for cell in old.cells} if old else set()
    both &= {cell.member.id for cell in new.cells}

    def imported(before: LinkEnd, after: LinkEnd) -> tuple[str, ...]:
        if before.import_origins == after.import_origins:
            return ()
        was, becomes = _imported(before, both), _imported(after, both)
        more = [names[each] for each in sorted(becomes - was)]
        less = [names[each] for each in sorted(was - becomes)]
        return diff_text.import_origins(names[after.cell], more, less)

    def compare(before: Link, after: Link) -> tuple[str, ...]:
        return (
            *diff_text.link_changes(before, after, names),
            *imported(before.a, after.a),
            *imported(before.b, after.b),
        )

    return compare


def _imported(end: LinkEnd, among: AbstractSet[int]) -> AbstractSet[int]:
    listed = among & set(end.import_origins.cells)
    return among - listed if end.import_origins.complement else listed


def _changed_cell_plans(old: Plan | None, new: Plan) -> tuple[int, ...]:
    before: Mapping[int, CellPlan] = cell_plans(old) if old else {}
    after = cell_plans(new)
    return tuple(cell for cell in sorted(after) if before.get(cell) != after[cell])


def _key_counts(old: Plan | None, new: Plan) -> KeyCounts:
    before = set(required_keys(old).pairs) if old else set()
    after = set(required_keys(new).pairs)
    known = old.public_keys if old else {}
    kept = before & after & known.keys() & new.public_keys.keys()
    return KeyCounts(
        added=len(after - before),
        removed=len(before - after),
        replaced=sum(known[each] != new.public_keys[each] for each in kept),
    )


def _names(plan: Plan | None) -> dict[int, str]:
    return {cell.member.id: cell.member.name for cell in plan.cells} if plan else {}


def _by_id(values: Iterable[_T], key: Callable[[_T], _Id]) -> dict[_Id, _T]:
    return {key(value): value for value in values}


def _cell_id(cell: PlannedCell) -> _Id:
    return (cell.member.id,)


def _particle_id(particle: PlannedParticle) -> _Id:
    return (particle.id,)


def _cells_of_link(link: Link) -> _Id:
    return link.cells
