from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from uno.diagnostics import Rejected
from uno.model.syntax import Mailbox
from uno.model.uvn import Uvn
from uno.registry.changes import edits, membership, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author, Change
from uno.registry.store.directory import Registry
from uno.render import package_file

JANE = "jane@example.org"


def change(registry: Registry, by: Author, edit: Callable[[Uvn], Edited]) -> Change:
    return operations.change(registry, edit, by=by, why="test")


def ban(registry: Registry, by: Author, name: str = "c2", *, excluded: bool = True) -> Change:
    return change(registry, by, lambda it: membership.exclude_cell(it, name, excluded=excluded))


def traces(root: Path, cell: int) -> list[str]:
    """Where a cell is still spoken of in what is deployed."""
    found = []
    for path in (root / "cells").iterdir():
        made = package_file.read(path.read_bytes())
        if made.manifest.cell == cell:
            found.append(f"{path.name} is there")
        if cell in {member.id for member in made.roster.members}:
            found.append(f"{path.name} has it in the roster")
        if cell in {link.cell for link in made.plan.links}:
            found.append(f"{path.name} has it for a peer")
    return found


@pytest.mark.feature("F046")
@pytest.mark.parametrize("way", ["ban", "delete"])
def test_a_cell_that_is_out_is_nowhere(
    registry: Registry, root: Path, by: Author, way: str
) -> None:
    lan = "192.168.2.0/24"
    assert traces(root, 2)

    if way == "ban":
        ban(registry, by)
    else:
        change(registry, by, lambda it: membership.delete_cell(it, "c2"))

    assert traces(root, 2) == []
    for path in (root / "cells").iterdir():
        made = package_file.read(path.read_bytes())
        assert lan not in {str(each) for m in made.roster.members for each in m.lans}
        assert all(2 not in link.import_origins.cells for link in made.plan.links)
    for path in (root / "particles").iterdir():
        with zipfile.ZipFile(path) as package:
            assert not any("c2" in name for name in package.namelist())
            assert all(b"c2.example.org" not in package.read(name) for name in package.namelist())


@pytest.mark.feature("F046")
@pytest.mark.parametrize("way", ["ban", "delete"])
def test_the_keys_of_a_cell_that_is_out_are_gone(registry: Registry, by: Author, way: str) -> None:
    old = registry.store.secrets()
    if way == "ban":
        made = ban(registry, by)
    else:
        made = change(registry, by, lambda it: membership.delete_cell(it, "c2"))

    left = registry.store.secrets()
    gone = {"root/2", "root/2/psk", "particles/2", "hub/2", "link/1-2/1", "link/1-2/psk"}
    assert gone <= old.keys()
    assert not gone & left.keys()
    assert made.revoked == len(old.keys() - left.keys())


@pytest.mark.feature("F047")
def test_a_cell_that_is_admitted_again_has_its_addresses_and_new_keys(
    registry: Registry, by: Author
) -> None:
    before, old = registry.store.head(), registry.store.secrets()
    ban(registry, by)

    after = ban(registry, by, excluded=False).after

    assert after.uvn == before.uvn
    assert after.plan.cells == before.plan.cells
    new = registry.store.secrets()
    for name in ("root/2", "root/2/psk", "particles/2", "hub/2", "link/1-2/2", "link/1-2/psk"):
        assert new[name].private != old[name].private
    assert new["root/1"] == old["root/1"]


@pytest.mark.feature("F046")
@pytest.mark.parametrize("who", ["particle", "owner"])
def test_a_particle_that_is_banned_has_no_package_and_is_nobodys_peer(
    registry: Registry, root: Path, by: Author, who: str
) -> None:
    change(registry, by, lambda it: edits.add_user(it, Mailbox(email=JANE), password=None))
    change(registry, by, lambda it: edits.add_particle(it, "hers", JANE))
    old = registry.store.secrets()

    if who == "particle":
        edit = membership.exclude_particle
        change(registry, by, lambda it: edit(it, "hers", excluded=True))
    else:
        change(registry, by, lambda it: membership.exclude_user(it, JANE, excluded=True))

    assert [path.name for path in (root / "particles").iterdir()] == ["net__p1.zip"]
    for path in (root / "cells").iterdir():
        peers = package_file.read(path.read_bytes()).particles
        assert 2 not in {peer.particle.id for peer in peers}
    assert "particle/2" in old
    assert "particle/2" not in registry.store.secrets()


