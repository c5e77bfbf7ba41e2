"""The steps from one package to the next without losing a packet: the host's state in each step.

Pure. New links are added beside the old ones. Links that are removed, and those that change in
place, are drained first: see `routing_policy.Drain`. Both ends of a link take the same steps at the
same time after the activation, without a message between them: the times are the protocol.

    0               add everything new, beside everything old
    k × period      batch k: its links are tagged,
      + 1.0           avoided,
      + 1.5           changed, handshakes initiated until they are answered, and used again
    remove_after    links that are removed, once the new links of other cells are up, are tagged,
      + 1.0           avoided,
      + 2.0           without sessions,
      + 2.5           removed
    + 5             narrow the import filters: accept no more what only the old links can bring

On a host that is late, each step follows as soon as the one before has had its effect. A link to a
cell that is not in the roster any more is removed at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from uno.model.messages import Activation
from uno.model.package import Package
from uno.model.plan import BackbonePeer, CellPlan, CellSet, Roster
from uno.model.routing_policy import Drain

# Seconds from tagging a link until this cell avoids it: for the routes to spread and to be in the
# kernels of other cells, so that no two cells send a packet to each other.
TAGGED_FOR = 1.0

# Seconds from there until the link changes, or until its sessions end because it is removed: for
# the routes of this cell and of the neighbour, and for packets in flight. A cell with only one path
# loses packets during a change; so the first is short. It loses none by a removal.
AVOIDED_FOR, AVOIDED_BEFORE_REMOVAL = 0.5, 1.0

# Seconds without sessions until a link is removed. A neighbour that is late, and has used the link
# until its session ended, finds another path meanwhile.
CLOSED_FOR = 0.5

# Seconds after the last links were drained until no cell needs routes that came over them.
NARROW_AFTER = 5.0

# Seconds at most to wait until no route uses a link that is to change, or to be removed. Where one
# still does after that, there is no other path.
DRAINED_WITHIN, DRAINED_BEFORE_REMOVAL = 0.5, 10.0

# Fields of a link that change without an effect on its neighbour.
_HARMLESS = {"import_origins": CellSet(), "endpoint": None, "keepalive": 0}


class DrainSchedule(Struct, frozen=True, kw_only=True):
    """Times of a change, in seconds from its activation; links are named `1-2`.

    Links in `batches` change in place, each batch one `period` after the one before; those in
    `hold` do not change. Links are removed after `remove_after`. `timeout` is how long new links
    may take to come up. With `at_once` everything changes in one step. `started_at` is when the
    activation was received, by the clock of this cell, None for now.
    """

    batches: tuple[tuple[str, ...], ...] = ()
    period: float = 4.0
    hold: tuple[str, ...] = ()
    remove_after: float = 5.0
    timeout: float = 5.0
    at_once: bool = False
    started_at: float | None = None


def schedule_of(activation: Activation, *, started_at: float | None) -> DrainSchedule:
    """Return the schedule of an activation that was received at `started_at`."""
    return DrainSchedule(
        batches=activation.batches,
        period=activation.period,
        hold=activation.hold,
        at_once=activation.undo,
        started_at=started_at,
    )


class DeferredLinks(Struct, frozen=True, kw_only=True):
    """Links that stay as in an earlier package, with the secrets that they need."""

    links: tuple[BackbonePeer, ...] = ()
    secrets: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"DeferredLinks({', '.join(link.interface for link in self.links)})"


def deferred(old: Package, names: Collection[str]) -> DeferredLinks:
    """Return the links of these names as they are in `old`."""
    return _deferred(old, [each for each in old.plan.links if link_name(old.plan, each) in names])


def with_deferred(package: Package, kept: DeferredLinks) -> Package:
    """Return a package with the links in `kept` in place of its own to the same neighbours."""
    old = {link.cell: link for link in kept.links}
    links = tuple(
        replace(old[link.cell], import_origins=link.import_origins) if link.cell in old else link
        for link in package.plan.links
    )
    return _with_links(package, links, kept.secrets)


def link_name(plan: CellPlan, link: BackbonePeer) -> str:
    """Return a link's name in the plan of the whole UVN: `1-2`."""
    return f"{min(plan.cell, link.cell)}-{max(plan.cell, link.cell)}"


