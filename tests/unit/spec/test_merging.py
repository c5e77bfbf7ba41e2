from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from uno.diagnostics import Rejected
from uno.model.uvn import (
    Cell,
    CellSettings,
    Middleware,
    Particle,
    Settings,
    Strategy,
    User,
    Uvn,
)
from uno.spec.merging import Merged, Removal, merge

JANE, JOHN, NEW = (f"$argon2id${name}" for name in ("jane", "john", "new"))
UVN = Uvn(
    name="net",
    identity="ab" * 16,
    owner="john@example.org",
    address="r.example.org",
    users=(
        User(email="jane@example.org", name="Jane", password=JANE),
        User(email="john@example.org", password=JOHN),
    ),
    cells=(
        Cell(
            id=2,
            name="a",
            owner="john@example.org",
            address="a.example.org",
            allowed_lans=(IPv4Network("192.168.1.0/24"),),
            settings=CellSettings(location="Attic"),
        ),
        Cell(
            id=3,
            name="b",
            owner="jane@example.org",
            address="b.example.org",
            allowed_lans=(IPv4Network("192.168.2.0/24"),),
        ),
    ),
    particles=(
        Particle(id=1, name="phone", owner="john@example.org"),
        Particle(id=4, name="lost", owner="john@example.org", excluded=True),
    ),
    settings=Settings(dds_domain=12),
    next_cell=7,
    next_particle=5,
)


def merged(text: str, *, prune: bool = False, uvn: Uvn = UVN) -> Merged:
    def hashed(password: str, old: str | None) -> str:
        return old if old == f"$argon2id${password}" else f"$argon2id${password}"

    return merge(text, file="uvn.yml", uvn=uvn, prune=prune, hash_password=hashed)


def refused(text: str, *, prune: bool = False) -> list[str]:
    with pytest.raises(Rejected) as caught:
        merged(text, prune=prune)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.feature("G09")
def test_missing_keys_keep_their_values() -> None:
    found = merged("cells: [{name: a, allowed_lans: [10.1.0.0/16]}]")

    a = replace(UVN.cells[0], allowed_lans=(IPv4Network("10.1.0.0/16"),))
    assert found.uvn == replace(UVN, cells=(a, UVN.cells[1]))


@pytest.mark.feature("G09")
def test_with_prune_missing_keys_get_their_defaults() -> None:
    text = """\
owner: john@example.org
cells: [{name: a, address: a.example.org}]
"""

    found = merged(text, prune=True).uvn

    assert found.address is None
    assert found.settings == Settings()
    assert found.users == (UVN.users[1],)
    assert found.cells == (Cell(id=2, name="a", owner="john@example.org", address="a.example.org"),)
    assert found.particles == ()
    assert (found.next_cell, found.next_particle) == (7, 5)


@pytest.mark.feature("G09")
def test_new_things_get_the_next_ids_in_the_order_of_the_file() -> None:
    text = (
        "cells: [{name: z, owner: jane@example.org}, {name: a}, {name: y}]\nparticles: [{name: p}]"
    )

    found = merged(text).uvn

    assert [(cell.id, cell.name) for cell in found.cells] == [
        (2, "a"),
        (3, "b"),
        (7, "z"),
        (8, "y"),
    ]
    assert [each.id for each in found.particles] == [1, 4, 5]
    assert (found.next_cell, found.next_particle) == (9, 6)
    assert [cell.owner for cell in found.cells][2:] == ["jane@example.org", "john@example.org"]


@pytest.mark.feature("G09")
def test_lacking_names_what_the_file_lacks() -> None:
    assert merged("cells: [{name: b}]").lacking == Removal(
        users=("jane@example.org",), cells=("a",), particles=("phone", "lost")
    )


@pytest.mark.feature("G09")
@pytest.mark.parametrize("prune", [False, True])
def test_passwords_and_bans_stay_when_a_file_is_silent_on_them(prune: bool) -> None:  # noqa: FBT001
    text = """\
owner: john@example.org
users: [{email: john@example.org, name: John}, {email: jane@example.org}]
cells: [{name: a, address: a.example.org}]
particles: [{name: lost}]
"""

    found = merged(text, prune=prune).uvn

    assert [user.password for user in found.users] == [JANE, JOHN]
    assert [user.name for user in found.users] == [None if prune else "Jane", "John"]
    assert found.particles[-1].excluded


