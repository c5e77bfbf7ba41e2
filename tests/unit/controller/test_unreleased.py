"""What `uno status` names as not released."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from uno.controller import release_store
from uno.controller.unreleased import Unreleased, lines
from uno.model.uvn import Uvn
from uno.registry.changes import membership, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author, Edit
from uno.registry.store.directory import Registry


def change(registry: Registry, by: Author, edit: Edit, why: str) -> None:
    assert operations.change(registry, edit, by=by, why=why).is_made


def ban(registry: Registry, by: Author, particle: str = "p1") -> None:
    def edit(uvn: Uvn) -> Edited:
        return membership.exclude_particle(uvn, particle, excluded=True)

    change(registry, by, edit, f"ban particle {particle}")


def locate(registry: Registry, by: Author) -> None:
    def edit(uvn: Uvn) -> Edited:
        first = uvn.cells[0]
        moved = replace(first, settings=replace(first.settings, location="attic"))
        return Edited(uvn=replace(uvn, cells=(moved, *uvn.cells[1:])))

    change(registry, by, edit, "moved it")


def rename_owner(registry: Registry, by: Author) -> None:
    def edit(uvn: Uvn) -> Edited:
        return Edited(uvn=replace(uvn, users=(replace(uvn.users[0], name="John"),)))

    change(registry, by, edit, "his name")


def not_released(registry: Registry) -> Unreleased:
    return release_store.not_released(registry.store)


@pytest.mark.feature("G41")
def test_after_a_release_nothing_waits(registry: Registry, by: Author) -> None:
    assert not not_released(registry)
    locate(registry, by)
    release_store.release(registry, attempt=1)

    assert not not_released(registry)


@pytest.mark.feature("F046")
@pytest.mark.feature("G41")
def test_a_ban_that_waits_comes_before_all_else(registry: Registry, by: Author) -> None:
    release_store.release(registry, attempt=1)
    locate(registry, by)
    ban(registry, by)

    found = not_released(registry)

    assert tuple(lines(found)) == (
        "2 changes not released: uno sync",
        "  ban of particle p1: cells refuse it once the registry's agent runs",
        "  generation 2: moved it",
        "  generation 3: ban particle p1",
    )
    assert tuple(lines(found, agent_runs=True))[1] == (
        "  ban of particle p1: cells in contact refuse it already, before uno sync"
    )


@pytest.mark.feature("G41")
def test_a_deletion_that_waits_is_named(registry: Registry, by: Author) -> None:
    release_store.release(registry, attempt=1)
    change(registry, by, lambda it: membership.delete_cell(it, "c3"), "gone")

    for agent_runs in (False, True):
        assert list(lines(not_released(registry), agent_runs=agent_runs))[:2] == [
            "1 change not released: uno sync",
            "  deletion of cell c3",
        ]


@pytest.mark.feature("G41")
def test_what_no_cell_is_affected_by_waits_for_nothing(registry: Registry, by: Author) -> None:
    release_store.release(registry, attempt=1)
    rename_owner(registry, by)

    assert not not_released(registry)


@pytest.mark.feature("G41")
def test_a_release_that_failed_is_not_in_force(registry: Registry, by: Author) -> None:
    release_store.release(registry, attempt=1)
    first = release_store.read(registry.store)
    assert first is not None
    release_store.write(registry.store, replace(first, settled=True))
    ban(registry, by)
    record = release_store.release(registry, attempt=2)
    release_store.write(registry.store, replace(record, failure="c2 rolled back"))

    found = not_released(registry)

    assert list(found.changes) == [2]
    assert found.revoked == ("ban of particle p1",)
