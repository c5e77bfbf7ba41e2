"""The report of `uno verify`: what failures cost, as a value for programs and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from uno.model.net import Network
from uno.model.plan import Member, Plan
from uno.model.uvn import Uvn
from uno.planning.survivability.failures import (
    CutPairs,
    FailureImpact,
    FailureKind,
    Group,
    cut_pairs,
    failure_impacts,
    sites,
)
from uno.planning.survivability.suggestions import Suggestion, suggestion

# So many names of LANs or cells in a line, and then only how many more.
_NAMES = 3
_Lan = tuple[Member, Network]


class Verification(Struct, frozen=True, kw_only=True):
    """What was examined, what failures cost, and a change that would prevent it.

    `depth` is how many links may be lost at once. `cells`, `links`, `lans`, `hubs` (cells that
    serve particles) and `sites` (addresses that several cells share) are how many there are.
    `no_common_version` are the cells that have LANs of IPv4 alone, and those of IPv6 alone: hosts
    of the ones and of the others never reach each other, which no failure changes. It is empty
    where there are none of either.
    """

    depth: int
    cells: int
    links: int
    lans: int
    hubs: int
    sites: int = 0
    no_common_version: tuple[Group, ...] = ()
    failure_impacts: tuple[FailureImpact, ...] = ()
    cut_pairs: tuple[CutPairs, ...] = ()
    suggestion: Suggestion | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything of one IP version reaches everything while nothing fails."""
        return not any(loss.kind is FailureKind.NOTHING for loss in self.failure_impacts)

    @property
    def is_safe(self) -> bool:
        """Whether no failure that was examined costs anything."""
        return not (self.failure_impacts or self.cut_pairs)


def verify(uvn: Uvn, plan: Plan, *, depth: int = 1) -> Verification:
    """Examine every failure of a link, cell or site of `plan`; for `depth` 2 of pairs of links."""
    return Verification(
        depth=depth,
        cells=len(plan.cells),
        links=len(plan.links),
        lans=sum(len(cell.member.lans) for cell in plan.cells),
        hubs=sum(cell.member.serves_particles for cell in plan.cells),
        sites=len(sites(cell.member for cell in plan.cells)),
        no_common_version=_no_common_version(plan),
        failure_impacts=failure_impacts(plan),
        cut_pairs=cut_pairs(plan) if depth > 1 else (),
        suggestion=suggestion(uvn, plan, depth=depth),
    )


def _no_common_version(plan: Plan) -> tuple[Group, ...]:
    alone = {
        version: tuple(
            cell.member.id
            for cell in plan.cells
            if {lan.version for lan in cell.member.lans} == {version}
        )
        for version in (4, 6)
    }
    return tuple(alone.values()) if all(alone.values()) else ()


def lines(found: Verification, plan: Plan, *, limit: int | None = None) -> tuple[str, ...]:
    """Return `found` for people; lines of what is lost begin with `!`, at most `limit` of them."""
    members = {cell.member.id: cell.member for cell in plan.cells}
    lost = [*_dependences(found.failure_impacts, members), *_together(found.cut_pairs, members)]
    failures = f"any single link{', cell or site' if found.sites else ' or cell'} failure"
    if found.depth > 1:
        failures += ", and any two links lost at once"
    if not lost:
        return (f"Every LAN stays reachable under {failures}.", *_apart(found, members))
    shown = lost if limit is None else lost[:limit]
    rest = len(lost) - len(shown)
    return (
        f"Every LAN stays reachable under {failures}, except:",
        *(f"! {line}" for line in shown),
        *((f"! … and {rest:,} more; uno verify names them all",) if rest else ()),
        *_mended(found),
        *_apart(found, members),
    )


def _apart(found: Verification, members: Mapping[int, Member]) -> Iterator[str]:
    if found.no_common_version:
        one, other = (
            _lans([(members[cell], lan) for cell in group for lan in members[cell].lans])
            for group in found.no_common_version
        )
        yield (
            f"note: {one} and {other} have no IP version in common, "
            "so their hosts never reach each other."
        )


def _mended(found: Verification) -> Iterator[str]:
    if found.suggestion and found.suggestion.what:
        what, left = found.suggestion.what, found.suggestion.left
        # The key of a setting stays as it is written in a specification.
        shown = what if found.suggestion.private_uplinks else f"{what[0].upper()}{what[1:]}"
        yield f"{shown} would fix {f'all but {left:,}' if left else 'it'}."


