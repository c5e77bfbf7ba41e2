"""Edits of a definition: each a function from a `Uvn` and a request to an `Edited`. Pure.

An edit refuses nothing by itself. It records what it could not read, and which option each value
came from, so that `operations` can report all problems together, by option. This module adds users,
cells and particles, and has the parts that all edits share; `updates` changes what exists,
`membership` bans and deletes, `key_rotation` replaces keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from ipaddress import IPv4Network
from typing import Any, TypeGuard, get_type_hints

from msgspec import Struct, field
from msgspec.structs import replace

from uno.diagnostics import Problem
from uno.model.checks.finding import Path
from uno.model.net import Network, network, network_order
from uno.model.syntax import Mailbox, mailbox, suggestion
from uno.model.uvn import (
    Cell,
    Particle,
    Strategy,
    User,
    Uvn,
    VpnSettings,
    with_added_cell,
    with_added_particle,
)
from uno.registry.changes.key_selection import KeySelection


class Setting(Struct, frozen=True, kw_only=True):
    """A value that an option gives to the place `path` (as in `Finding.path`) of a definition."""

    option: str
    path: Path
    value: object


class Edited(Struct, frozen=True, kw_only=True):
    """A definition as it would be, which option each of its new values came from, and problems.

    `judged` are the places that `problems` already covers. `rekey` selects the keys of the new plan
    that are replaced.
    """

    uvn: Uvn
    options: Mapping[Path, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    judged: frozenset[Path] = frozenset()
    rekey: KeySelection = ()


class NewCell(Struct, frozen=True, kw_only=True):
    """The arguments of `define cell`. `settings` are relative to the cell.

    `links` are the cells to link it with, which the static strategy requires.
    """

    name: str
    owner: str | None = None
    address: str | None = None
    networks: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()


def is_user(uvn: Uvn, email: str) -> bool:
    """Whether the UVN has a user with that e-mail address."""
    return any(user.email == email for user in uvn.users)


def add_user(uvn: Uvn, someone: Mailbox, *, password: str | None) -> Edited:
    """Add a user; `password` is a hash."""
    if is_user(uvn, someone.email):
        taken = Problem(
            what=f"{someone.email} is already a user",
            hint=f"show them with: uno config user {someone.email}",
            option="EMAIL",
        )
        return Edited(uvn=uvn, problems=(taken,))
    changed = with_user(uvn, User(email=someone.email, name=someone.name, password=password))
    at = next(i for i, user in enumerate(changed.users) if user.email == someone.email)
    options: dict[Path, str] = {("users", at, "email"): "EMAIL", ("users", at, "name"): "-n"}
    return Edited(uvn=changed, options=options)


def add_cell(uvn: Uvn, wanted: NewCell, *, new_owners: bool = False) -> Edited:
    """Add a cell. With `new_owners`, an owner given as `'NAME <EMAIL>'` may be a new user."""
    uvn, owner, problems = owned(uvn, wanted.owner, new_owners=new_owners)
    at = len(uvn.cells)
    lans, unreadable = read_networks(wanted.networks, option="-N")
    cell = Cell(id=0, name=wanted.name, owner=owner, address=wanted.address, allowed_lans=lans)
    linked, unlinkable = _linked(with_added_cell(uvn, cell), wanted)
    below = (replace_path(setting, ("cells", at)) for setting in wanted.settings)
    changed = apply(linked, below)
    options: dict[Path, str] = {
        **changed.options,
        ("cells", at): "NAME",
        ("cells", at, "owner"): "-o",
        ("cells", at, "address"): "-a",
        ("cells", at, "allowed_lans"): "-N",
        ("settings", "deployment", "strategy_args"): "-L",
    }
    known = taken("cell", wanted.name, (cell.name for cell in uvn.cells))
    return Edited(
        uvn=changed.uvn,
        options=options,
        problems=(*problems, *known, *unreadable, *unlinkable, *changed.problems),
        judged=frozenset({("cells", at, "name")}) if known else frozenset(),
    )


def add_particle(
    uvn: Uvn,
    name: str,
    owner: str | None,
    *,
    new_owners: bool = False,
    settings: Iterable[Setting] = (),
) -> Edited:
    """Add a particle. With `new_owners`, an owner given as `'NAME <EMAIL>'` may be a new user.

    `settings` are relative to the particle.
    """
    uvn, email, problems = owned(uvn, owner, new_owners=new_owners)
    at = len(uvn.particles)
    known = taken("particle", name, (particle.name for particle in uvn.particles))
    added = with_added_particle(uvn, Particle(id=0, name=name, owner=email))
    changed = apply(added, (replace_path(setting, ("particles", at)) for setting in settings))
    options: dict[Path, str] = {
        **changed.options,
        ("particles", at): "NAME",
        ("particles", at, "owner"): "-o",
    }
    return Edited(
        uvn=changed.uvn,
        options=options,
        problems=(*problems, *known, *changed.problems),
        judged=frozenset({("particles", at, "name")}) if known else frozenset(),
    )


def set_owner(uvn: Uvn, text: str, *, password: str | None = None) -> Edited:
    """Make someone the owner of the UVN, and a user if they are none; `password` is a hash."""
    someone = mailbox(text)
    known = next((user for user in uvn.users if user.email == someone.email), None)
    if known is None:
        known = User(email=someone.email)
    known = replace(known, name=someone.name or known.name, password=password or known.password)
    changed = replace(with_user(uvn, known), owner=known.email)
    at = next(i for i, user in enumerate(changed.users) if user.email == known.email)
    options: dict[Path, str] = {
        ("owner",): "-o",
        ("users", at): "-o",
        ("users", at, "password"): "-p",
    }
    return Edited(uvn=changed, options=options)


def set_strategy(
    uvn: Uvn,
    strategy: Strategy | None,
    args: Mapping[str, Any] | None,
    *,
    seed: int,
    private_uplinks: int | None = None,
) -> Edited:
    """Choose how the backbone is laid out; `seed` is what the random strategy draws from."""
    deployment = uvn.settings.deployment
    chosen = strategy or deployment.strategy
    given = dict(args) if args is not None else None
    if given is None:
        # The arguments of another strategy mean nothing to this one.
        given = deployment.strategy_args if chosen is deployment.strategy else {}
    changed = replace(
        deployment,
        strategy=chosen,
        strategy_args=given,
        seed=seed if chosen is Strategy.RANDOM else deployment.seed,
        private_uplinks=deployment.private_uplinks if private_uplinks is None else private_uplinks,
    )
    options: dict[Path, str] = {
        ("settings", "deployment"): "-S",
        ("settings", "deployment", "strategy_args"): "-D",
        ("settings", "deployment", "private_uplinks"): "--private-uplinks",
    }
    return Edited(
        uvn=replace(uvn, settings=replace(uvn.settings, deployment=changed)), options=options
    )


def apply(uvn: Uvn, settings: Iterable[Setting]) -> Edited:
    """Set values, each at its place; a text for a network is read as one."""
    options: dict[Path, str] = {}
    problems: list[Problem] = []
    for setting in settings:
        value, problem = read_value(setting)
        if problem:
            problems.append(problem)
            continue
        uvn = _set(uvn, setting.path, value)
        options[setting.path] = setting.option
    return Edited(uvn=uvn, options=options, problems=tuple(problems))


def replace_path(setting: Setting, above: Path) -> Setting:
    """Return `setting` with its path below `above`."""
    return Setting(option=setting.option, path=(*above, *setting.path), value=setting.value)


def with_user(uvn: Uvn, user: User) -> Uvn:
    """Return `uvn` with `user` in place of the user with the same e-mail address."""
    others = [other for other in uvn.users if other.email != user.email]
    return replace(uvn, users=tuple(sorted([*others, user], key=lambda one: one.email)))


def read_networks(
    texts: Iterable[str], *, option: str
) -> tuple[tuple[Network, ...], tuple[Problem, ...]]:
    """Read networks in CIDR notation, in order; what cannot be read becomes a problem."""
    found: list[Network] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            found.append(network(text))
        except ValueError as error:
            problems.append(Problem(what=str(error), option=option))
    return tuple(sorted(found, key=network_order)), tuple(problems)


def read_value(setting: Setting) -> tuple[object, Problem | None]:
    """Return the value of `setting`, networks read from their text, or what is wrong with it."""
    if setting.path[-1] in _network_lists() and _are_texts(setting.value):
        networks, problems = read_networks(setting.value, option=setting.option)
        return networks, problems[0] if problems else None
    if setting.path[-1] != "subnet" or not isinstance(setting.value, str):
        return setting.value, None
    found, problems = read_networks([setting.value], option=setting.option)
    if problems:
        return None, problems[0]
    if not isinstance(found[0], IPv4Network):
        problem = Problem(
            what=f"{found[0]} is not an IPv4 network",
            hint="IPv6 addresses come from the UVN's own prefix",
            option=setting.option,
        )
        return None, problem
    return found[0], None


@cache
def _network_lists() -> frozenset[str]:
    """The names of the fields that hold networks."""
    hints = [
        hint for each in (Cell, Particle, VpnSettings) for hint in get_type_hints(each).items()
    ]
    return frozenset(name for name, hint in hints if hint == tuple[Network, ...])


def _are_texts(value: object) -> TypeGuard[tuple[str, ...]]:
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)


def owned(uvn: Uvn, text: str | None, *, new_owners: bool) -> tuple[Uvn, str, tuple[Problem, ...]]:
    """Return `uvn`, with a new user if that is wanted, the owner's e-mail address, and problems."""
    if text is None:
        return uvn, uvn.owner, ()
    someone = mailbox(text)
    if is_user(uvn, someone.email):
        return uvn, someone.email, ()
    if not someone.email:
        return uvn, uvn.owner, (Problem(what="empty", hint="give the owner's e-mail", option="-o"),)
    if new_owners:
        return with_user(uvn, User(email=someone.email, name=someone.name)), someone.email, ()
    similar = suggestion(someone.email, [user.email for user in uvn.users])
    unknown = Problem(
        what=f"{someone.email} is not a user",
        hint=similar or f"add them with: uno define user {someone.email}",
        option="-o",
    )
    # The UVN's owner in its place, so that the missing user causes no other problem.
    return uvn, uvn.owner, (unknown,)


