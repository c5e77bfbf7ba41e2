"""Edits that change an existing UVN, cell, particle or user (`uno config`). Pure.

Ids never change, and addresses and keys follow from ids: a renamed cell or particle keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from uno.diagnostics import Problem
from uno.model.net import Network, network_order
from uno.model.uvn import Cell, Strategy, Uvn
from uno.registry.changes import edits, lookup
from uno.registry.changes.edits import Edited, Setting

if TYPE_CHECKING:
    from uno.model.checks.finding import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What is asked for of anything that has a name and an owner. None leaves it as it is.

    With `new_owners`, an owner given as `'NAME <EMAIL>'` may be a new user.
    """

    name: str | None = None
    owner: str | None = None
    new_owners: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CellUpdate:
    """What is asked for of a cell. `settings` are relative to the cell.

    `networks` are all its LANs from now on, none if they stay; `added` and `removed` are relative.
    `links` are all the cells that it is linked with from now on, under the static strategy.
    """

    naming: Naming = field(default_factory=Naming)
    networks: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UvnUpdate:
    """What is asked for of the UVN. `password` is a hash, the owner's; None leaves things so.

    With `new_owner`, an owner given as `'NAME <EMAIL>'` may be a new user. `layout` is the edit of
    strategy and arguments.
    """

    owner: str | None = None
    new_owner: bool = False
    password: str | None = field(default=None, repr=False)
    settings: tuple[Setting, ...] = ()
    layout: Callable[[Uvn], Edited] = lambda uvn: Edited(uvn=uvn)


def update_uvn(uvn: Uvn, wanted: UvnUpdate) -> Edited:
    """Change the UVN's owner, their password, settings, and how the backbone is laid out."""
    base, email = uvn, uvn.owner
    unknown: tuple[Problem, ...] = ()
    if wanted.owner is not None:
        base, email, unknown = edits.owned(uvn, wanted.owner, new_owners=wanted.new_owner)
    owned = Edited(uvn=base)
    if (email, wanted.password) != (uvn.owner, None):
        owned = edits.set_owner(base, email, password=wanted.password)
    changed = edits.apply(owned.uvn, wanted.settings)
    chosen = wanted.layout(changed.uvn)
    return Edited(
        uvn=chosen.uvn,
        options={**owned.options, **changed.options, **chosen.options},
        problems=(*unknown, *changed.problems, *chosen.problems),
    )


def update_cell(uvn: Uvn, name: str, wanted: CellUpdate) -> Edited:
    """Change a cell. Raises `Rejected` if there is none called `name`."""
    at, cell = lookup.cell(uvn, name)
    named = _named(uvn, ("cells", at), wanted.naming)
    lans, unfit = _lans(cell, wanted)
    place: Path = ("cells", at)
    changed = edits.apply(
        named.uvn,
        (
            Setting(option=_lan_option(wanted), path=(*place, "allowed_lans"), value=lans),
            *(edits.replace_path(setting, place) for setting in wanted.settings),
        ),
    )
    linked, not_static = _linked(changed.uvn, at, wanted)
    return Edited(
        uvn=linked,
        options={place: "NAME", **named.options, **changed.options, _ARGUMENTS: "-L"},
        problems=(*named.problems, *unfit, *changed.problems, *not_static),
        judged=named.judged,
    )


def update_particle(
    uvn: Uvn, name: str, naming: Naming, settings: Iterable[Setting] = ()
) -> Edited:
    """Change a particle; `settings` are relative to it. Raises `Rejected` if there is none."""
    at, _ = lookup.particle(uvn, name)
    place: Path = ("particles", at)
    named = _named(uvn, place, naming)
    below = (edits.replace_path(setting, place) for setting in settings)
    changed = edits.apply(named.uvn, below)
    return Edited(
        uvn=changed.uvn,
        options={**named.options, **changed.options},
        problems=(*named.problems, *changed.problems),
        judged=named.judged,
    )


def update_user(
    uvn: Uvn, email: str, *, name: str | None = None, password: str | None = None
) -> Edited:
    """Change a user's name and password (a hash). Raises `Rejected` if there is none."""
    at, user = lookup.user(uvn, email)
    changed = replace(user, name=name or user.name, password=password or user.password)
    options: dict[Path, str] = {("users", at): "-p", ("users", at, "name"): "-n"}
    return Edited(uvn=edits.with_user(uvn, changed), options=options)


def without_links(uvn: Uvn, name: str) -> Uvn:
    """Return `uvn` without the links of the cell `name` in the arguments of the static strategy."""

    def drop(args: Mapping[str, Any]) -> dict[str, Any]:
        return {
            cell: [peer for peer in peers if peer != name] if _is_list(peers) else peers
            for cell, peers in args.items()
            if cell != name
        }

    return _with_arguments(uvn, drop(uvn.settings.deployment.strategy_args))