def _dependences(found: Iterable[FailureImpact], members: Mapping[int, Member]) -> Iterator[str]:
    """Yield a sentence for each group that is cut off, with all that does so."""
    by_group: dict[Group, list[FailureImpact]] = {}
    for loss in found:
        for group in loss.cut_off:
            by_group.setdefault(group, []).append(loss)
    for group, failures in by_group.items():
        name = _name(group, members)
        if name is None:
            continue
        if any(loss.kind is FailureKind.NOTHING for loss in failures):
            yield f"{name} {_do(group, members, 'is', 'are')} apart from the others."
        elif causes := _failures(failures, members):
            yield f"{name} {_do(group, members, 'depends', 'depend')} on {causes}."


def _failures(failures: list[FailureImpact], members: Mapping[int, Member]) -> str:
    """Name what a group depends on: links and sites where it is not a matter of one cell."""
    cells = {loss.failed[0] for loss in failures if loss.kind is FailureKind.CELL}
    wider = [loss for loss in failures if not cells.intersection(loss.failed)]
    named = [
        *(f"cell {members[cell].name}" for cell in sorted(cells)),
        *(
            f"the link {_link(loss.failed, members)}"
            for loss in wider
            if loss.kind is FailureKind.LINK
        ),
        *(
            f"the site {members[loss.failed[0]].endpoint} "
            f"({_cells([members[cell] for cell in loss.failed])})"
            for loss in wider
            if loss.kind is FailureKind.SITE
        ),
    ]
    return " and on ".join(named)


def _together(found: Iterable[CutPairs], members: Mapping[int, Member]) -> Iterator[str]:
    for cycle in found:
        named = ", ".join(_some([_link(each, members) for each in cycle.links]))
        if len(cycle.links) > 2:
            yield f"any two of {len(cycle.links)} links part the cells between them: {named}."
            continue
        lighter = min(cycle.pieces, key=lambda piece: (_weight(piece, members), len(piece), piece))
        one, other = (_link(each, members) for each in sorted(cycle.links))
        name = _name(lighter, members) or "a part"
        are = _do(lighter, members, "depends", "depend")
        yield f"{name} {are} on one of two links: {one}, {other}."


def _weight(group: Group, members: Mapping[int, Member]) -> int:
    return sum(len(members[cell].lans) + members[cell].serves_particles for cell in group)


def _name(group: Group, members: Mapping[int, Member]) -> str | None:
    """Name what a group loses: its LANs, or else its particles; None if there is neither."""
    if lost := _lost_lans(group, members):
        return _lans(lost)
    hubs = [members[cell] for cell in group if members[cell].serves_particles]
    return f"particles at {_cells(hubs)}" if hubs else None


def _lost_lans(group: Group, members: Mapping[int, Member]) -> list[_Lan]:
    """Return the LANs of a group that lose something: LANs of their IP version, or particles."""
    outside = [members[cell] for cell in members.keys() - set(group)]
    versions = {lan.version for member in outside for lan in member.lans}
    served = any(member.serves_particles for member in outside)
    return [
        (members[cell], lan)
        for cell in group
        for lan in members[cell].lans
        if served or lan.version in versions
    ]


def _lans(found: list[_Lan]) -> str:
    owners = {member.id: member for member, _ in found}
    return f"{', '.join(_some([str(lan) for _, lan in found]))} ({_cells([*owners.values()])})"


def _cells(members: list[Member]) -> str:
    names = ", ".join(_some([member.name for member in members]))
    if len(members) > 1:
        return f"cells {names}"
    return f"{'' if members[0].endpoint else 'private '}cell {names}"


def _some(names: list[str]) -> list[str]:
    if len(names) <= _NAMES + 1:
        return names
    return [*names[:_NAMES], f"{len(names) - _NAMES:,} more"]


def _do(group: Group, members: Mapping[int, Member], one: str, several: str) -> str:
    return one if len(_lost_lans(group, members)) == 1 else several


def _link(cells: Iterable[int], members: Mapping[int, Member]) -> str:
    return " ↔ ".join(members[cell].name for cell in cells)
