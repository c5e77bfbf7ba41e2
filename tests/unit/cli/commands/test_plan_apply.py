from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands import Outcome, Uno, run

THIRD = "cells: [{name: c, address: c.example.org, allowed_lans: [192.168.3.0/24]}]"


def generation(uno: Uno) -> int:
    number = json.loads(uno("history", "-n", "1", "-J").out)[0]["number"]
    assert isinstance(number, int)
    return number


def exported(uno: Uno, folder: Path) -> Path:
    file = folder / "uvn.yml"
    assert uno("export", str(file)).status == 0
    return file


@pytest.mark.feature("G01")
def test_a_plan_shows_what_would_change_and_changes_nothing(site: Uno) -> None:
    done = site("plan", "-s", THIRD)

    assert done.status == 3
    assert "generation 4 → 5" in done.out
    assert "+ cell c  c.example.org" in done.out
    assert "Every LAN stays reachable under any single link or cell failure." in done.out
    assert "not in the file, and kept: cells a and b, particle phone" in done.out
    assert generation(site) == 4
    assert site("list", "links").out.count("\n") == 2


@pytest.mark.feature("G01")
def test_a_plan_goes_cell_by_cell_and_sums_up(site: Uno) -> None:
    lines = site("plan", "-s", THIRD).out.splitlines()

    rows = lines[lines.index("Per cell") + 1 :]
    assert rows[0].split() == ["CELL", "LINKS", "ADDRESSES", "PORTS", "KEYS", "ROUTES", "PACKAGE"]
    assert rows[1].split() == ["a", "+1", "+2", "+63551", "+1", "+1", "changes"]
    assert rows[3].split() == [
        "c",
        "+2",
        "+6",
        "+63448",
        "+63449",
        "+63550",
        "+63551",
        "+4",
        "+2",
        "changes",
    ]
    assert lines[-1] == (
        "links +2; addresses +10; ports +6; keys +8; packages of 3 cells and 1 particle to write"
    )


@pytest.mark.feature("G01")
def test_a_plan_without_a_change_exits_with_0(site: Uno, tmp_path: Path) -> None:
    done = site("plan", "--prune", "-s", str(exported(site, tmp_path)))

    assert done == Outcome(0, "No change: generation 4 already has this.\n", "")


@pytest.mark.feature("G01")
@pytest.mark.feature("G41")
def test_a_plan_is_a_value_for_programs(site: Uno) -> None:
    done = site("plan", "-J", "-s", THIRD)

    found = json.loads(done.out)
    assert done.status == 3
    assert (found["changed"], found["dry_run"]) == (True, True)
    assert (found["before"], found["after"]) == (4, 5)
    assert [each["name"] for each in found["cells"]] == ["a", "b", "c"]
    assert found["cells"][0]["ports"] == {"added": ["63551"], "removed": []}
    assert found["cell_packages"] == [f"net__{name}.uvn-agent" for name in "abc"]
    assert found["verification"]["is_safe"] is True
    assert found["declared"][0]["thing"] == "cell c"


@pytest.mark.feature("G02")
@pytest.mark.feature("G09")
def test_apply_adds_and_changes_and_keeps_what_it_is_silent_on(site: Uno) -> None:
    before = json.loads(site("show", "plan", "-J").out)

    done = site("apply", "-s", THIRD)

    after = json.loads(site("show", "plan", "-J").out)
    assert done.status == 0
    assert "generation 4 → 5" in done.out
    assert after["cells"][:2] == before["cells"]
    assert before["public_keys"].items() <= after["public_keys"].items()


@pytest.mark.feature("G09")
def test_applied_twice_it_is_nothing_the_second_time(site: Uno) -> None:
    text = f"{THIRD}\nusers: [{{email: eve@example.org, password: secret}}]"

    first = site("apply", "-s", text)
    second = site("apply", "-s", text)

    assert "generation 4 → 5" in first.out
    assert second.out.startswith("No change: generation 5 already has this.")


