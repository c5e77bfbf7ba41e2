"""A release keeps its packages and its record, whatever is edited later."""

from __future__ import annotations

import os
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from msgspec.structs import replace

from uno import files
from uno.controller import release_store
from uno.controller.release_record import ReleaseRecord
from uno.diagnostics import UnoError
from uno.model.messages import Activation
from uno.model.uvn import Uvn
from uno.registry.changes import membership, operations
from uno.registry.changes.edits import Edited
from uno.registry.changes.operations import Author
from uno.registry.store.directory import Registry


def kept(registry: Registry) -> set[str]:
    return {path.name for path in (registry.layout.root / "released").iterdir()}


def edit(registry: Registry, by: Author, number: int = 1) -> None:
    def added(uvn: Uvn) -> Edited:
        lan = IPv4Network(f"10.99.{number}.0/24")
        first = replace(uvn.cells[0], allowed_lans=(*uvn.cells[0].allowed_lans, lan))
        return Edited(uvn=replace(uvn, cells=(first, *uvn.cells[1:])))

    operations.change(registry, added, by=by, why="test")


def test_a_release_has_the_packages_as_they_were(registry: Registry, by: Author) -> None:
    record = release_store.release(registry, attempt=1)
    before = (registry.layout.cells / "net__c1.uvn-agent").read_bytes()

    edit(registry, by)

    assert release_store.package(registry.layout, 1, record.release.cells[1]) == before
    assert (registry.layout.cells / "net__c1.uvn-agent").read_bytes() != before
    assert release_store.read(registry.store) == record


def test_the_release_before_is_the_previous_one_if_it_had_begun(
    registry: Registry, by: Author
) -> None:
    first = release_store.release(registry, attempt=1)
    edit(registry, by, 1)
    superseded = release_store.release(registry, attempt=2)
    release_store.write(registry.store, replace(superseded, activation=Activation(generation=2)))
    edit(registry, by, 2)
    second = release_store.release(registry, attempt=3)

    assert superseded.previous is None
    assert second.previous == superseded.release
    assert second.activation is None
    assert len(kept(registry)) == 6
    assert first.release.generation == 1


def test_a_failed_release_is_never_the_previous_one_and_is_tried_again_on_request(
    registry: Registry, by: Author
) -> None:
    first = release_store.release(registry, attempt=1)
    release_store.write(registry.store, replace(first, settled=True))
    edit(registry, by, 1)
    second = release_store.release(registry, attempt=2)
    failed = replace(second, activation=Activation(generation=2), failure="one went back")
    release_store.write(registry.store, failed)

    again = release_store.release(registry, attempt=9)
    edit(registry, by, 2)
    release_store.write(registry.store, failed)
    third = release_store.release(registry, attempt=10)

    assert again == ReleaseRecord(
        release=replace(second.release, attempt=9), previous=first.release, running={}
    )
    assert third.previous == first.release


def test_released_again_it_is_the_same(registry: Registry) -> None:
    first = release_store.release(registry, attempt=1)

    assert release_store.release(registry, attempt=2) == first


def test_released_packages_are_hard_links_or_else_copies(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(_source: Path, _target: Path) -> None:
        raise OSError

    release_store.release(registry, attempt=1)
    linked = kept(registry)
    for path in (registry.layout.root / "released").iterdir():
        path.unlink()
    monkeypatch.setattr(os, "link", no_links)
    record = release_store.release(registry, attempt=1)

    assert kept(registry) == linked
    for cell, packaged in record.release.cells.items():
        source = registry.layout.cells / f"net__{packaged.name}.uvn-agent"
        assert release_store.package(registry.layout, cell, packaged) == source.read_bytes()
    modes = {p.stat().st_mode & 0o777 for p in (registry.layout.root / "released").iterdir()}
    assert modes == {files.PRIVATE_FILE}


def test_the_error_of_a_missing_package_names_the_release(registry: Registry) -> None:
    record = release_store.release(registry, attempt=1)
    for path in (registry.layout.root / "released").iterdir():
        path.unlink()

    with pytest.raises(UnoError, match="the released package of c1 cannot be read"):
        release_store.package(registry.layout, 1, record.release.cells[1])


def test_a_banned_cell_is_not_in_the_release(registry: Registry, by: Author) -> None:
    operations.change(
        registry, lambda it: membership.exclude_cell(it, "c3", excluded=True), by=by, why="test"
    )

    assert set(release_store.release(registry, attempt=1).release.cells) == {1, 2}


def test_sequences_are_used_once(registry: Registry) -> None:
    first = release_store.reserve(registry.store, 10)
    second = release_store.reserve(registry.store, 10)
    third = release_store.reserve(registry.store, 10, above=5000)

    assert second >= first + 10
    assert third == 5001
    assert release_store.reserve(registry.store, 1) == 5011


def test_cells_of_an_older_uno_have_no_keys_for_messages(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = registry.store.head()
    old = replace(head.plan, public_keys={})
    generation = type(head)(entry=head.entry, uvn=head.uvn, plan=old)
    monkeypatch.setattr(registry.store, "head", lambda: generation)

    with pytest.raises(UnoError, match="cell c1 has no keys") as caught:
        release_store.release(registry, attempt=1)

    assert "uno redeploy" in caught.value.hint


def test_a_record_that_cannot_be_decoded_is_an_error(registry: Registry) -> None:
    with registry.store.transaction():
        registry.store.database.do("INSERT INTO meta VALUES ('released', '{}')")

    with pytest.raises(UnoError, match="the record of the release cannot be read"):
        release_store.read(registry.store)
