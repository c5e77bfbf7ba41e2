"""The order in which links change their keys, so that no pair of cells is disconnected. Pure.

A link that changes keys in place is down for a moment. So links change in batches: the rest of the
backbone, while a batch changes, connects every pair that it connects now. A batch holds all links
that are not in a spanning forest, which prefers links that do not change any more: no batch can be
larger. Links without an alternative path change last, all together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from uno.model.key_ids import link_pair
from uno.model.plan import Link, Plan


def rekeyed(old: Plan, new: Plan) -> tuple[str, ...]:
    """Return the names of the links that are unchanged in `new` but for their keys."""
    before = {link.cells: link for link in old.links}
    return tuple(
        link.name
        for link in new.links
        if (was := before.get(link.cells)) and _placement(was) == _placement(link)
        if _keys(old, link) != _keys(new, link)
    )


def batches(
    plan: Plan, names: Collection[str], *, down: Collection[str] = ()
) -> tuple[tuple[str, ...], ...]:
    """Return `names` of links in the batches in which they change keys.

    Links that are `down` connect nothing: they are in the first batch, and are no alternative path.
    """
    changing = set(names)
    # Links between near ids first: such a forest resembles a path, not a star, so that the rest of
    # the backbone is better connected when the forest itself changes.
    working = sorted((it for it in plan.links if it.name not in down), key=_distance)
    left = [link for link in working if link.name in changing]
    first = {link.name for link in plan.links if link.name in changing and link.name in down}
    found: list[tuple[str, ...]] = []
    while left:
        waiting = {link.name for link in left}
        settled = (link for link in working if link.name not in waiting)
        needed = _forest((*settled, *left))
        free = waiting - needed
        found.append(_sorted(plan, free or waiting))
        left = [link for link in left if free and link.name not in free]
    if first:
        found[:1] = [_sorted(plan, first.union(*found[:1]))]
    return tuple(found)


def rekeyed_for(plan: Plan, running: Mapping[int, Plan | None]) -> tuple[str, ...]:
    """Return the links of `running` cells that have other keys in `plan` than those in use.

    `running` maps each of the cells to the plan of the generation it runs, None if that is not
    known.
    """
    found = {
        name
        for cell, old in running.items()
        if old is not None
        for name in rekeyed(old, plan)
        if str(cell) in name.split("-")
    }
    return _sorted(plan, found)


def _placement(link: Link) -> tuple[object, ...]:
    ends = ((end.slot, end.port, end.address4, end.address6) for end in (link.a, link.b))
    return tuple(ends)


def _keys(plan: Plan, link: Link) -> tuple[str | None, ...]:
    return tuple(plan.public_keys.get(link_pair(link.name, cell)) for cell in link.cells)


def _distance(link: Link) -> tuple[int, int]:
    one, other = link.cells
    return other - one, one


def _sorted(plan: Plan, names: Collection[str]) -> tuple[str, ...]:
    return tuple(link.name for link in plan.links if link.name in names)


def _forest(links: Iterable[Link]) -> set[str]:
    """Return the links of a spanning forest that prefers those that come first (Kruskal, 1956)."""
    top: dict[int, int] = {}

    def find(cell: int) -> int:
        while (above := top.setdefault(cell, cell)) != cell:
            top[cell] = top.setdefault(above, above)
            cell = above
        return cell

    chosen = set()
    for link in links:
        one, other = map(find, link.cells)
        if one != other:
            top[one] = other
            chosen.add(link.name)
    return chosen
