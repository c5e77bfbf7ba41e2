from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import Uno
from uno.model.uvn import Uvn
from uno.registry.changes import operations

PRUNED = "cells: [{name: a, address: a.example.org}]"


def definition(root: Path) -> Uvn:
    with operations.opened(root) as registry:
        return registry.store.head().uvn


def secrets(root: Path) -> dict[str, bytes]:
    with operations.opened(root) as registry:
        return {name: each.private for name, each in registry.store.secrets().items()}


@pytest.mark.feature("G06")
@pytest.mark.feature("G26")
def test_the_history_shows_when_who_and_why_newest_first(site: Uno) -> None:
    site("define", "user", "eve@example.org", "-p", "x", "-m", "helps us", "--as", "Ann")

    lines = site("history").out.splitlines()

    assert lines[0].split() == ["GENERATION", "TIME", "WHO", "WHY"]
    assert lines[1].split()[0] == "5"
    assert lines[1].split()[-3:] == ["Ann", "helps", "us"]
    assert lines[2].endswith("define particle phone")
    numbers = [line.split()[0] for line in lines[1:] if line[9].isdigit()]
    assert numbers == ["5", "4", "3", "2", "1"]


@pytest.mark.feature("G06")
@pytest.mark.feature("G41")
def test_the_history_is_a_value_for_programs(site: Uno) -> None:
    found = json.loads(site("history", "-J", "-n", "2").out)

    assert [each["number"] for each in found] == [4, 3]
    assert set(found[0]) == {"number", "time", "who", "why", "digest"}


@pytest.mark.feature("G26")
def test_the_log_shows_what_changed_too(site: Uno) -> None:
    site("define", "user", "eve@example.org", "-p", "x")

    shown = site("log", "-n", "2").out
    found = json.loads(site("log", "-n", "2", "-J").out)

    assert "Generation 5" in shown
    assert "+ user eve@example.org" in shown
    assert "+ particle phone" in shown
    assert "Generation 3" not in shown
    assert found[0]["declared"][0]["thing"] == "user eve@example.org"
    assert found[1]["decided"]["particles"]["added"][0]["name"] == "phone"


@pytest.mark.feature("G26")
def test_no_password_is_in_the_log(site: Uno) -> None:
    site("define", "user", "eve@example.org", "-p", "hunter2")
    site("apply", "-s", "users: [{email: eve@example.org, password: hunter3}]")

    shown = site("log").out + site("log", "-J").out + site("history").out + site("diff").out

    assert "~ user eve@example.org password changed" in shown
    assert "hunter" not in shown
    assert "argon2" not in shown


@pytest.mark.feature("G06")
def test_the_last_two_generations_are_compared(site: Uno) -> None:
    shown = site("diff").out

    assert shown.splitlines() == [
        "Generation 3 → 4",
        "",
        "Definition",
        "+ particle phone",
        "",
        "Plan",
        "~ masquerade of cells and particles in LANs false → true",
        "+ particle phone  10.254.0.2",
    ]


@pytest.mark.feature("G06")
def test_any_two_generations_are_compared_in_either_direction(site: Uno) -> None:
    assert "+ cell b" in site("diff", "2", "4").out
    assert "- cell b" in site("diff", "4", "2").out
    assert site("diff", "4", "4").out == "Generations 4 and 4 are the same.\n"
    found = json.loads(site("diff", "2", "4", "-J").out)
    assert (found["before"]["number"], found["after"]["number"]) == (2, 4)


@pytest.mark.feature("G06")
def test_what_cells_do_not_learn_of_is_compared_too(site: Uno) -> None:
    text = "settings: {dds_domain: 7, deployment: {private_uplinks: 2}}"
    site("apply", "-s", text)

    shown = site("diff").out

    assert "~ settings.dds_domain 46 → 7" in shown
    assert "~ settings.deployment.private_uplinks 1 → 2" in shown


@pytest.mark.feature("G06")
@pytest.mark.parametrize("words", [("diff", "1", "9"), ("diff", "9", "1"), ("rollback", "9")])
def test_a_generation_that_there_is_not_is_reported(site: Uno, words: tuple[str, ...]) -> None:
    done = site(*words)

    assert done.status != 0
    assert "there is no generation 9; uno history lists them" in done.err


