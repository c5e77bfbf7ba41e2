from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from uno.model import codec
from uno.model.uvn import User, Uvn
from uno.registry.changes.history import Bans, bans, differences, lines, rolled_back


def shown(old: Uvn, new: Uvn) -> tuple[str, ...]:
    return lines(differences(old, new))


@pytest.mark.feature("G06")
def test_the_same_definition_has_no_differences(definition: Callable[..., Uvn]) -> None:
    assert shown(definition(), definition()) == ()


@pytest.mark.feature("G06")
def test_things_come_go_and_change(definition: Callable[..., Uvn]) -> None:
    old = definition(cells=3, particles=2)
    first = replace(old.cells[0], settings=replace(old.cells[0].settings, location="Attic"))
    new = replace(
        old,
        address=None,
        users=(*old.users, User(email="zoe@example.org")),
        cells=(first, old.cells[1]),
        particles=(replace(old.particles[0], name="mobile", excluded=True), old.particles[1]),
    )

    assert shown(old, new) == (
        "~ address registry.example.org → none",
        "+ user zoe@example.org",
        "- cell c3",
        "~ cell c1 settings.location none → Attic",
        "~ particle p1 name p1 → mobile",
        "~ particle p1 excluded false → true",
    )


@pytest.mark.feature("G06")
@pytest.mark.feature("G26")
def test_of_a_password_only_that_it_changed_is_reported(definition: Callable[..., Uvn]) -> None:
    old = definition()
    one, two = (
        replace(old, users=(replace(old.users[0], password=f"$argon2id${word}"),))
        for word in ("one", "two")
    )

    assert shown(one, two) == ("~ user john@example.org password changed",)
    assert shown(old, one) == ("~ user john@example.org password none → a password",)
    assert b"argon2" not in codec.encode(differences(one, two))
    assert b"argon2" not in codec.encode(differences(replace(one, users=()), one))


@pytest.mark.feature("G06")
def test_lists_and_mappings_are_shown_as_they_are(definition: Callable[..., Uvn]) -> None:
    old = definition(cells=1)
    deployment = replace(old.settings.deployment, strategy_args={"c1": ["c2"]})
    new = replace(
        old,
        cells=(replace(old.cells[0], allowed_lans=()),),
        settings=replace(old.settings, deployment=deployment),
    )

    assert shown(old, new) == (
        '~ settings.deployment.strategy_args none → {"c1":["c2"]}',
        "~ cell c1 allowed_lans 192.168.1.0/24 → none",
    )


@pytest.mark.feature("G06")
def test_going_back_gives_no_id_again_and_no_password_back(definition: Callable[..., Uvn]) -> None:
    then = definition(cells=2)
    now = definition(cells=3, particles=3)
    now = replace(now, users=(replace(now.users[0], password="$argon2id$new"),))  # noqa: S106

    back = rolled_back(now, then, Bans()).uvn

    assert (back.cells, back.particles) == (then.cells, then.particles)
    assert (back.next_cell, back.next_particle) == (4, 4)
    assert back.users == now.users


@pytest.mark.feature("G06")
def test_going_back_lifts_no_ban(definition: Callable[..., Uvn]) -> None:
    then = definition(cells=2, particles=2)
    then = replace(then, users=(*then.users, User(email="eve@example.org")))
    now = replace(
        then,
        users=(then.users[0], replace(then.users[1], excluded=True)),
        cells=(replace(then.cells[0], excluded=True), then.cells[1]),
        particles=(then.particles[0], replace(then.particles[1], excluded=True)),
    )

    back = rolled_back(now, then, bans([now, then], then))

    assert back.uvn == now
    assert [(each.what, each.hint) for each in back.problems] == [
        ("cell c1 stays banned", "lift the ban with: uno unban cell c1"),
        ("particle p2 stays banned", "lift the ban with: uno unban particle p2"),
        ("user eve@example.org stays banned", "lift the ban with: uno unban user eve@example.org"),
    ]


@pytest.mark.feature("G06")
def test_a_ban_outlives_the_deletion_of_the_banned(definition: Callable[..., Uvn]) -> None:
    then = definition(cells=2, particles=2)
    banned = replace(then, particles=(replace(then.particles[0], excluded=True),))
    deleted = replace(banned, particles=())

    assert bans([deleted, banned, then], then) == Bans(particles=frozenset({1}))


@pytest.mark.feature("G06")
def test_a_ban_that_was_lifted_holds_no_more(definition: Callable[..., Uvn]) -> None:
    then = definition(cells=2)
    banned = replace(then, cells=(replace(then.cells[0], excluded=True), then.cells[1]))

    assert bans([then, banned, then], then) == Bans()
    assert bans([then, banned], banned) == Bans()


@pytest.mark.feature("G06")
def test_no_more_of_the_history_is_read_than_it_takes(definition: Callable[..., Uvn]) -> None:
    now = definition()

    def history() -> Iterator[Uvn]:
        yield now
        raise AssertionError

    assert bans(history(), now) == Bans()
