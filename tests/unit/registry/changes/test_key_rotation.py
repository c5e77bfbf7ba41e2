from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from uno.diagnostics import Rejected
from uno.model.uvn import Uvn
from uno.registry.changes import edits, key_rotation, membership, operations
from uno.registry.changes.edits import Edited, Setting
from uno.registry.changes.key_rotation import Networks
from uno.registry.changes.operations import Author, Change
from uno.registry.store.directory import Registry


def change(registry: Registry, by: Author, edit: Callable[[Uvn], Edited]) -> Change:
    return operations.change(registry, edit, by=by, why="test")


def replaced(registry: Registry, by: Author, edit: Callable[[Uvn], Edited]) -> set[str]:
    old = registry.store.secrets()
    change(registry, by, edit)
    new = registry.store.secrets()
    return {name for name in old | new if old.get(name) != new.get(name)}


ROOT = {"root/registry"} | {f"root/{cell}{end}" for cell in (1, 2, 3) for end in ("", "/psk")}
HUBS = {f"{kind}/{cell}" for kind in ("hub", "particles") for cell in (1, 2)}
BETWEEN_1_AND_2 = {"link/1-2/1", "link/1-2/2", "link/1-2/psk"}
CASES = [
    (lambda it: key_rotation.rekey_uvn(it, Networks(root=True)), ROOT),
    (lambda it: key_rotation.rekey_uvn(it, Networks(particles=True)), HUBS),
    (lambda it: key_rotation.rekey_uvn(it, Networks(root=True, particles=True)), ROOT | HUBS),
    (lambda it: key_rotation.rekey_cell(it, "c1", Networks(root=True)), {"root/1", "root/1/psk"}),
    (
        lambda it: key_rotation.rekey_cell(it, "c1", Networks(particles=True)),
        {"hub/1", "particles/1"},
    ),
    (lambda it: key_rotation.rekey_particle(it, "p1"), {"particle/1"}),
    (lambda it: key_rotation.rekey_particle(it, "p1", ["c2"]), {"particle/1/2"}),
    (lambda it: key_rotation.rekey_backbone(it, ["c2:c1"]), BETWEEN_1_AND_2),
]


@pytest.mark.feature("F050")
@pytest.mark.parametrize(("edit", "expected"), CASES)
def test_the_keys_that_were_asked_for_are_new_twice_in_a_row(
    registry: Registry, by: Author, edit: Callable[[Uvn], Edited], expected: set[str]
) -> None:
    assert replaced(registry, by, edit) == expected
    assert replaced(registry, by, edit) == expected
    assert registry.store.head().number == 3


@pytest.mark.feature("F050")
def test_the_whole_backbone_gets_new_keys_or_the_links_of_a_cell(
    registry: Registry, by: Author
) -> None:
    links = {name for name in registry.store.secrets() if name.startswith("link/")}

    assert replaced(registry, by, key_rotation.rekey_backbone) == links
    of_cell = replaced(registry, by, lambda it: key_rotation.rekey_backbone(it, ["c1"]))
    assert of_cell >= BETWEEN_1_AND_2


def test_new_keys_move_nothing_and_change_only_packages_that_hold_them(
    registry: Registry, by: Author
) -> None:
    before = registry.store.head()

    made = change(registry, by, lambda it: key_rotation.rekey_backbone(it, ["c1:c2"]))

    assert made.after.uvn == before.uvn
    assert made.after.plan.links == before.plan.links
    assert made.published.cell_packages == ("net__c1.uvn-agent", "net__c2.uvn-agent")
    assert made.published.particle_packages == ()
    assert made.lines[-1] == "~ link c1 ↔ c2  new keys"


def test_new_keys_of_a_particle_change_cells_that_serve_it_and_its_package(
    registry: Registry, by: Author
) -> None:
    made = change(registry, by, lambda it: key_rotation.rekey_particle(it, "p1", ["c2"]))

    assert made.published.cell_packages == ("net__c2.uvn-agent",)
    assert made.published.particle_packages == ("net__p1.zip",)
    assert made.lines == ("~ particle p1  new keys at c2",)