class DrainStep(Struct, frozen=True, kw_only=True):
    """One step: the state of the host until the next one.

    It begins `at` so many seconds from the activation, at least `after` so many from the step
    before, and once no route uses the interfaces in `wait_drained`, or `drained_within` seconds
    after that time. Then handshakes are initiated on the interfaces in `initiate_handshake` until
    they are answered, and the BGP and BFD sessions of those in `await_sessions` awaited, for
    `timeout` seconds at most. From the first step with `is_cleanup` on, everything new is in force,
    and only what is old remains to be removed.
    """

    what: str
    package: Package
    drained: dict[str, Drain] = field(default_factory=dict)
    at: float = 0.0
    after: float = 0.0
    wait_drained: tuple[str, ...] = ()
    drained_within: float = 0.0
    initiate_handshake: tuple[str, ...] = ()
    await_sessions: tuple[str, ...] = ()
    timeout: float = 0.0
    is_cleanup: bool = False


def drain_steps(
    old: Package | None, new: Package, schedule: DrainSchedule
) -> tuple[DrainStep, ...]:
    """Return the steps from a host that runs `old` to `new`.

    The last step is `new`, but for the links that the schedule holds.
    """
    if old is None or old.plan.cell != new.plan.cell:
        return (DrainStep(what="connect", package=new),)
    target = with_deferred(new, deferred(old, schedule.hold))
    if schedule.at_once:
        return (DrainStep(what="change at once", package=target),)
    return tuple(_PackageChange(old, target, schedule).steps())


class _PackageChange:
    """The links of two packages, sorted by what happens to them."""

    def __init__(self, old: Package, new: Package, schedule: DrainSchedule) -> None:
        self._old, self._new, self._schedule = old, new, schedule
        self._before = {link.cell: link for link in old.plan.links}
        after = {link.cell: link for link in new.plan.links}
        members = {member.id for member in new.roster.members}
        self._gone = frozenset(self._before.keys() & members - after.keys())
        self._changed = frozenset(
            cell
            for cell, link in self._before.items()
            if cell in after and _differ(self._old, link, self._new, after[cell])
        )
        self._added = frozenset(after.keys() - self._before.keys())

    def steps(self) -> Iterator[DrainStep]:
        waiting = self._gone | self._changed
        schedule = self._schedule
        groups = list(self._groups())
        first = self._step("add new links", waiting)
        # New links have until the first drain to come up; beyond that they are awaited.
        timeout = schedule.timeout - groups[0][0] if groups else 0.0
        if timeout > 0:
            added = self._links(first.package, self._added)
            first = replace(first, initiate_handshake=added, await_sessions=added, timeout=timeout)
        last = first
        yield first
        for at, cells in groups:
            for last in self._drain(cells, waiting, at):
                yield replace(last, is_cleanup=cells == self._gone)
            waiting -= cells
        end = groups[-1][0] + TAGGED_FOR + AVOIDED_BEFORE_REMOVAL + CLOSED_FOR if groups else 0.0
        if last.package != self._new:
            others = max(schedule.remove_after, len(schedule.batches) * schedule.period)
            end = max(end, others + NARROW_AFTER)
        if last.package != self._new or last.drained:
            yield DrainStep(what="complete the change", package=self._new, at=end, is_cleanup=True)

    def _groups(self) -> Iterator[tuple[float, frozenset[int]]]:
        """Yield the neighbours whose links are drained together, with the time to begin."""
        batches = self._schedule.batches
        left = self._changed
        for number, names in enumerate(batches):
            cells = frozenset(
                c for c in left if link_name(self._old.plan, self._before[c]) in names
            )
            left -= cells
            if cells:
                yield number * self._schedule.period, cells
        over = len(batches) * self._schedule.period
        if left:
            yield over, left
            over += self._schedule.period
        if self._gone:
            yield max(over, self._schedule.remove_after), self._gone

    def _drain(
        self, cells: frozenset[int], waiting: frozenset[int], at: float
    ) -> Iterator[DrainStep]:
        there = self._links(self._old, cells)
        what = ", ".join(there)
        drained = dict.fromkeys(there, Drain.TAGGED)
        yield replace(self._step(f"tag {what}", waiting, drained), at=at)
        at += TAGGED_FOR
        drained = dict.fromkeys(there, Drain.AVOIDED)
        avoided = self._step(f"avoid {what}", waiting, drained)
        yield replace(avoided, at=at, after=TAGGED_FOR / 2)
        if cells <= self._gone:
            yield from self._remove(there, cells, waiting, at + AVOIDED_BEFORE_REMOVAL)
            return
        at += AVOIDED_FOR
        changed = self._step(f"change {what}", waiting - cells)
        again = self._links(changed.package, cells)
        yield replace(
            changed,
            drained=dict.fromkeys(again, Drain.AVOIDED),
            at=at,
            after=0.8 * AVOIDED_FOR,
            wait_drained=there,
            drained_within=DRAINED_WITHIN,
            initiate_handshake=again,
            await_sessions=again,
            timeout=max(self._schedule.period - TAGGED_FOR - AVOIDED_FOR - DRAINED_WITHIN, 1.0),
        )
        yield replace(changed, what=f"use {what} again", at=at)

    def _remove(
        self, there: tuple[str, ...], cells: frozenset[int], waiting: frozenset[int], at: float
    ) -> Iterator[DrainStep]:
        what = ", ".join(there)
        closed = self._step(
            f"close sessions of {what}", waiting, dict.fromkeys(there, Drain.CLOSED)
        )
        yield replace(
            closed,
            at=at,
            after=0.8 * AVOIDED_BEFORE_REMOVAL,
            wait_drained=there,
            drained_within=DRAINED_BEFORE_REMOVAL,
        )
        removed = self._step(f"remove {what}", waiting - cells)
        yield replace(removed, at=at + CLOSED_FOR, after=CLOSED_FOR)

    def _step(
        self, what: str, waiting: frozenset[int], drained: dict[str, Drain] | None = None
    ) -> DrainStep:
        return DrainStep(what=what, package=self._blend(waiting), drained=drained or {})

    def _blend(self, waiting: frozenset[int]) -> Package:
        """Return `new`, with the links to the neighbours in `waiting` as they are in `old`.

        Each link imports what either package imports, through the links of either: other cells are
        changing too.
        """
        roster = self._new.roster
        kept = [self._before[cell] for cell in waiting]
        links = kept + [
            link
            for link in self._new.plan.links
            if link.cell not in waiting and not any(_collide(link, other) for other in kept)
        ]
        origins = {link.cell: link.import_origins for link in self._new.plan.links}
        for at, link in enumerate(links):
            planned = origins.get(link.cell, link.import_origins)
            before = self._before.get(link.cell)
            either = _either(before.import_origins, planned, roster) if before else planned
            links[at] = replace(link, import_origins=either)
        secrets = _deferred(self._old, kept).secrets
        links.sort(key=_place)
        paths = _all_links(self._old.roster, roster)
        if not kept and links == sorted(self._new.plan.links, key=_place) and paths == roster.links:
            return self._new
        blended = _with_links(self._new, tuple(links), secrets)
        return replace(blended, roster=replace(roster, links=paths))

    @staticmethod
    def _links(package: Package, cells: Collection[int]) -> tuple[str, ...]:
        return tuple(link.interface for link in package.plan.links if link.cell in cells)


