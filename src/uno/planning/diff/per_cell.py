"""What a new plan changes for each cell: links, addresses, ports, keys and routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from msgspec import Struct

from uno.model import key_ids as keys
from uno.model.net import Address, Network
from uno.model.plan import LinkEnd, Plan, PlannedCell

_T = TypeVar("_T")
_Lans: TypeAlias = Mapping[int, tuple[Network, ...]]


class Delta(Struct, frozen=True, kw_only=True):
    """Values that come and values that go, as text, in order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Impact(Struct, frozen=True, kw_only=True):
    """What changes for one cell.

    `links` are the names of the cells at their other ends; those of `moved` stay, with other
    addresses or ports. `addresses` are those of the cell itself, `ports` the UDP ports that have to
    reach it, `keys` the ids of its key pairs and `rekeyed` those with a new value under the same
    id. `routes` are the LANs of other cells that are added or removed.
    """

    cell: int
    name: str
    links: Delta = Delta()
    moved: tuple[str, ...] = ()
    addresses: Delta = Delta()
    ports: Delta = Delta()
    keys: Delta = Delta()
    rekeyed: tuple[str, ...] = ()
    routes: Delta = Delta()

    @property
    def is_none(self) -> bool:
        """Whether nothing changes for the cell."""
        return self == Impact(cell=self.cell, name=self.name)


def impacts(old: Plan | None, new: Plan) -> tuple[Impact, ...]:
    """Return what changes for each cell for which something does, those that go included."""
    before, after = _states(old) if old else {}, _states(new)
    routes = _Routes(_lans(old) if old else {}, _lans(new))
    found = []
    for cell in sorted(before.keys() | after.keys()):
        was, becomes = before.get(cell), after.get(cell)
        state = becomes or was
        assert state is not None
        was, becomes = was or _State(name=state.name), becomes or _State(name=state.name)
        found.append(
            Impact(
                cell=cell,
                name=state.name,
                links=_delta(was.links, becomes.links),
                moved=_changed(was.links, becomes.links),
                addresses=_delta(was.addresses, becomes.addresses),
                ports=_delta(was.ports, becomes.ports),
                keys=_delta(was.keys, becomes.keys),
                rekeyed=_changed(was.keys, becomes.keys),
                routes=routes.of(cell),
            )
        )
    return tuple(impact for impact in found if not impact.is_none)


class _State(Struct, kw_only=True):
    """Links, addresses, ports and keys of a cell: by identity, with the value that may change."""

    name: str
    links: dict[str, object] = {}
    addresses: dict[Address, None] = {}
    ports: dict[int, None] = {}
    keys: dict[str, object] = {}


def _states(plan: Plan) -> dict[int, _State]:
    states = {cell.member.id: _of_cell(cell, plan) for cell in plan.cells}
    for link in plan.links:
        for own, far in ((link.a, link.b), (link.b, link.a)):
            state = states[own.cell]
            state.links[states[far.cell].name] = _values(own)
            state.addresses |= {own.address4: None, own.address6: None}
            if own.port is not None:
                state.ports[own.port] = None
            state.keys |= _public(plan, keys.link_pair(link.name, own.cell))
    return states


def _of_cell(cell: PlannedCell, plan: Plan) -> _State:
    member = cell.member
    listening = {port: None for port in (cell.root_port, cell.particles_port) if port is not None}
    pairs: dict[str, object] = {}
    if plan.root:
        pairs |= _public(plan, keys.root_pair(member.id))
    if member.serves_particles:
        pairs |= _public(plan, keys.particles_hub_pair(member.id))
    return _State(
        name=member.name,
        addresses={member.node4: None, member.node6: None},
        ports=listening,
        keys=pairs,
    )


def _public(plan: Plan, name: str) -> dict[str, object]:
    return {name: plan.public_keys.get(name)}


def _values(end: LinkEnd) -> object:
    return end.slot, end.address4, end.address6, end.port


def _lans(plan: Plan) -> _Lans:
    return {cell.member.id: cell.member.lans for cell in plan.cells}


class _Routes:
    """The LANs of other cells that are new to a cell, found once for all cells that stay."""

    def __init__(self, before: _Lans, after: _Lans) -> None:
        self._before, self._after = before, after
        self._new = list(_appearing(before, after))
        self._gone = list(_appearing(after, before))

    def of(self, cell: int) -> Delta:
        if cell not in self._before:
            return Delta(added=_others(cell, _appearing({}, self._after)))
        if cell not in self._after:
            return Delta(removed=_others(cell, _appearing({}, self._before)))
        return Delta(added=_others(cell, self._new), removed=_others(cell, self._gone))


def _appearing(before: _Lans, after: _Lans) -> Iterator[tuple[int, Network]]:
    for cell, lans in after.items():
        known = before.get(cell, ())
        if lans != known:
            yield from ((cell, lan) for lan in lans if lan not in known)


def _others(cell: int, found: Iterable[tuple[int, Network]]) -> tuple[str, ...]:
    return tuple(str(lan) for owner, lan in found if owner != cell)


def _delta(was: Mapping[_T, object], becomes: Mapping[_T, object]) -> Delta:
    return Delta(
        added=tuple(str(each) for each in becomes if each not in was),
        removed=tuple(str(each) for each in was if each not in becomes),
    )


def _changed(was: Mapping[str, object], becomes: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(each for each in becomes if each in was and was[each] != becomes[each])
