from __future__ import annotations

from pathlib import Path

import pytest

from commands import Uno
from uno.registry.changes import operations

JANE = "jane@example.org"


def generation(root: Path) -> int:
    with operations.opened(root) as registry:
        return registry.store.head().number


@pytest.fixture
def janes(site: Uno) -> Uno:
    """As `site`, with a particle and a cell of Jane's, at generation 6."""
    owner = f"Jane Doe <{JANE}>"
    assert site("define", "particle", "hers", "-o", owner, "-y").status == 0
    assert site("define", "cell", "c", "-a", "c.example.org", "-o", JANE).status == 0
    return site


@pytest.mark.feature("F046")
@pytest.mark.feature("F047")
@pytest.mark.parametrize("thing", ["cell b", "particle phone", f"user {JANE}"])
def test_things_are_banned_and_admitted_again(janes: Uno, root: Path, thing: str) -> None:
    banned = janes("ban", *thing.split())
    admitted = janes("unban", *thing.split())

    assert (banned.status, admitted.status) == (0, 0)
    assert f"Banned {thing}." in banned.out
    assert f"Admitted {thing} again." in admitted.out
    assert generation(root) == 8


@pytest.mark.feature("F048")
@pytest.mark.feature("F052")
@pytest.mark.parametrize("thing", ["cell b", "particle phone", f"user {JANE}"])
def test_nothing_is_deleted_without_a_yes(
    janes: Uno, root: Path, monkeypatch: pytest.MonkeyPatch, thing: str
) -> None:
    no_terminal = janes("delete", *thing.split())
    no = janes("delete", *thing.split(), "--no")
    monkeypatch.setenv("CI", "1")
    in_ci = janes("delete", *thing.split())
    assert (no_terminal.status, no.status, in_ci.status) == (2, 2, 2)
    assert "nothing was changed" in no_terminal.err
    assert generation(root) == 6

    yes = janes("delete", *thing.split(), "-y")

    assert yes.status == 0, yes.err
    assert f"Deleted {thing}." in yes.out
    assert generation(root) == 7


@pytest.mark.feature("F049")
def test_it_is_reported_what_goes_to_the_owner_of_the_uvn(janes: Uno) -> None:
    asked = janes("delete", "user", JANE)

    assert "cell c, particle hers will belong to john@example.org" in asked.err
    assert janes("delete", "user", JANE, "-y").status == 0
    assert janes("config", "cell", "c", "-Q", "owner").out == "john@example.org\n"
    assert janes("config", "particle", "hers", "-Q", "owner").out == "john@example.org\n"


@pytest.mark.feature("F049")
@pytest.mark.parametrize("verb", ["ban", "delete"])
def test_the_owner_of_the_uvn_is_neither_banned_nor_deleted(
    site: Uno, root: Path, verb: str
) -> None:
    refused = site(verb, "user", "john@example.org", "-y")

    assert refused.status == 2
    assert "john@example.org owns the UVN" in refused.err
    assert "uno config uvn -U -o EMAIL" in refused.err
    assert generation(root) == 4


@pytest.mark.parametrize("verb", ["ban", "unban", "delete"])
@pytest.mark.parametrize("thing", ["cell x", "particle x", "user x@example.org"])
def test_an_unknown_name_is_reported(site: Uno, verb: str, thing: str) -> None:
    refused = site(verb, *thing.split(), "-y")

    assert refused.status == 2
    assert f"there is no {thing.split(maxsplit=1)[0]}" in refused.err