def _deferred(package: Package, links: Iterable[BackbonePeer]) -> DeferredLinks:
    kept = tuple(links)
    ids = {id_ for link in kept for id_ in (link.key, link.psk)}
    return DeferredLinks(links=kept, secrets={id_: package.secrets[id_] for id_ in sorted(ids)})


def _with_links(
    package: Package, links: tuple[BackbonePeer, ...], secrets: dict[str, str]
) -> Package:
    if links == package.plan.links and not secrets:
        return package
    plan = replace(package.plan, links=links)
    return replace(package, plan=plan, secrets=package.secrets | secrets)


def _place(link: BackbonePeer) -> tuple[int, str]:
    return len(link.interface), link.interface


def _collide(one: BackbonePeer, other: BackbonePeer) -> bool:
    """Whether two links cannot exist at once: no one package has both."""
    return (
        one.interface == other.interface
        or (one.port is not None and one.port == other.port)
        or one.local4 in {other.local4, other.remote4}
    )


def _differ(old: Package, before: BackbonePeer, new: Package, after: BackbonePeer) -> bool:
    """Whether a link to the same neighbour differs for WireGuard, BFD or BGP."""
    return (
        replace(before, **_HARMLESS) != replace(after, **_HARMLESS)
        or old.secrets.get(before.key) != new.secrets.get(after.key)
        or old.secrets.get(before.psk) != new.secrets.get(after.psk)
    )


def _all_links(one: Roster, other: Roster) -> tuple[tuple[int, int], ...]:
    """Return the links of both; none, which is any, if one has none."""
    if not (one.links and other.links):
        return ()
    return tuple(sorted({*one.links, *other.links}))


def _either(one: CellSet, other: CellSet, roster: Roster) -> CellSet:
    """Return the cells of `roster` that are in either set, as `other` itself if equal."""
    cells = [member.id for member in roster.members]
    if all(cell in other for cell in cells if cell in one):
        return other
    return CellSet(cells=tuple(cell for cell in cells if cell in one or cell in other))
