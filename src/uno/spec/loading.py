"""From a text to a definition that can be deployed: read, build, check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from uno.diagnostics import Position, Problem, refuse_errors
from uno.model.checks import Finding, Path, check
from uno.model.syntax import quoted
from uno.model.uvn import Uvn
from uno.spec.build import order_of_users, uvn_from
from uno.spec.document import Document, problems, read
from uno.spec.written_values import Spec, overlaid, written

T = TypeVar("T")


def load(
    text: str,
    *,
    file: str,
    identity: str,
    hash_password: Callable[[str], str],
    name: str | None = None,
    options: Spec | None = None,
) -> tuple[Uvn, tuple[Problem, ...]]:
    """Read, build and check a definition; return it with the warnings about it.

    `name` is the UVN's name if the command gives it; the text may leave it out, but not give
    another. `options` are the values of the command line; they replace those of the text. Users in
    it are added to those of the text, or merged with the one of the same e-mail address.
    Raises `Rejected` with every problem of the text and of the definition. Passwords are hashed
    only if there is no problem.
    """
    document = read(text, file=file)
    found = list(document.problems)
    if () not in document.broken:
        found += _problems(document, name, options or Spec(), identity)
    warnings = refuse_errors(found)
    spec = with_options(document.spec, options or Spec())
    name = name or spec.name or ""
    return uvn_from(spec, name=name, identity=identity, hash_password=hash_password), warnings


def with_options(spec: Spec, options: Spec) -> Spec:
    """Return `spec` with the values of `options` in place of its own."""
    if options.users is None:
        return overlaid(spec, options)
    beside = {user.email: user for user in options.users}
    users = [
        overlaid(user, beside.pop(user.email)) if user.email in beside else user
        for user in spec.users or ()
    ]
    return overlaid(spec, replace(options, users=(*users, *beside.values())))


def trusted(findings: Iterable[Finding], broken: frozenset[Path]) -> tuple[Finding, ...]:
    """Return the findings that do not depend on a value that could not be read."""
    around = {path[:length] for path in broken for length in range(len(path) + 1)}
    return tuple(
        finding
        for finding in findings
        if around.isdisjoint((finding.path, *finding.also, *finding.needs))
        and not any(finding.path[:length] in broken for length in range(len(finding.path)))
    )


def _problems(
    document: Document, name: str | None, options: Spec, identity: str
) -> Iterable[Problem]:
    spec = with_options(document.spec, options)
    missing = _missing(spec, name, document.positions[()])
    yield from (missing[path] for path in missing if path not in document.broken)
    yield from _two_names(document, name)
    draft = uvn_from(
        spec, name=name or spec.name or "", identity=identity, hash_password=lambda _: ""
    )
    places = _as_in_uvn(document.positions, spec)
    broken = _as_in_uvn(dict.fromkeys(document.broken), spec).keys() | missing.keys()
    findings = trusted(check(draft), frozenset(broken))
    elsewhere = {key for key in written(options) if key in {"name", "owner", "address"}}
    if name is not None:
        elsewhere.add("name")
    for finding, problem in zip(findings, problems(findings, places, document.file), strict=True):
        if finding.path[0] in elsewhere:
            yield replace(problem, where=None)
        else:
            yield problem


def _missing(spec: Spec, name: str | None, where: Position) -> dict[Path, Problem]:
    found: dict[Path, Problem] = {}
    if not (name or spec.name):
        found["name",] = Problem(
            what="the UVN has no name", hint="add name: … at the top", where=where
        )
    if not spec.owner:
        found["owner",] = Problem(
            what="the UVN has no owner",
            hint="add owner: EMAIL at the top, naming one of the users",
            where=where,
        )
    return found


def _two_names(document: Document, name: str | None) -> Iterable[Problem]:
    written_name = document.spec.name
    if name and written_name and written_name != name:
        yield Problem(
            what=f"the UVN is called {quoted(written_name)} here and {quoted(name)} by the command",
            hint="remove the key, or make the two agree",
            where=document.positions["name",],
        )


def _as_in_uvn(by_path: Mapping[Path, T], spec: Spec) -> dict[Path, T]:
    """Return `by_path` with the paths of the definition, whose users are sorted."""
    rank: dict[str | int, int] = {old: new for new, old in enumerate(order_of_users(spec))}
    found: dict[Path, T] = {}
    for path, value in by_path.items():
        match path:
            case ("users", index, *rest) if index in rank:
                found["users", rank[index], *rest] = value
            case ("owner",) if spec.users is None:
                # The owner is the one user.
                found["owner",] = found["users", 0] = value
            case _:
                found[path] = value
    return found