def test_new_keys_everywhere_take_the_place_of_those_for_one_cell(
    registry: Registry, by: Author
) -> None:
    change(registry, by, lambda it: key_rotation.rekey_particle(it, "p1", ["c2"]))

    everywhere = replaced(registry, by, lambda it: key_rotation.rekey_particle(it, "p1"))

    assert everywhere == {"particle/1", "particle/1/2"}
    assert "particle/1/2" not in registry.store.secrets()


@pytest.mark.feature("F051")
def test_the_root_keys_before_stay_for_cells_that_were_away_until_they_are_banned(
    registry: Registry, root: Path, by: Author
) -> None:
    for _ in range(2):
        change(registry, by, lambda it: key_rotation.rekey_cell(it, "c2", Networks(root=True)))
    kept = epochs(root, "root/2")

    change(registry, by, lambda it: membership.exclude_cell(it, "c2", excluded=True))

    assert kept == [0, 1, 2]
    assert registry.store.secrets()["root/1"].epoch == 0
    assert epochs(root, "root/2") == epochs(root, "root/2/psk") == []


def epochs(root: Path, name: str) -> list[int]:
    with sqlite3.connect(root / "registry.db") as db:
        rows = db.execute("SELECT epoch FROM secrets WHERE id = ? ORDER BY epoch", (name,))
        found = [row[0] for row in rows]
    db.close()
    return found


@pytest.mark.feature("F050")
def test_a_key_that_was_replaced_is_not_kept(registry: Registry, root: Path, by: Author) -> None:
    old = registry.store.secrets()

    change(registry, by, lambda it: key_rotation.rekey_backbone(it, ["c1:c2"]))

    for name in BETWEEN_1_AND_2:
        assert len(epochs(root, name)) == 1
        assert old[name].private not in (root / "registry.db").read_bytes()


@pytest.mark.parametrize(
    ("edit", "reported"),
    [
        (
            lambda it: key_rotation.rekey_uvn(it, Networks()),
            "no keys to replace are named",
        ),
        (lambda it: key_rotation.rekey_cell(it, "c1", Networks()), "no keys to replace are named"),
        (
            lambda it: key_rotation.rekey_uvn(it, Networks(root=True, backbone=True)),
            "-R and -B cannot be combined",
        ),
        (
            lambda it: key_rotation.rekey_cell(it, "c3", Networks(particles=True)),
            "does not serve",
        ),
        (
            lambda it: key_rotation.rekey_particle(it, "p1", ["c3"]),
            "cell c3 does not serve particles",
        ),
        (lambda it: key_rotation.rekey_particle(it, "p9"), "there is no particle p9"),
        (
            lambda it: key_rotation.rekey_cell(it, "c9", Networks(root=True)),
            "there is no cell c9",
        ),
        (lambda it: key_rotation.rekey_backbone(it, ["c9"]), "there is no cell c9"),
        (lambda it: key_rotation.rekey_backbone(it, ["c2:c2"]), "no link between c2 and c2"),
    ],
)
def test_a_request_without_keys_to_replace_is_a_problem(
    registry: Registry, by: Author, edit: Callable[[Uvn], Edited], reported: str
) -> None:
    with pytest.raises(Rejected, match=reported):
        change(registry, by, edit)
    assert registry.store.head().number == 1


def test_a_banned_cell_and_a_root_vpn_that_is_off_have_no_keys(
    registry: Registry, by: Author
) -> None:
    change(registry, by, lambda it: membership.exclude_cell(it, "c2", excluded=True))
    off = Setting(option="--it", path=("settings", "enable_root_vpn"), value=False)
    change(registry, by, lambda it: edits.apply(it, [off]))

    with pytest.raises(Rejected, match="cell c2 is banned"):
        change(registry, by, lambda it: key_rotation.rekey_cell(it, "c2", Networks(root=True)))
    with pytest.raises(Rejected, match="the root VPN is switched off"):
        change(registry, by, lambda it: key_rotation.rekey_uvn(it, Networks(root=True)))
