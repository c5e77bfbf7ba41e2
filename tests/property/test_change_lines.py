"""Whatever field of a definition or plan changes: plan, log and diff name it.

The fields are found in the types, so that a new one is covered, or fails here.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields, replace

from documented import counts
from uno.cli.input.options import Changing, JsonOption
from uno.cli.output import generation_views, plan_view
from uno.diagnostics import Rejected, Severity
from uno.model.checks import check
from uno.model.net import Network
from uno.model.plan import CellSet, Plan
from uno.model.uvn import (
    PARTICLES_VPN,
    Cell,
    CellSettings,
    DeploymentSettings,
    Particle,
    Settings,
    TimingProfile,
    User,
    Uvn,
    WebSettings,
)
from uno.planning.diff import plan_diff
from uno.planning.planner import plan, required_keys, with_keys
from uno.registry.changes import change_lines, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.store.generation_store import Entry, Generation

Path_: TypeAlias = tuple[str | int, ...]

OWNER, OTHER = "john@example.org", "jane@example.org"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# What no owner declares: counters that follow from what they do.
NOT_DECLARED = {("next_cell",), ("next_particle",)}
# The order of the ring matters only for the links that it leads to, which are compared. An id is
# which cell or link it is: another one comes, and this one goes.
NOT_COMPARED = {
    ("ring",),
    ("cells", 0, "member", "id"),
    ("links", 0, "a", "cell"),
    ("links", 0, "b", "cell"),
}


def lan(number: int) -> IPv4Network:
    return IPv4Network(f"192.168.{number}.0/24")


UVN = Uvn(
    name="net",
    identity="0123456789abcdef" * 2,
    owner=OWNER,
    address="registry.example.org",
    users=(User(email=OTHER, name="Jane"), User(email=OWNER, name="John", password="$argon2id$a")),  # noqa: S106
    cells=(
        Cell(
            id=1,
            name="a",
            owner=OWNER,
            address="a.example.org",
            allowed_lans=(lan(1),),
            settings=CellSettings(
                location="attic",
                web=WebSettings(certificate="/etc/page.pem", key="/etc/page.key"),
                root_vpn_port=50001,
                particles_vpn_port=50002,
                backbone_vpn_port=50003,
                timing_profile=TimingProfile.METERED,
            ),
        ),
        Cell(id=2, name="b", owner=OWNER, address="b.example.org", allowed_lans=(lan(2),)),
        Cell(id=3, name="c", owner=OWNER, address="c.example.org", allowed_lans=(lan(3),)),
        Cell(id=4, name="d", owner=OWNER, allowed_lans=(lan(4),)),
    ),
    particles=(Particle(id=1, name="phone", owner=OWNER), Particle(id=2, name="pad", owner=OWNER)),
    settings=Settings(
        deployment=DeploymentSettings(private_uplinks=1),
        # Without a tunnel for everything, so that networks for particles mean something.
        particles_vpn=replace(PARTICLES_VPN, tunnel=False),
    ),
    next_cell=5,
    next_particle=3,
)

# New values where one of the type alone would be no value of the field.
VALUES: dict[str, Any] = {
    "owner": OTHER,
    "email": "new@example.org",
    "password": "$argon2id$b",
    "address": "new.example.org",
    "identity": "f" * 32,
    "interface": "vpn{}",
    "peer_mtu": 1400,
    "strategy_args": {"a": ["b", "c"], "d": ["a"]},
    "allowed_ips": (IPv4Network("172.30.0.0/24"),),
    "peer_port": 40000,
    "to": ("https://hooks.example.org/uno",),
    "via": ("b",),
    "heartbeat": "https://hc.example.org/ping",
}
SUBNETS = {
    "root_vpn": IPv4Network("10.1.0.0/22"),
    "particles_vpn": IPv4Network("10.2.0.0/16"),
    "backbone_vpn": IPv4Network("10.3.0.0/20"),
}


def paths(value: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Yield the place of every field that holds no others; of items in a row, the first counts."""
    if isinstance(value, Struct) and not isinstance(value, CellSet):
        for each in fields(value):
            yield from paths(getattr(value, each.name), (*above, each.name))
    elif isinstance(value, tuple) and value and isinstance(value[0], Struct):
        yield from paths(value[0], (*above, 0))
    else:
        yield above


