from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from uno.model.uvn import Uvn
from uno.registry.changes import edits, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.publish import package_files
from uno.registry.store.directory import Registry
from uno.render import package_file


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_missing_cell_package_is_put_back_as_it_was(registry: Registry, root: Path) -> None:
    path = root / "cells" / "net__c2.uvn-agent"
    before = path.read_bytes()
    path.unlink()

    done = package_files.heal(registry)

    assert done.cell_packages == ("net__c2.uvn-agent",)
    assert path.read_bytes() == before


def test_a_missing_particle_package_is_put_back_as_it_was(registry: Registry, root: Path) -> None:
    path = root / "particles" / "net__p1.zip"
    before = path.read_bytes()
    path.unlink()

    done = package_files.heal(registry)

    assert done.particle_packages == ("net__p1.zip",)
    assert path.read_bytes() == before


def test_where_nothing_is_missing_nothing_is_written(registry: Registry) -> None:
    assert package_files.is_complete(registry)
    assert package_files.heal(registry) == package_files.Published()
    assert package_files.publish(registry) == package_files.Published()


def test_files_of_what_is_gone_are_removed_and_no_others(registry: Registry, root: Path) -> None:
    for name in ("net__gone.uvn-agent", "net__notes.txt", "mine.uvn-agent"):
        (root / "cells" / name).write_text("x")

    done = package_files.heal(registry)

    assert done.removed == ("net__gone.uvn-agent",)
    assert {"net__notes.txt", "mine.uvn-agent"} <= set(names(root / "cells"))


@pytest.mark.feature("F074")
@pytest.mark.usefixtures("registry")
def test_directories_and_files_are_their_owners_alone(root: Path) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}

    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.feature("F070")
def test_few_configurations_are_written_at_once_and_many_later(
    root: Path, definition: Callable[..., Uvn], by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_files, "_WORTH_WAITING", 5)
    # Two of the three cells are public, so that three particles are six configurations.
    made = operations.define_uvn(root, Edited(uvn=definition(particles=3)), by=by)
    assert (made.published.particle_packages, made.published.stale) == ((), 3)
    assert names(root / "particles") == []

    with operations.opened(root, for_change=True) as registry:
        assert len(package_files.stale_particle_packages(registry)) == 3
        done = package_files.publish(registry, all_packages=True)

        assert done.particle_packages == ("net__p1.zip", "net__p2.zip", "net__p3.zip")
        assert names(root / "particles") == list(done.particle_packages)
        assert package_files.stale_particle_packages(registry) == ()
        assert package_files.publish(registry, all_packages=True).particle_packages == ()


def test_packages_that_no_longer_hold_go_when_they_are_not_written_again(
    registry: Registry, by: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_files, "_WORTH_WAITING", 0)

    made = operations.change(
        registry,
        lambda it: edits.add_cell(it, edits.NewCell(name="new", address="new.example.org")),
        by=by,
        why="add",
    )

    assert made.published.removed == ("net__p1.zip",)
    assert made.published.stale == 1
    assert package_files.is_complete(registry)


def test_a_change_elsewhere_leaves_the_packages_alone(
    registry: Registry, root: Path, by: Author
) -> None:
    before = (root / "particles" / "net__p1.zip").stat().st_ino
    inside = edits.NewCell(name="inside", networks=("10.0.0.0/16",))

    made = operations.change(
        registry, lambda it: edits.add_cell(it, inside), by=by, why="a private cell"
    )

    assert made.published.particle_packages == ()
    assert (root / "particles" / "net__p1.zip").stat().st_ino == before


def test_a_particle_more_leaves_the_packages_of_others_alone(
    registry: Registry, root: Path, by: Author
) -> None:
    made = operations.change(
        registry, lambda it: edits.add_particle(it, "p2", None), by=by, why="a particle"
    )

    assert made.published.particle_packages == ("net__p2.zip",)
    # The private cell serves no particles, and so knows none.
    assert made.published.cell_packages == ("net__c1.uvn-agent", "net__c2.uvn-agent")
    read = package_file.read((root / "cells" / "net__c1.uvn-agent").read_bytes())
    assert [peer.particle.name for peer in read.particles] == ["p1", "p2"]