def without_sender(uvn: Uvn, name: str) -> Uvn:
    """Return `uvn` without the cell `name` among those that are declared to notify people."""
    return _with_senders(uvn, (each for each in uvn.settings.notify.via if each != name))


def _with_senders(uvn: Uvn, via: Iterable[str]) -> Uvn:
    notify = replace(uvn.settings.notify, via=tuple(via))
    return replace(uvn, settings=replace(uvn.settings, notify=notify))


_ARGUMENTS: Path = ("settings", "deployment", "strategy_args")


def _named(uvn: Uvn, place: Path, naming: Naming) -> Edited:
    """Return `uvn` with the name and owner of `naming` at `place`."""
    group, at = place
    things = getattr(uvn, str(group))
    thing = things[at]
    known: tuple[Problem, ...] = ()
    if naming.name is not None and naming.name != thing.name:
        names = (other.name for other in things)
        known = edits.taken(str(group)[:-1], naming.name, names, option="-n")
        uvn = edits.apply(uvn, [Setting(option="-n", path=(*place, "name"), value=naming.name)]).uvn
        if group == "cells":
            uvn = _with_renamed_cell(uvn, thing.name, naming.name)
    unknown: tuple[Problem, ...] = ()
    if naming.owner is not None:
        uvn, email, unknown = edits.owned(uvn, naming.owner, new_owners=naming.new_owners)
        owner = thing.owner if unknown else email
        uvn = edits.apply(uvn, [Setting(option="-o", path=(*place, "owner"), value=owner)]).uvn
    return Edited(
        uvn=uvn,
        options={(*place, "name"): "-n", (*place, "owner"): "-o"},
        problems=(*known, *unknown),
        # The check blames whichever of the two stands later.
        judged=frozenset((group, each, "name") for each in range(len(things)) if known),
    )


def _lans(cell: Cell, wanted: CellUpdate) -> tuple[tuple[Network, ...], tuple[Problem, ...]]:
    given, illegible = edits.read_networks(wanted.networks, option="-N")
    added, unreadable = edits.read_networks(wanted.added, option="--add-network")
    removed, unknown = edits.read_networks(wanted.removed, option="--remove-network")
    problems = [*illegible, *unreadable, *unknown]
    if wanted.networks and (wanted.added or wanted.removed):
        what = "-N replaces all LANs of the cell"
        hint = "use it alone, or --add-network beside --remove-network"
        problems.append(Problem(what=what, hint=hint, option="-N"))
    for lan in removed:
        if lan in added:
            what = f"{lan} is both to be attached and to be removed"
            problems.append(
                Problem(what=what, hint="give one of the two", option="--remove-network")
            )
        elif lan not in cell.allowed_lans:
            there = ", ".join(map(str, cell.allowed_lans)) or "none"
            what = f"{lan} is not a LAN of cell {cell.name}"
            hint = f"its LANs: {there}"
            problems.append(Problem(what=what, hint=hint, option="--remove-network"))
    lans = set(given) if given else {*cell.allowed_lans, *added} - set(removed)
    if lans == set(cell.allowed_lans):
        # As they were declared, in that order.
        return cell.allowed_lans, tuple(problems)
    return tuple(sorted(lans, key=network_order)), tuple(problems)


def _lan_option(wanted: CellUpdate) -> str:
    return "--add-network" if wanted.added and not wanted.networks else "-N"


def _linked(uvn: Uvn, at: int, wanted: CellUpdate) -> tuple[Uvn, tuple[Problem, ...]]:
    deployment = uvn.settings.deployment
    if not wanted.links:
        return uvn, ()
    if deployment.strategy is not Strategy.STATIC:
        return uvn, (edits.not_static(deployment.strategy),)
    name = uvn.cells[at].name
    others = without_links(uvn, name).settings.deployment.strategy_args
    return _with_arguments(uvn, {**others, name: list(wanted.links)}), ()


def _with_renamed_cell(uvn: Uvn, old: str, new: str) -> Uvn:
    def renamed(name: Any) -> Any:
        return new if name == old else name

    args = {
        renamed(cell): [renamed(peer) for peer in peers] if _is_list(peers) else peers
        for cell, peers in uvn.settings.deployment.strategy_args.items()
    }
    return _with_senders(_with_arguments(uvn, args), map(renamed, uvn.settings.notify.via))


def _with_arguments(uvn: Uvn, args: Mapping[str, Any]) -> Uvn:
    deployment = replace(uvn.settings.deployment, strategy_args=dict(args))
    return replace(uvn, settings=replace(uvn.settings, deployment=deployment))


def _is_list(peers: object) -> bool:
    return isinstance(peers, list | tuple)