def taken(
    kind: str, name: str, names: Iterable[str], *, option: str = "NAME"
) -> tuple[Problem, ...]:
    """Return the problem of a name that another one of its kind has."""
    if name not in names:
        return ()
    problem = Problem(
        what=f"there is already a {kind} called {name}",
        hint=f"choose another name; show it with: uno show {kind} {name}",
        option=option,
    )
    return (problem,)


def not_static(strategy: Strategy) -> Problem:
    """Return the problem of naming links that the strategy chooses by itself."""
    return Problem(
        what=f"the {strategy} strategy chooses the links by itself",
        hint="leave -L out, or use: uno redeploy -S static -D …",
        option="-L",
    )


def _set(value: Any, path: Path, new: object) -> Any:
    if not path:
        return new
    first, *rest = path
    if isinstance(first, int):
        items = list(value)
        items[first] = _set(items[first], tuple(rest), new)
        return tuple(items)
    assert isinstance(value, Struct)
    return replace(value, **{first: _set(getattr(value, first), tuple(rest), new)})


def _linked(uvn: Uvn, wanted: NewCell) -> tuple[Uvn, tuple[Problem, ...]]:
    deployment = uvn.settings.deployment
    if not wanted.links:
        return uvn, ()
    if deployment.strategy is not Strategy.STATIC:
        return uvn, (not_static(deployment.strategy),)
    args = {**deployment.strategy_args, wanted.name: list(wanted.links)}
    settings = replace(uvn.settings, deployment=replace(deployment, strategy_args=args))
    return replace(uvn, settings=settings), ()
