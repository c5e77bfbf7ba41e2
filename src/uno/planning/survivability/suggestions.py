"""The least change of a definition after which failures cost less, found by trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

from msgspec import Struct
from msgspec.structs import replace

from uno.diagnostics import Rejected, refuse_errors
from uno.model.plan import Member, Plan
from uno.model.uvn import Cell, Strategy, Uvn
from uno.planning.allocation import addresses
from uno.planning.survivability.failures import (
    FailureKind,
    cut_pairs_of,
    failure_cost,
    failure_impacts_of,
)
from uno.planning.topology.graph import Pair, adjacency, pair
from uno.planning.topology.link_selection import select_links

# Static links are proposed one by one, and never more than this many.
_LINKS = 6
# How many cells of each side a static link is tried with, those with the fewest links first.
_TRIED = 4
# The LANs of a cell that is proposed, one of each IP version, so that what is said to be fixed is
# fixed for them too (RFC 5737, RFC 3849).
_LANS = IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/64")


class Suggestion(Struct, frozen=True, kw_only=True):
    """A change, as text, and how many of the findings remain after it.

    `private_uplinks`, `public_cells` (how many more) and `links` (by names of cells) are the same
    change for programs. A public cell that is proposed has an address that no other has. It counts
    as one with LANs, and serves particles as those of the UVN do; `left` is no higher for another.
    """

    what: str
    left: int = 0
    private_uplinks: int | None = None
    public_cells: int = 0
    links: tuple[tuple[str, str], ...] = ()


def suggestion(uvn: Uvn, plan: Plan, *, depth: int = 1) -> Suggestion | None:
    """Return the least change that removes all findings, or else most; None if none removes any.

    With `depth` 2 two links may be lost at once. Settings come before links, and links before
    cells that would have to be bought.
    """
    members = [cell.member for cell in plan.cells]
    now = _findings(members, (link.cells for link in plan.links), depth)
    if not now:
        return None
    best: Suggestion | None = None
    for candidate in _candidates(uvn, plan, members, depth):
        if not candidate.left:
            return candidate
        if candidate.left < (best.left if best else now):
            best = candidate
    return best


def _candidates(uvn: Uvn, plan: Plan, members: list[Member], depth: int) -> Iterator[Suggestion]:
    if uvn.settings.deployment.strategy is Strategy.STATIC:
        yield _static(plan, members, depth)
        return
    more = max(uvn.settings.deployment.private_uplinks, depth) + 1
    options = [(more, 0), (None, 1), (more, 1), (None, 2), (more, 2)]
    has_uplinks = uvn.settings.deployment.strategy in (Strategy.CROSSED, Strategy.CIRCULAR)
    private = any(member.endpoint is None for member in members)
    for uplinks, public in options:
        if uplinks is not None and not (has_uplinks and private):
            continue
        changed = _with(uvn, uplinks, public)
        left = _left(changed, plan, members, depth)
        if left is not None:
            yield Suggestion(
                what=" and ".join(_words(uplinks, public)),
                left=left,
                private_uplinks=uplinks,
                public_cells=public,
            )


def _with(uvn: Uvn, uplinks: int | None, public: int) -> Uvn:
    deployment = uvn.settings.deployment
    deployment = replace(deployment, private_uplinks=uplinks or deployment.private_uplinks)
    new = tuple(
        Cell(
            id=uvn.next_cell + at,
            name=f"new-{at}",
            owner=uvn.owner,
            address=f"new-{at}.invalid",
            allowed_lans=_LANS,
        )
        for at in range(public)
    )
    return replace(
        uvn,
        cells=(*uvn.cells, *new),
        settings=replace(uvn.settings, deployment=deployment),
    )


def _left(changed: Uvn, plan: Plan, members: list[Member], depth: int) -> int | None:
    """Return how many findings `changed` has; None if its links cannot be chosen."""
    try:
        refuse_errors(addresses.shortages(changed, addresses.pools(changed)))
        pairs = select_links(changed, plan).pairs
    except Rejected:
        return None
    known = {member.id for member in members}
    some = members[0]
    versions = {lan.version for member in members for lan in member.lans}
    added = [
        replace(
            some,
            id=cell.id,
            name=cell.name,
            endpoint=cell.address,
            lans=tuple(lan for lan in cell.allowed_lans if lan.version in versions),
            serves_particles=changed.settings.enable_particles_vpn,
        )
        for cell in changed.active_cells
        if cell.id not in known
    ]
    return _findings([*members, *added], pairs, depth)


def _findings(members: Iterable[Member], pairs: Iterable[Pair], depth: int) -> int:
    return failure_cost(members, pairs, depth=depth).findings


def _words(uplinks: int | None, public: int) -> Iterator[str]:
    if uplinks is not None:
        yield f"private_uplinks: {uplinks}"
    if public:
        yield "one more public cell" if public == 1 else f"{public} more public cells"


def _static(plan: Plan, members: list[Member], depth: int) -> Suggestion:
    """Add the link that removes most findings, repeatedly, until none is left or none helps."""
    names = {member.id: member.name for member in members}
    pairs = {link.cells for link in plan.links}
    cost = failure_cost(members, pairs, depth=depth)
    added: list[Pair] = []
    while cost.findings and len(added) < _LINKS:
        tried = {
            each: failure_cost(members, {*pairs, each}, depth=depth)
            for each in _links(members, pairs)
        }
        chosen = min(tried, key=lambda each: (tried[each], each), default=None)
        if chosen is None or tried[chosen] >= cost:
            break
        cost = tried[chosen]
        pairs.add(chosen)
        added.append(chosen)
    left = cost.findings
    links = tuple((names[one], names[other]) for one, other in added)
    named = ", ".join(f"{one} ↔ {other}" for one, other in links)
    return Suggestion(
        what=f"{'a link' if len(links) == 1 else 'links'} {named}" if links else "",
        left=left,
        links=links,
    )


def _links(members: list[Member], pairs: set[Pair]) -> Iterator[Pair]:
    """Yield links that go around the first failure found."""
    public = {member.id for member in members if member.endpoint}
    degree = {cell: len(each) for cell, each in adjacency([m.id for m in members], pairs).items()}

    def fewest(cells: Iterable[int]) -> list[int]:
        return sorted(cells, key=lambda cell: (cell not in public, degree[cell], cell))[:_TRIED]

    found = failure_impacts_of(members, pairs)
    groups = [group for loss in found[:_TRIED] for group in loss.cut_off]
    failed = {
        cell
        for loss in found[:_TRIED]
        if loss.kind in {FailureKind.CELL, FailureKind.SITE}
        for cell in loss.failed
    }
    if not found:
        groups = [piece for each in cut_pairs_of(members, pairs)[:1] for piece in each.pieces]
    for group in groups[:_TRIED]:
        inside = fewest(set(group) - failed)
        outside = fewest(degree.keys() - set(group) - failed)
        for one in inside:
            for other in outside:
                if pair(one, other) not in pairs and {one, other} & public:
                    yield pair(one, other)