def found_at(value: Any, path: Path_) -> Any:
    for key in path:
        value = value[key] if isinstance(key, int) else getattr(value, key)
    return value


def changed_at(value: Any, path: Path_, new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    if isinstance(first, int):
        items = list(value)
        items[first] = changed_at(items[first], tuple(rest), new)
        return tuple(items)
    return replace(value, **{first: changed_at(getattr(value, first), tuple(rest), new)})


def another(path: Path_, value: Any) -> Any:
    """Return a value of a field that is not its own."""
    key = str(path[-1])
    if key == "subnet":
        return SUBNETS[str(path[-2])]
    return VALUES[key] if key in VALUES else another_of_its_type(value)


def another_of_its_type(value: Any) -> Any:  # noqa: PLR0911 - one for each type
    match value:
        case bool():
            return not value
        case int():
            return value + 7
        case StrEnum():
            return next(each for each in type(value) if each is not value)
        case str():
            return f"{value}x"
        case IPv4Address() | IPv6Address():
            return value + 8
        case IPv4Network() | IPv6Network():
            return type(value)((int(value.network_address) + value.num_addresses, value.prefixlen))
        case tuple() as lans if all(isinstance(each, Network) for each in lans):
            return (*lans, IPv4Network("172.31.0.0/24"))
        case CellSet():
            return replace(value, complement=not value.complement)
        case dict() as keys:
            return {**keys, "root/1": "another"}
    raise AssertionError(f"there is no other value for {value!r}")


DECLARED = sorted(set(paths(UVN)) - NOT_DECLARED)
# They identify an item: with another it is another item.
IDENTITIES = {"id", "email"}
# Names of the fields in lines about the plan, where they are others.
PLANNED = {
    "allowed_lans": "announces",
    "settings.httpd_port": "httpd port",
    "settings.location": "location",
    "settings.deployment.strategy": "strategy",
}


def thing(path: Path_) -> str:
    """Return how lines call the item at `path`; empty for the UVN."""
    if isinstance(path[0], str) and path[0] in {"users", "cells", "particles"}:
        item = found_at(UVN, path[:2])
        return f"{path[0].removesuffix('s')} {item.email if path[0] == 'users' else item.name}"
    return ""


def is_named(path: Path_, lines: tuple[str, ...]) -> bool:
    """Whether a line is about this field of this item."""
    named = thing(path)
    if path[-1] in IDENTITIES:
        return all(any(line.startswith(f"{sign} {named}") for line in lines) for sign in "-") and (
            any(line.startswith(f"+ {str(path[0]).removesuffix('s')} ") for line in lines)
        )
    below = path[2:] if named else path
    key = ".".join(map(str, below))
    new_name = f"{named}x" if path[-1] == "name" else named
    for line in lines:
        about = f"{line.removeprefix('~ ')} "
        for name in (named, new_name):
            rest = f" {about.removeprefix(name)}" if about.startswith(name) else ""
            if f" {key} " in rest or f" {PLANNED.get(key, key)} " in rest:
                return True
    return False


def with_some_keys(decided: Plan) -> Plan:
    return with_keys(decided, dict.fromkeys(required_keys(decided).pairs, "a key"))


@dataclass(frozen=True)
class Change:
    """A definition before and after, with their plans."""

    before: Generation
    after: Generation

    @property
    def lines(self) -> tuple[str, ...]:
        old, new = self.before, self.after
        return change_lines.lines((old.uvn, old.plan), (new.uvn, new.plan))


def generation(number: int, uvn: Uvn, decided: Plan) -> Generation:
    entry = Entry(number=number, time=NOW, who="tester", why="a test", digest="")
    return Generation(entry=entry, uvn=uvn, plan=decided)


FIRST = generation(1, UVN, with_some_keys(plan(UVN, None)))


def change_of(chosen: list[Path_]) -> Change:
    uvn = UVN
    for path in chosen:
        uvn = changed_at(uvn, path, another(path, found_at(UVN, path)))
    return Change(FIRST, generation(2, uvn, plan(uvn, FIRST.plan)))


def printed(change: Change, show: Callable[[Any], None]) -> tuple[str, ...]:
    """Return what a view of the history prints of a registry with these two generations."""
    both = {each.number: each for each in (change.before, change.after)}
    store = SimpleNamespace(
        generation=both.get, history=lambda: [each.entry for each in both.values()]
    )
    out = io.StringIO()
    with redirect_stdout(out):
        show(SimpleNamespace(store=store))
    joined = out.getvalue().replace("\n    ", " ")
    return tuple(joined.splitlines())


@pytest.mark.feature("G01")
@pytest.mark.feature("G06")
@pytest.mark.feature("G26")
@pytest.mark.parametrize("path", DECLARED, ids=lambda path: ".".join(map(str, path)))
def test_a_change_of_any_field_is_named_by_plan_log_and_diff(path: Path_) -> None:
    change = change_of([path])
    text = JsonOption()

    log = printed(change, lambda it: generation_views.show_log(it, text, None, everything=True))
    diff = printed(change, lambda it: generation_views.show_diff(it, text, 1, 2))

    assert is_named(path, change.lines), change.lines
    assert is_named(path, log), log
    assert is_named(path, diff), diff


@pytest.mark.feature("G01")
@pytest.mark.feature("G06")
@pytest.mark.feature("G26")
@settings(max_examples=100)
@given(chosen=st.lists(st.sampled_from(DECLARED), unique=True, min_size=2, max_size=6))
def test_of_several_changes_each_is_named(chosen: list[Path_]) -> None:
    identities = [path[:2] for path in chosen if path[-1] in IDENTITIES]
    assume(not any(path[:2] in identities and path[-1] not in IDENTITIES for path in chosen))
    try:
        change = change_of(chosen)
    except Rejected:
        # There is no plan for such a definition.
        return

    assert [path for path in chosen if not is_named(path, change.lines)] == [], change.lines


PLANNED_PATHS = sorted(set(paths(FIRST.plan)) - NOT_COMPARED, key=str)


@pytest.mark.feature("G01")
@pytest.mark.parametrize(
    "path",
    PLANNED_PATHS,
    ids=lambda path: ".".join(map(str, path)),
)
def test_no_field_of_a_plan_is_without_a_line(path: Path_) -> None:
    value = found_at(FIRST.plan, path)
    new = changed_at(FIRST.plan, path, another(path, value) if value is not None else 7)

    assert plan_diff.lines(plan_diff.diff(FIRST.plan, new))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registry") / "uvn"
    operations.define_uvn(root, Edited(uvn=UVN), by=Author(who="tester", time=NOW))
    return root


def is_accepted(path: Path_) -> bool:
    wanted = changed_at(UVN, path, another(path, found_at(UVN, path)))
    return not any(finding.severity is Severity.ERROR for finding in check(wanted))


ACCEPTED = list(filter(is_accepted, DECLARED))


def packages(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "cells").iterdir()}


