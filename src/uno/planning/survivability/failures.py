"""What failures cost: which LANs lose each other when links, a cell or a site are lost.

Counted is traffic between any two LANs of one IP version, and from the particles at each serving
cell, which have addresses of both, to each LAN. The LANs of a failed cell do not count, since no
backbone can save them; neither does a cell that is cut off and has no LAN and serves no particles.

Public cells at one address are one site, behind one router and one Internet access. They can fail
one by one, and all at once.

The graph of links suffices, since BGP's import policy (`planning.import_policy`) stops no path in
it: each end imports whatever its neighbour reaches without it, which every simple path fulfils,
also when links and cells are missing. `planning.invariants` checks this of every plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from msgspec import Struct

from uno.model.plan import Member, Plan
from uno.model.syntax import same_host
from uno.planning.topology.graph import DfsTree, Pair, dfs_tree

Group = tuple[int, ...]


class FailureKind(StrEnum):
    """What has failed. A site is all public cells at one address."""

    NOTHING = "nothing"
    LINK = "link"
    CELL = "cell"
    SITE = "site"


class FailureImpact(Struct, frozen=True, kw_only=True):
    """One failure, and the cells that it cuts off from the others.

    `failed` are the two cell ids of a link, the one of a cell, all of a site; empty for what is
    apart with nothing failed. Each of `cut_off` is a group of cell ids, still linked among
    themselves, that loses something. The one with the most LANs is left out, since that is what the
    others lose; but not where no LAN reaches another any more. A failed cell is in no group.
    `lan_pairs` are the pairs of LANs of one IP version that no longer reach each other,
    `particle_paths` the pairs of a cell that serves particles and a LAN that these no longer reach.
    """

    kind: FailureKind
    failed: tuple[int, ...]
    cut_off: tuple[Group, ...]
    lan_pairs: int
    particle_paths: int


class CutPairs(Struct, frozen=True, kw_only=True):
    """Links of which any two disconnect the backbone when both are lost, and none alone.

    They lie around a cycle: piece `i` is between link `i` and link `i + 1`, and the last one
    between the last link and the first. When links `i` and `j` are lost, the pieces from `i` to
    `j - 1` lose the others. `pairs` counts the pairs of links that cost something.
    """

    links: tuple[Pair, ...]
    pieces: tuple[Group, ...]
    pairs: int


class FailureCost(Struct, frozen=True, kw_only=True, order=True):
    """The cost of all failures. `apart`: what is lost with nothing failed; `cost`: all losses."""

    apart: int
    cost: int
    findings: int


def failure_impacts(plan: Plan) -> tuple[FailureImpact, ...]:
    """Return every failure of a link, cell or site that disconnects LANs or particles elsewhere.

    Without any, every LAN stays reachable under the loss of any one link, other cell or other site.
    Links that fail come before cells, and cells before sites, each in order of their ids.
    """
    return failure_impacts_of(
        (cell.member for cell in plan.cells), (link.cells for link in plan.links)
    )


def cut_pairs(plan: Plan) -> tuple[CutPairs, ...]:
    """Return the links of which any two lost at once disconnect more, in order of their ids.

    Two links whose loss costs no more than that of each alone are in `failure_impacts` already.
    """
    return cut_pairs_of((cell.member for cell in plan.cells), (link.cells for link in plan.links))


def failure_impacts_of(
    members: Iterable[Member], pairs: Iterable[Pair]
) -> tuple[FailureImpact, ...]:
    """Return the `failure_impacts` of a backbone with these cells and links."""
    backbone = _Backbone(members, pairs)
    found = (backbone.loss(failure, pieces) for failure, pieces in backbone.failures())
    return tuple(loss for loss in found if loss.lan_pairs or loss.particle_paths)


def failure_cost(
    members: Iterable[Member], pairs: Iterable[Pair], *, depth: int = 1
) -> FailureCost:
    """Return the sums of `failure_impacts_of` and, for `depth` 2, `cut_pairs_of`."""
    backbone = _Backbone(members, pairs)
    findings, apart, cost = 0, 0, 0
    for failure, pieces in backbone.failures():
        lost = sum(backbone.parted(pieces))
        findings += bool(lost)
        cost += lost
        apart += lost if failure.kind is FailureKind.NOTHING else 0
    if depth > 1:
        costly = [backbone.costly_pairs(pieces) for _, pieces in _classes(backbone.tree)]
        findings += sum(map(bool, costly))
        cost += sum(costly)
    return FailureCost(apart=apart, findings=findings, cost=cost)


def cut_pairs_of(members: Iterable[Member], pairs: Iterable[Pair]) -> tuple[CutPairs, ...]:
    """Return the `cut_pairs` of a backbone with these cells and links.

    Two links of a graph part it together, and not alone, exactly if the same cycles go through
    both. The cycles through a tree link are those that the back edges spanning it close; through a
    back edge only its own goes. So links with equal sets of back edges belong together
    (the cycle space of a graph; Pritchard and Thurimella, 2011, with exact sets for random labels).
    """
    backbone = _Backbone(members, pairs)
    found = (backbone.cycle(*each) for each in _classes(backbone.tree))
    return tuple(sorted((each for each in found if each.pairs), key=lambda each: each.links))


_Span = tuple[int, int]
# A group of cells as slices of the search tree's order: those from `start` to `stop`, and so on.
_Piece = tuple[_Span, ...]


class _Weight(NamedTuple):
    """The weight of a group of cells.

    Its LANs of each IP version, its cells that serve particles, and how much of the traffic among
    these stays within one cell.
    """

    lans4: int = 0
    lans6: int = 0
    hubs: int = 0
    inside: int = 0

    @property
    def lans(self) -> int:
        return self.lans4 + self.lans6

    @property
    def traffic(self) -> int:
        """The pairs of LANs, and of serving cell and LAN, in the group."""
        pairs4, pairs6 = (each * (each - 1) // 2 for each in (self.lans4, self.lans6))
        return pairs4 + pairs6 + self.hubs * self.lans

    @property
    def is_scattered(self) -> bool:
        """Whether no traffic is left between two of its cells."""
        return self.traffic == self.inside

    def without(self, other: _Weight) -> _Weight:
        return _Weight(*(mine - its for mine, its in zip(self, other, strict=True)))

    def has_traffic_with(self, other: _Weight) -> bool:
        return bool(
            self.lans4 * other.lans4
            or self.lans6 * other.lans6
            or self.hubs * other.lans
            or self.lans * other.hubs
        )


class _FailedParts(NamedTuple):
    kind: FailureKind
    failed: tuple[int, ...] = ()


class _Backbone:
    """The search tree of a backbone, with prefix sums: a subtree is weighed in constant time."""

    def __init__(self, members: Iterable[Member], pairs: Iterable[Pair]) -> None:
        by_id = {member.id: member for member in members}
        self.tree = dfs_tree(by_id, pairs)
        own = [_weight(by_id[cell]) for cell in self.tree.order]
        self._lans4 = (0, *accumulate(weight.lans4 for weight in own))
        self._lans6 = (0, *accumulate(weight.lans6 for weight in own))
        self._hubs = (0, *accumulate(weight.hubs for weight in own))
        self._inside = (0, *accumulate(weight.inside for weight in own))
        self._sites = sites(by_id.values())

    def failures(self) -> Iterator[tuple[_FailedParts, list[_Piece]]]:
        """Yield each failure that disconnects cells, no failure first, and the pieces it leaves.

        Of sites, all.
        """
        yield _FailedParts(FailureKind.NOTHING), [(self._below(root),) for root in self.tree.roots]
        for link, pieces in sorted(map(self._pieces_of_link, self.tree.bridges)):
            yield _FailedParts(FailureKind.LINK, link), pieces
        for cell in sorted(self.tree.articulation_points):
            yield _FailedParts(FailureKind.CELL, (cell,)), self._pieces_without(cell)
        for site in self._sites:
            yield _FailedParts(FailureKind.SITE, site), self._pieces_without_all(frozenset(site))

    def parted(self, pieces: list[_Piece]) -> tuple[int, int]:
        return _parted([self._weigh(piece) for piece in pieces])

    def costly_pairs(self, pieces: Iterable[_Piece]) -> int:
        return _costly_pairs([self._weigh(piece) for piece in pieces])

    def loss(self, failure: _FailedParts, pieces: list[_Piece]) -> FailureImpact:
        weights = [self._weigh(piece) for piece in pieces]
        whole = _sum(weights)
        main = max(
            range(len(pieces)),
            key=lambda at: (weights[at].lans + weights[at].hubs, *self._largest_first(pieces[at])),
            default=0,
        )
        if all(each.is_scattered for each in weights):
            main = len(pieces)
        lan_pairs, particle_paths = _parted(weights)
        groups = (
            self._cells(piece)
            for at, piece in enumerate(pieces)
            if at != main and weights[at].has_traffic_with(whole.without(weights[at]))
        )
        return FailureImpact(
            kind=failure.kind,
            failed=failure.failed,
            cut_off=tuple(sorted(groups)),
            lan_pairs=lan_pairs,
            particle_paths=particle_paths,
        )

    def cycle(self, links: tuple[Pair, ...], pieces: tuple[_Piece, ...]) -> CutPairs:
        return CutPairs(
            links=links,
            pieces=tuple(self._cells(piece) for piece in pieces),
            pairs=self.costly_pairs(pieces),
        )

    def _pieces_of_link(self, bridge: Pair) -> tuple[Pair, list[_Piece]]:
        upper, lower = bridge
        below = self._below(lower)
        failed = (min(bridge), max(bridge))
        return failed, [(below,), _without(self._whole(upper), [below])]

    def _pieces_without(self, cell: int) -> list[_Piece]:
        tops = [self._below(top) for top in self.tree.articulation_children(cell)]
        place = self.tree.discovery_index[cell]
        rest = _without(self._whole(cell), sorted([(place, place + 1), *tops]))
        return [*((top,) for top in tops), *([rest] if rest else [])]

    def _pieces_without_all(self, gone: AbstractSet[int]) -> list[_Piece]:
        """Return what is linked with each other without some cells, by a search."""
        pieces: list[_Piece] = []
        seen = set(gone)
        for start in self.tree.order:
            if start not in seen:
                seen.add(start)
                found = [start]
                for cell in found:
                    new = [each for each in self.tree.neighbours[cell] if each not in seen]
                    seen.update(new)
                    found += new
                places = sorted(self.tree.discovery_index[cell] for cell in found)
                pieces.append(tuple((place, place + 1) for place in places))
        return pieces

    def _whole(self, cell: int) -> _Span:
        return self._below(self.tree.root[cell])

    def _below(self, top: int) -> _Span:
        place = self.tree.discovery_index[top]
        return place, place + self.tree.size[top]

    def _weigh(self, piece: _Piece) -> _Weight:
        lans4 = lans6 = hubs = inside = 0
        for start, stop in piece:
            lans4 += self._lans4[stop] - self._lans4[start]
            lans6 += self._lans6[stop] - self._lans6[start]
            hubs += self._hubs[stop] - self._hubs[start]
            inside += self._inside[stop] - self._inside[start]
        return _Weight(lans4, lans6, hubs, inside)

    def _largest_first(self, piece: _Piece) -> tuple[int, int]:
        lowest = min(min(self.tree.order[start:stop]) for start, stop in piece)
        return sum(stop - start for start, stop in piece), -lowest

    def _cells(self, piece: _Piece) -> Group:
        return tuple(sorted(cell for start, stop in piece for cell in self.tree.order[start:stop]))


def sites(members: Iterable[Member]) -> tuple[Group, ...]:
    """Return the ids of the public cells at each address that several cells have, in order."""
    by_host: dict[str, list[int]] = {}
    for member in members:
        if member.endpoint is not None:
            by_host.setdefault(same_host(member.endpoint), []).append(member.id)
    return tuple(sorted(tuple(sorted(cells)) for cells in by_host.values() if len(cells) > 1))


def _weight(member: Member) -> _Weight:
    lans4 = sum(lan.version == 4 for lan in member.lans)
    weight = _Weight(lans4, len(member.lans) - lans4, int(member.serves_particles))
    return weight._replace(inside=weight.traffic)


def _sum(weights: Iterable[_Weight]) -> _Weight:
    return _Weight(*map(sum, zip(_Weight(), *weights, strict=True)))


def _without(whole: _Span, left_out: Iterable[_Span]) -> _Piece:
    """Return what is left of `whole` between the slices `left_out`, which are in order."""
    start, end = whole
    rest = []
    for gap_start, gap_stop in left_out:
        rest.append((start, gap_start))
        start = gap_stop
    rest.append((start, end))
    return tuple(span for span in rest if span[0] < span[1])


def _parted(weights: list[_Weight]) -> tuple[int, int]:
    """Return how many pairs of LANs, and of serving cell and LAN, are in different groups."""
    whole = _sum(weights)
    lan_pairs = sum(
        (total * total - sum(each[version] ** 2 for each in weights)) // 2
        for version, total in enumerate((whole.lans4, whole.lans6))
    )
    return lan_pairs, whole.lans * whole.hubs - sum(each.lans * each.hubs for each in weights)


def _costly_pairs(pieces: list[_Weight]) -> int:
    whole = _sum(pieces)
    lans4 = (0, *accumulate(each.lans4 for each in pieces))
    lans6 = (0, *accumulate(each.lans6 for each in pieces))
    hubs = (0, *accumulate(each.hubs for each in pieces))
    costly = 0
    for i in range(len(pieces)):
        for j in range(i + 1, len(pieces)):
            inner4, inner6, inside = lans4[j] - lans4[i], lans6[j] - lans6[i], hubs[j] - hubs[i]
            outer4, outer6, outside = (
                whole.lans4 - inner4,
                whole.lans6 - inner6,
                whole.hubs - inside,
            )
            costly += bool(
                inner4 * outer4
                or inner6 * outer6
                or (inner4 + inner6) * outside
                or inside * (outer4 + outer6)
            )
    return costly


def _classes(seen: DfsTree) -> Iterator[tuple[tuple[Pair, ...], tuple[_Piece, ...]]]:
    """Yield the links of each cycle in its order, and the pieces between them."""
    spanning, outside = _spanning(seen)
    by_cycles: dict[int, list[int]] = {}
    # In order of discovery, so that the links of a class go from the top down.
    for cell in seen.order:
        if spanning.get(cell):
            by_cycles.setdefault(spanning[cell], []).append(cell)
    for label, lowers in by_cycles.items():
        closing = outside.get(label)
        if len(lowers) + (closing is not None) < 2:
            continue
        links = [_link(seen.parent[lower], lower) for lower in lowers]
        pieces = _between(seen, lowers)
        if closing is None:
            yield tuple(links), (*pieces[1:-1], (*pieces[0], *pieces[-1]))
        else:
            yield (*links, closing), (*pieces[1:], pieces[0])


def _between(seen: DfsTree, lowers: list[int]) -> list[_Piece]:
    """Return what is above the first of nested subtrees, between each two, and in the last."""
    spans = [(at.start, at.stop) for at in (seen.subtree(lower) for lower in lowers)]
    whole = seen.subtree(seen.root[lowers[0]])
    around = [(whole.start, whole.stop), *spans]
    return [_without(outer, [inner]) for outer, inner in zip(around, spans, strict=False)] + [
        (spans[-1],)
    ]


def _spanning(seen: DfsTree) -> tuple[Mapping[int, int], Mapping[int, Pair]]:
    """Return, as sets of bits, the links outside the tree that go around each link of the tree.

    Tree links are named by their lower cell. The second value has the links outside, by their bit.
    """
    around: dict[int, int] = dict.fromkeys(seen.order, 0)
    outside: dict[int, Pair] = {}
    for cell in seen.order:
        for upper in seen.neighbours[cell]:
            is_back = (
                seen.discovery_index[upper] < seen.discovery_index[cell]
                and seen.parent.get(cell) != upper
            )
            if is_back:
                bit = 1 << len(outside)
                outside[bit] = _link(cell, upper)
                # It spans the tree's links from `cell` up to `upper`, and none above.
                around[cell] ^= bit
                around[upper] ^= bit
    for cell in reversed(seen.order):
        if cell in seen.parent:
            around[seen.parent[cell]] ^= around[cell]
    return {cell: label for cell, label in around.items() if cell in seen.parent}, outside


def _link(one: int, other: int) -> Pair:
    return min(one, other), max(one, other)
