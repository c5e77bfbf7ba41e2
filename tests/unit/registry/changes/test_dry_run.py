from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from uno.model.uvn import Uvn
from uno.registry.changes import edits, key_rotation, membership, operations, updates
from uno.registry.changes.edits import Edited, NewCell
from uno.registry.changes.operations import Author
from uno.registry.changes.updates import CellUpdate, Naming
from uno.registry.store.directory import Registry


@pytest.mark.feature("G47")
@pytest.mark.parametrize(
    "edit",
    [
        lambda it: edits.add_cell(it, NewCell(name="new", address="new.example.org")),
        lambda it: edits.add_particle(it, "new", None),
        lambda it: updates.update_cell(it, "c1", CellUpdate(naming=Naming(name="new"))),
        lambda it: membership.exclude_cell(it, "c2", excluded=True),
        lambda it: membership.delete_particle(it, "p1"),
        lambda it: key_rotation.rekey_particle(it, "p1", ["c1"]),
        lambda it: key_rotation.rekey_uvn(it, key_rotation.Networks(root=True)),
        lambda it: Edited(uvn=it),
    ],
)
def test_a_dry_run_reports_what_the_change_then_does(
    registry: Registry, by: Author, edit: Callable[[Uvn], Edited]
) -> None:
    reported = operations.change(registry, edit, by=by, why="test", dry_run=True)
    assert registry.store.head().number == 1
    done = operations.change(registry, edit, by=by, why="test")

    assert (reported.is_dry_run, done.is_dry_run) == (True, False)
    assert (reported.is_made, reported.lines, reported.warnings) == (
        done.is_made,
        done.lines,
        done.warnings,
    )
    assert reported.published == done.published
    assert (reported.keys, reported.revoked) == (done.keys, done.revoked)
    assert (reported.after.number, reported.after.uvn) == (done.after.number, done.after.uvn)
    assert reported.after.plan.links == done.after.plan.links


@pytest.mark.feature("G47")
def test_a_uvn_is_rehearsed_without_a_directory(
    root: Path, definition: Callable[..., Uvn], by: Author
) -> None:
    reported = operations.define_uvn(root, Edited(uvn=definition()), by=by, dry_run=True)
    assert not root.exists()
    done = operations.define_uvn(root, Edited(uvn=definition()), by=by)

    assert (reported.lines, reported.published, reported.keys) == (
        done.lines,
        done.published,
        done.keys,
    )
