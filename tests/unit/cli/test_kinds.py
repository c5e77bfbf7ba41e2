"""Every kind of thing can be listed and shown, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Uno
from uno.registry.changes import operations
from uno.registry.publish import keygen


@pytest.mark.feature("G41")
@pytest.mark.parametrize(
    ("kind", "count"),
    [("users", 1), ("cells", 2), ("particles", 1), ("links", 1), ("generations", 4), ("keys", 19)],
)
def test_every_kind_of_thing_is_listed(site: Uno, kind: str, count: int) -> None:
    table = site("list", kind)
    values = site("list", kind, "-J")

    assert (table.status, values.status) == (0, 0)
    assert len(json.loads(values.out)) == count


@pytest.mark.feature("G41")
@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("uvn", "net"),
        ("cell a", "a.example.org"),
        ("particle phone", "10.254.0.2"),
        ("user john@example.org", "cells      a, b"),
        ("link a b", "63550"),
        ("generation 3", "+ cell b"),
        ("plan", "uwg-b0"),
        ("backbone", "uwg-b0"),
    ],
)
def test_every_kind_of_thing_is_shown(site: Uno, words: str, reported: str) -> None:
    text = site("show", *words.split())
    value = site("show", *words.split(), "-J")

    assert (text.status, value.status) == (0, 0)
    assert reported in text.out
    assert json.loads(value.out)


@pytest.mark.feature("G41")
def test_no_secret_is_among_the_keys_that_are_listed(site: Uno, root: Path) -> None:
    with operations.opened(root) as registry:
        found = registry.store.secrets()

    shown = site("list", "keys").out + site("list", "keys", "-J").out

    for name, secret in found.items():
        assert name in shown
        assert keygen.text(secret.private) not in shown
    assert "SHA256:" in shown


@pytest.mark.feature("G41")
def test_the_keys_show_what_they_are_for(site: Uno) -> None:
    found = {each["id"]: each["of"] for each in json.loads(site("list", "keys", "-J").out)}

    assert found["link/1-2/1"] == "link a ↔ b"
    assert found["root/2"] == "cell b"
    assert found["root/registry"] == "the registry"
    assert found["particle/1"] == "particle phone"
    assert found[keygen.SIGNING] == "the registry: signs packages"


@pytest.mark.feature("G41")
def test_the_hash_of_a_password_is_not_shown(site: Uno) -> None:
    shown = "".join(
        site("show", *words.split()).out
        for words in ("user john@example.org", "user john@example.org -J", "generation 1 -J")
    )

    assert '"has_password": true' in shown
    assert "argon2" not in shown


@pytest.mark.feature("G41")
@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("link a x", "there is no cell called 'x'"),
        ("user jon@example.org", "did you mean john@example.org?"),
        ("generation 9", "there is no generation 9"),
    ],
)
def test_an_unknown_object_is_reported(site: Uno, words: str, reported: str) -> None:
    done = site("show", *words.split())

    assert done.status == 2
    assert reported in done.err


@pytest.mark.feature("G41")
def test_cells_that_are_not_linked_are_reported(site: Uno) -> None:
    for at, name in enumerate("cd"):
        site("define", "cell", name, "-N", f"10.{at}.0.0/16")

    done = site("show", "link", "c", "d")

    assert (done.status, done.err) == (
        2,
        "uno: c and d are not linked; uno list links shows those there are\n",
    )
