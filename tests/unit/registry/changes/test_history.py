from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from uno.model import codec
from uno.model.uvn import User, Uvn
from uno.registry.changes.history import differences, lines, rolled_back


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

    back = rolled_back(now, then).uvn

    assert (back.cells, back.particles) == (then.cells, then.particles)
    assert (back.next_cell, back.next_particle) == (4, 4)
    assert back.users == now.users