@pytest.mark.feature("G09")
def test_apply_asks_before_it_removes(site: Uno, tmp_path: Path) -> None:
    text = "owner: john@example.org\ncells: [{name: a, address: a.example.org}]"

    asked = site("apply", "--prune", "-s", text)

    assert asked.status == 2
    assert "Remove cell b, particle phone? There is no terminal to answer on" in asked.err
    assert generation(site) == 4
    assert site("apply", "--prune", "-y", "-s", text).status == 0
    assert "- cell b" in site("diff").out
    assert not (tmp_path / "uvn/cells/net__b.uvn-agent").exists()


@pytest.mark.feature("G09")
def test_apply_can_be_rehearsed(site: Uno) -> None:
    done = site("apply", "--prune", "--dry-run", "-s", "cells: [{name: a}]")

    assert (done.status, generation(site)) == (2, 4)
    assert "public address" in done.err
    assert site("apply", "--dry-run", "-s", THIRD).status == 0
    assert generation(site) == 4


@pytest.mark.feature("G09")
def test_a_new_name_is_hinted_at(site: Uno) -> None:
    text = "cells: [{name: attic, address: a.example.org, allowed_lans: [192.168.1.0/24]}]"

    done = site("apply", "-s", text)

    assert done.status == 2
    assert "uno config cell a -U --name attic" in done.err
    assert generation(site) == 4


@pytest.mark.feature("G09")
@pytest.mark.feature("G46")
def test_every_mistake_in_the_file_is_reported_by_line(site: Uno, tmp_path: Path) -> None:
    file = tmp_path / "uvn.yml"
    file.write_text(
        "name: other\ncells:\n  - name: a\n    colour: red\n  - {name: c, owner: x@y.z}\n"
    )

    done = site("plan", "-s", str(file))

    assert done.status == 2
    places = [line.split(": ")[1] for line in done.err.splitlines()]
    assert places == [f"{file}:{at}" for at in ("1:7", "4:5", "5:5", "5:22")]


@pytest.mark.feature("G09")
def test_what_was_exported_makes_the_same_registry(site: Uno, tmp_path: Path) -> None:
    site("define", "cell", "d", "-N", "10.4.0.0/16", "--location", "Shed")
    site("ban", "particle", "phone")
    site("export", "--secrets", str(tmp_path / "uvn.yml"))

    new = ("-r", str(tmp_path / "new"))
    assert run("define", "uvn", "net", "-s", str(tmp_path / "uvn.yml"), *new).status == 0

    assert run("export", "--secrets", *new).out == site("export", "--secrets").out
    assert run("plan", "--prune", "-s", str(tmp_path / "uvn.yml"), *new).status == 0


@pytest.mark.feature("G09")
def test_hashes_of_passwords_are_exported_only_when_asked(site: Uno, tmp_path: Path) -> None:
    plain = site("export")

    assert YAML(typ="safe", pure=True).load(plain.out)["users"] == [{"email": "john@example.org"}]
    assert "$argon2" in site("export", "--secrets").out
    assert exported(site, tmp_path).stat().st_mode & 0o777 == 0o600
    assert exported(site, tmp_path).read_text() == plain.out


@pytest.mark.feature("G46")
def test_the_schema_is_json(uno: Uno) -> None:
    found = json.loads(uno("schema", in_root=False).out)

    assert found["$schema"].startswith("https://json-schema.org/")
    assert set(found["properties"]) >= {"owner", "cells", "particles", "users", "settings"}


@pytest.mark.feature("G41")
@pytest.mark.parametrize(
    "words",
    [
        "define cell c -a c.example.org -J",
        "define user eve@example.org -p x -J",
        "ban particle phone -y -J",
        "delete cell b -y -J",
        "redeploy -S full-mesh -J",
        "rekey uvn -R -y --json",
        "rollback 3 -y -J",
        "apply -J -s {}",
        "define cell c --dry-run -J",
    ],
)
def test_every_change_is_a_value_for_programs(site: Uno, words: str) -> None:
    done = site(*words.split())

    found = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert found["before"] == 4
    assert found["after"] == 4 + found["changed"]
    assert found["dry_run"] == ("--dry-run" in words)
    assert "failure_impacts" in found["verification"]
