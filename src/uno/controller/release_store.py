"""The release on disk: its packages as files, and its record in the registry's database.

    released/CELL-CONTENT.uvn-agent    the packages of the release, and of the one before it

A later edit changes neither. The record is one value, so that a reader gets all of it or nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from uno import files
from uno.controller.release_record import Release, ReleasedPackage, ReleaseRecord, next_record
from uno.controller.unreleased import Unreleased, in_force, unreleased
from uno.diagnostics import ActionNeeded, UnoError
from uno.model import codec
from uno.model.key_ids import cell_sealing, cell_signing
from uno.registry.publish import cell_packages
from uno.registry.store import agent_rows
from uno.registry.store.generation_store import UnknownGeneration
from uno.render import package_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from uno.model.plan import Plan
    from uno.model.uvn import Uvn
    from uno.registry.store.directory import Layout, Registry
    from uno.registry.store.generation_store import Store


def read(store: Store) -> ReleaseRecord | None:
    """Return the record of the newest release, None if there is none."""
    text = agent_rows.release(store.database)
    try:
        return None if text is None else codec.decode(text.encode(), ReleaseRecord)
    except codec.MalformedJson as error:
        raise ActionNeeded(
            f"the record of the release cannot be read: {error}",
            "was the registry made by a newer uno?",
        ) from error


def write(store: Store, record: ReleaseRecord) -> None:
    """Replace the stored record."""
    with store.transaction():
        agent_rows.put_release(store.database, codec.encode(record).decode())


def release(registry: Registry, *, attempt: int) -> ReleaseRecord:
    """Release the newest generation; do nothing if it is released and has not failed.

    The registry is open for a change, so that its packages are written. A release that failed is
    tried again, from sequence `attempt` on. Raises `ActionNeeded` where cells are not reachable.
    """
    store, layout = registry.store, registry.layout
    head, before = store.head(), read(store)
    _require_reachable_cells(head.plan)
    packaged = {
        cell.member.id: _packaged(layout, head.plan.uvn, cell.member.name)
        for cell in head.plan.cells
    }
    cells = {cell: entry for cell, (entry, _) in packaged.items()}
    record = next_record(before, Release(generation=head.number, cells=cells, attempt=attempt))
    files.make_private_dir(_directory(layout))
    _give_owner_of(_directory(layout), layout.root)
    for cell, (entry, source) in packaged.items():
        _link_or_copy(source, _path(layout, cell, entry))
    if record != before:
        write(store, record)
    _delete_others(layout, record)
    return record


def package(layout: Layout, cell: int, packaged: ReleasedPackage) -> bytes:
    """Return a released package. Raises `ActionNeeded` if its file is missing."""
    try:
        return files.read(_path(layout, cell, packaged), limit=package_file.PACKED_LIMIT)
    except UnoError as error:
        raise ActionNeeded(
            f"the released package of {packaged.name} cannot be read: {error.what}",
            "release the newest generation with: uno sync",
        ) from error


def not_released(store: Store) -> Unreleased:
    """Return what the store has that is not released; nothing if there was no release at all."""
    record = read(store)
    if record is None:
        return Unreleased()
    head, rows = store.head(), store.cell_packages()
    planned = {cell.member.id for cell in head.plan.cells}
    return unreleased(
        record,
        {entry.number: entry.why for entry in store.history()},
        packages={cell: row.generation for cell, row in rows.items() if cell in planned},
        released=_definition(store, in_force(record)),
        newest=head.uvn,
    )


def reserve(store: Store, count: int, *, above: int = 0) -> int:
    """Return the first of `count` unused sequences above `above`."""
    with store.transaction():
        return agent_rows.reserve_sequences(store.database, count, above=above)


def _definition(store: Store, generation: int) -> Uvn | None:
    try:
        return store.generation(generation).uvn
    except UnknownGeneration:
        # There is none, or the registry was restored from an older backup.
        return None


def _require_reachable_cells(plan: Plan) -> None:
    if plan.root is None:
        raise ActionNeeded(
            f"{plan.uvn} has no root VPN, over which cells receive their packages",
            "copy the packages to the cells by hand, or: uno config uvn -U --enable-root-vpn",
        )
    for cell in plan.cells:
        member = cell.member
        if not {cell_signing(member.id), cell_sealing(member.id)} <= plan.public_keys.keys():
            raise ActionNeeded(
                f"cell {member.name} has no keys for messages: an older uno made it",
                "make them with `uno redeploy`, and install the packages by hand once",
            )


def _packaged(layout: Layout, uvn: str, name: str) -> tuple[ReleasedPackage, Path]:
    path = layout.cells / cell_packages.file_name(uvn, name)
    manifest = package_file.read_manifest(files.read(path, limit=package_file.PACKED_LIMIT))
    entry = ReleasedPackage(name=name, generation=manifest.generation, content=manifest.content)
    return entry, path


def _directory(layout: Layout) -> Path:
    return layout.root / "released"


def _path(layout: Layout, cell: int, packaged: ReleasedPackage) -> Path:
    return _directory(layout) / f"{cell}-{packaged.content}{package_file.SUFFIX}"


def _link_or_copy(source: Path, path: Path) -> None:
    """Make `path` a copy of `source`; a link will do, since files are replaced, never modified."""
    if path.exists():
        return
    try:
        os.link(source, path)
    except OSError:
        # Not all file systems have hard links.
        files.write_atomic(path, files.read(source, limit=package_file.PACKED_LIMIT))
        _give_owner_of(path, source)


def _delete_others(layout: Layout, record: ReleaseRecord) -> None:
    kept = {_path(layout, *each) for each in _all(record)}
    for path in _directory(layout).iterdir():
        if path not in kept:
            path.unlink(missing_ok=True)


def _all(record: ReleaseRecord) -> Iterable[tuple[int, ReleasedPackage]]:
    previous = record.previous.cells.items() if record.previous else ()
    return (*record.release.cells.items(), *previous)


def _give_owner_of(path: Path, other: Path) -> None:
    """Give `path` to the owner of `other`: root may serve the registry of another user."""
    owner = other.stat()
    with suppress(OSError):
        os.chown(path, owner.st_uid, owner.st_gid)