@pytest.mark.feature("G06")
def test_a_rollback_gives_back_what_was_declared_as_a_new_generation(site: Uno, root: Path) -> None:
    before = definition(root)
    site("define", "cell", "c", "-a", "c.example.org", "-N", "192.168.3.0/24")
    site("define", "particle", "tablet")

    done = site("rollback", "4", "-y", "-m", "too early")

    after = definition(root)
    assert "generation 6 → 7" in done.out
    assert after.cells == before.cells
    assert after.particles == before.particles
    assert (after.next_cell, after.next_particle) == (4, 3)
    assert json.loads(site("history", "-n", "1", "-J").out)[0]["why"] == "too early"
    assert not (root / "cells/net__c.uvn-agent").exists()


@pytest.mark.feature("G06")
def test_ids_are_not_given_again_after_a_rollback(site: Uno, root: Path) -> None:
    site("define", "cell", "c", "-a", "c.example.org")
    site("rollback", "4", "-y")

    site("define", "cell", "d", "-a", "d.example.org")

    assert [(cell.id, cell.name) for cell in definition(root).cells][-1] == (4, "d")


@pytest.mark.feature("G06")
def test_keys_that_were_revoked_stay_revoked(site: Uno, root: Path) -> None:
    before = secrets(root)
    site("apply", "--prune", "-y", "-s", "cells: [{name: a, address: a.example.org}]")
    assert site("rollback", "4", "-y").status == 0

    after = secrets(root)

    assert after.keys() == before.keys()
    revoked = {"root/2", "root/2/psk", "link/1-2/1", "link/1-2/2", "hub/2", "particle/1"}
    assert all(after[name] != before[name] for name in revoked)
    assert after["root/1"] == before["root/1"]


@pytest.mark.feature("F046")
@pytest.mark.feature("G06")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_rollback_gives_a_banned_phone_no_package(
    site: Uno, root: Path, *, is_deleted: bool
) -> None:
    package = root / "particles/net__phone.zip"
    site("ban", "particle", "phone", "-y")
    if is_deleted:
        site("delete", "particle", "phone", "-y")
    site("config", "cell", "b", "-U", "--location", "attic")
    assert not package.exists()

    done = site("rollback", "4", "-y")

    assert done.status == 0
    assert [each.excluded for each in definition(root).particles] == [True]
    assert not package.exists()
    assert "warning: particle phone stays banned; lift the ban with: uno unban" in done.err
    assert "particle/1" not in secrets(root)


@pytest.mark.feature("G06")
def test_a_password_that_was_changed_does_not_come_back(site: Uno, root: Path) -> None:
    site("apply", "-s", "users: [{email: john@example.org, password: new}]")
    changed = definition(root).users

    site("define", "cell", "c", "-a", "c.example.org")
    site("rollback", "4", "-y")

    assert definition(root).users == changed


@pytest.mark.feature("G06")
def test_a_rollback_asks_before_it_removes(site: Uno, root: Path) -> None:
    done = site("rollback", "3")

    assert done.status == 2
    assert "Remove particle phone? There is no terminal to answer on" in done.err
    assert len(definition(root).particles) == 1


@pytest.mark.feature("G06")
def test_a_rollback_can_be_rehearsed(site: Uno, root: Path) -> None:
    done = site("rollback", "3", "--dry-run")

    assert done.status == 0
    assert "- particle phone" in done.out
    assert len(definition(root).particles) == 1


@pytest.mark.feature("G06")
def test_a_rollback_to_what_is_changes_nothing(site: Uno) -> None:
    assert site("rollback", "4").out == "No change: generation 4 already has this.\n"


@pytest.mark.feature("G06")
@pytest.mark.parametrize(
    "words", [("rollback", "3"), ("apply", "--prune", "-s", PRUNED)], ids=["rollback", "apply"]
)
def test_nothing_is_removed_without_a_question(
    site: Uno, root: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> None:
        monkeypatch.undo()
        site("define", "particle", "tablet")

    monkeypatch.setattr("uno.cli.input.options.AskingChange.confirm", meanwhile)

    done = site(*words)

    assert done.status == 2
    assert "another command changed the registry while you answered" in done.err
    assert len(definition(root).particles) == 2
