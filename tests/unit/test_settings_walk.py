"""The walk through the settings misses none; values that an owner cannot mean define nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Outcome, run
from documented import counts
from settings_walk import CASES, NOT_OBEYED, SPEC, WALK, Refuser, settings_of_model, together

# Fields of the three VPNs that only some of them have a use for.
_WITHOUT_EFFECT = {
    "settings.root_vpn.allowed_ips",
    "settings.root_vpn.masquerade",
    "settings.root_vpn.forward",
    "settings.root_vpn.tunnel",
    "settings.particles_vpn.peer_port",
    "settings.particles_vpn.allowed_ips",
    "settings.particles_vpn.forward",
    "settings.particles_vpn.tunnel",
    "settings.particles_vpn.keepalive",
    "settings.backbone_vpn.peer_port",
    "settings.backbone_vpn.allowed_ips",
    "settings.backbone_vpn.masquerade",
    "settings.backbone_vpn.forward",
    "settings.backbone_vpn.tunnel",
}


def test_every_setting_of_the_model_has_a_row() -> None:
    found = set(settings_of_model()) - _WITHOUT_EFFECT

    assert found - WALK.keys() == set(), "a setting without a row"
    assert WALK.keys() - found == set(), "a row without a setting"
    assert not any(path in NOT_OBEYED for path in WALK)


def test_every_row_has_a_value_that_cannot_work_but_for_switches() -> None:
    switches = {path for path, row in WALK.items() if not row.bad}

    assert all("enable" in path or "masquerade" in path for path in switches)
    assert {bad.by for row in WALK.values() for bad in row.bad} == set(Refuser)


@pytest.mark.feature("G56")
@pytest.mark.parametrize("case", CASES)
def test_what_once_took_effect_after_it_was_confirmed_is_walked_through(case: str) -> None:
    for path in CASES[case]:
        bad = {each.by for each in WALK[path].bad}
        assert bad & {Refuser.REGISTRY, Refuser.CELL, Refuser.TRIAL}, path
    tried = [each for path in CASES[case] for each in WALK[path].bad if each.by is Refuser.TRIAL]
    assert all(each.cut_off for each in tried)


def test_the_documentation_has_the_number_of_settings_and_values() -> None:
    found = [bad.by for row in WALK.values() for bad in row.bad]

    assert [*counts("tests/unit/test_settings_walk.py").values()] == [
        len(WALK),
        *map(found.count, (Refuser.OWNER, Refuser.REGISTRY, Refuser.CELL, Refuser.TRIAL)),
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry that the walk is defined for."""
    folder = tmp_path_factory.mktemp("walk")
    (folder / "uvn.yml").write_text(SPEC)
    done = run("define", "uvn", "corp", "-s", str(folder / "uvn.yml"), "-r", str(folder / "corp"))
    assert done.status == 0, done
    return folder / "corp"


@pytest.mark.parametrize(
    "words",
    [bad.words for row in WALK.values() for bad in row.bad if bad.by is Refuser.OWNER],
)
def test_a_value_that_the_owner_cannot_mean_defines_nothing(
    root: Path, tmp_path: Path, words: str
) -> None:
    before = (root / "registry.db").read_bytes()

    done = define(root, tmp_path, words)

    assert done.status == 2, done
    assert (root / "registry.db").read_bytes() == before


def define(root: Path, folder: Path, words: str) -> Outcome:
    command, _, rest = words.partition(" ")
    arguments = rest.split(" ")
    if command == "apply":
        (folder / "walk.yml").write_text(rest.replace(":", ": "))
        arguments = ["-s", str(folder / "walk.yml")]
    return run(command, *arguments, "-r", str(root))


def test_options_for_one_object_are_one_command() -> None:
    assert together(
        ["config uvn -U -a x", "config cell a -U --b 1", "config uvn -U -c", "apply {y:1}"]
    ) == ("config uvn -U -a x -c", "config cell a -U --b 1", "apply {y:1}")