@pytest.mark.feature("G01")
@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: ".".join(map(str, path)))
def test_no_cell_is_affected_exactly_if_no_cell_package_changes(
    path: Path_, made: Path, tmp_path: Path
) -> None:
    root = tmp_path / "uvn"
    shutil.copytree(made, root)
    before = packages(root)
    wanted = changed_at(UVN, path, another(path, found_at(UVN, path)))
    common = Changing(root=root, verbose=1, dry_run=True)
    by = Author(who="tester", time=NOW)
    out = io.StringIO()

    with operations.opened(root, dry_run=True) as registry, redirect_stdout(out):
        tried = operations.change(
            registry, lambda _: Edited(uvn=wanted), by=by, why="", dry_run=True
        )
        plan_view.show_plan(common, JsonOption(), tried)
    with operations.opened(root, for_change=True) as registry:
        done = operations.change(registry, lambda _: Edited(uvn=wanted), by=by, why="")

    text = out.getvalue().lower()
    is_affected = packages(root) != before
    assert ("no cell is affected" in text) == (not is_affected)
    assert text.count("no cell is affected") == (0 if is_affected else 2)
    assert tried.published.cell_packages == done.published.cell_packages
    assert tried.lines == done.lines


def test_the_documentation_has_the_number_of_fields() -> None:
    assert [*counts("tests/property/test_change_lines.py").values()] == [
        len(DECLARED),
        len(ACCEPTED),
        len(PLANNED_PATHS),
    ]