@pytest.mark.feature("G09")
def test_excluded_false_lifts_a_ban() -> None:
    found = merged("particles: [{name: lost, config: {excluded: false}}]").uvn

    assert not found.particles[1].excluded


@pytest.mark.feature("G09")
def test_a_password_that_fits_its_hash_changes_nothing() -> None:
    same = merged("users: [{email: jane@example.org, password: jane}]").uvn
    other = merged("users: [{email: jane@example.org, password: new}]").uvn

    assert same == UVN
    assert other.users[0].password == NEW


@pytest.mark.feature("G09")
@pytest.mark.feature("G31")
def test_the_middleware_stays_unless_it_is_written() -> None:
    """A text from a time of another default changes it no more than one that leaves it out."""
    uvn = replace(UVN, settings=replace(UVN.settings, middleware=Middleware.CYCLONE))
    text = "owner: john@example.org\nusers: [{email: john@example.org}]\n"

    kept = merged(f"{text}settings: {{timing_profile: fast}}", uvn=uvn, prune=True)
    given = merged(f"{text}settings: {{middleware: tcp}}", uvn=uvn, prune=True)

    assert kept.uvn.settings.middleware is Middleware.CYCLONE
    assert given.uvn.settings.middleware is Middleware.TCP


@pytest.mark.feature("G09")
def test_the_seed_stays_unless_it_is_written() -> None:
    deployment = replace(UVN.settings.deployment, strategy=Strategy.RANDOM, seed=77)
    uvn = replace(UVN, settings=replace(UVN.settings, deployment=deployment))
    text = "owner: john@example.org\nusers: [{email: john@example.org}]\n"

    kept = merged(f"{text}settings: {{deployment: {{strategy: random}}}}", uvn=uvn, prune=True)
    given = merged(f"{text}settings: {{deployment: {{seed: 5}}}}", uvn=uvn, prune=True)

    assert kept.uvn.settings.deployment.seed == 77
    assert given.uvn.settings.deployment.seed == 5


@pytest.mark.feature("G09")
@pytest.mark.feature("G46")
def test_every_problem_has_its_position() -> None:
    text = """\
name: other
cells:
  - name: c
    address: a.example.org
    allowed_lans: [192.168.2.128/25]
    colour: red
  - name: d
    owner: jan@example.org
"""

    found = refused(text)

    assert [line.split(" ")[0] for line in found] == [
        "uvn.yml:1:7:",
        "uvn.yml:3:11:",
        "uvn.yml:5:20:",
        "uvn.yml:6:5:",
        "uvn.yml:7:5:",
        "uvn.yml:8:12:",
    ]
    assert "called 'other' here and 'net' in the registry" in found[0]
    assert "c is new and a is not in the file" in found[1]
    assert "uno config cell a -U --name c" in found[1]
    assert "overlaps LAN 192.168.2.0/24 of b" in found[2]
    assert "jan@example.org" in found[5]


@pytest.mark.feature("G09")
def test_a_name_that_changes_is_hinted_at() -> None:
    text = """\
owner: john@example.org
users: [{email: john@example.org}, {email: jane@example.org}]
cells:
  - {name: attic, address: a.example.org, allowed_lans: [192.168.1.0/24]}
  - {name: b, address: b.example.org}
particles: [{name: mobile}, {name: lost}]
"""

    warnings = [str(problem) for problem in merged(text, prune=True).warnings]

    assert len(warnings) == 2
    assert "uno config cell a -U --name attic" in warnings[0]
    assert "uno config particle phone -U --name mobile" in warnings[1]


@pytest.mark.feature("G09")
def test_a_name_that_stands_twice_is_refused() -> None:
    assert any("a" in line for line in refused("cells: [{name: a}, {name: a}]"))


def test_text_that_is_no_specification_is_refused() -> None:
    assert refused("[1, 2")
    assert refused("cells: 7")


def test_an_empty_file_changes_nothing() -> None:
    assert merged("").uvn == UVN


def test_pruned_by_an_empty_file_the_owner_is_left() -> None:
    found = merged("", prune=True).uvn

    assert (found.owner, found.users, found.cells) == (UVN.owner, (UVN.users[1],), ())