def test_to_ban_twice_changes_nothing(registry: Registry, by: Author) -> None:
    ban(registry, by)

    assert not ban(registry, by).is_made


@pytest.mark.feature("F046")
@pytest.mark.feature("F049")
def test_the_owner_of_the_uvn_stays(registry: Registry, by: Author) -> None:
    owner = "john@example.org"

    for edit in (
        lambda it: membership.exclude_user(it, owner, excluded=True),
        lambda it: membership.delete_user(it, owner),
    ):
        with pytest.raises(Rejected, match=r"john@example\.org owns the UVN"):
            change(registry, by, edit)


@pytest.mark.feature("F046")
def test_cells_of_a_banned_user_stay_with_a_warning(registry: Registry, by: Author) -> None:
    change(registry, by, lambda it: edits.add_user(it, Mailbox(email=JANE), password=None))
    wanted = edits.NewCell(name="hers", owner=JANE, address="hers.example.org")
    change(registry, by, lambda it: edits.add_cell(it, wanted))

    made = change(registry, by, lambda it: membership.exclude_user(it, JANE, excluded=True))

    assert [cell.member.name for cell in made.after.plan.cells][-1] == "hers"
    assert "cell hers takes part, but its owner" in made.warnings[0].what


@pytest.mark.feature("F049")
def test_what_a_deleted_user_owned_goes_to_the_owner_of_the_uvn(
    registry: Registry, by: Author
) -> None:
    change(registry, by, lambda it: edits.add_user(it, Mailbox(email=JANE), password=None))
    wanted = edits.NewCell(name="hers", owner=JANE, address="hers.example.org")
    change(registry, by, lambda it: edits.add_cell(it, wanted))
    change(registry, by, lambda it: edits.add_particle(it, "hers", JANE))
    owned = membership.belongings(registry.store.head().uvn, JANE)

    uvn = change(registry, by, lambda it: membership.delete_user(it, JANE)).after.uvn

    assert owned == membership.Belongings(cells=("hers",), particles=("hers",))
    assert {thing.owner for thing in (*uvn.cells, *uvn.particles)} == {uvn.owner}
    assert [user.email for user in uvn.users] == [uvn.owner]


@pytest.mark.feature("F048")
def test_the_id_of_what_is_deleted_is_not_given_again(registry: Registry, by: Author) -> None:
    change(registry, by, lambda it: membership.delete_cell(it, "c3"))
    change(registry, by, lambda it: membership.delete_particle(it, "p1"))

    change(registry, by, lambda it: edits.add_cell(it, edits.NewCell(name="c3", address="x.org")))
    uvn = change(registry, by, lambda it: edits.add_particle(it, "p1", None)).after.uvn

    assert [cell.id for cell in uvn.cells] == [1, 2, 4]
    assert [particle.id for particle in uvn.particles] == [2]


@pytest.mark.parametrize(
    "edit",
    [
        lambda it: membership.exclude_cell(it, "c9", excluded=True),
        lambda it: membership.exclude_particle(it, "p9", excluded=True),
        lambda it: membership.exclude_user(it, "jon@example.org", excluded=True),
        lambda it: membership.delete_cell(it, "c9"),
        lambda it: membership.delete_particle(it, "p9"),
        lambda it: membership.delete_user(it, "jon@example.org"),
    ],
)
def test_unknown_names_cannot_be_banned_or_deleted(
    registry: Registry, by: Author, edit: Callable[[Uvn], Edited]
) -> None:
    with pytest.raises(Rejected, match=r"there is no (cell|particle|user)"):
        change(registry, by, edit)


@pytest.mark.feature("F046")
@pytest.mark.feature("G06")
def test_keys_that_were_revoked_stay_so_whatever_comes_back(registry: Registry, by: Author) -> None:
    first, old = registry.store.head(), registry.store.secrets()
    change(registry, by, lambda it: membership.delete_cell(it, "c2"))
    change(registry, by, lambda it: membership.delete_particle(it, "p1"))

    change(registry, by, lambda _: Edited(uvn=first.uvn))

    new, plan = registry.store.secrets(), registry.store.head().plan
    gone = {"root/2", "root/2/psk", "hub/2", "particles/2", "link/1-2/psk", "particle/1"}
    assert all(new[name].private != old[name].private for name in gone)
    assert plan.public_keys["root/2"] != first.plan.public_keys["root/2"]
    assert plan.public_keys["root/1"] == first.plan.public_keys["root/1"]
