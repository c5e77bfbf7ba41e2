"""The generation that is released to the cells, and how far it has come: kept across restarts.

    released/CELL-CONTENT.uvn-agent    the packages of the release, and of the one before it

What is edited later changes neither: it reaches nobody until it is released. What is known of a
release is one value in the store, so that it is there as a whole or not at all.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from uno import files
from uno.controller.release_record import Release, ReleasedPackage, ReleaseRecord, next_record
from uno.diagnostics import ActionNeeded, UnoError
from uno.model import codec
from uno.model.key_ids import cell_sealing, cell_signing
from uno.registry.publish import cell_packages
from uno.registry.store import agent_rows
from uno.render import package_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from uno.model.plan import Plan
    from uno.registry.store.directory import Layout, Registry
    from uno.registry.store.generation_store import Store


def read(store: Store) -> ReleaseRecord | None:
    """Return what is known of the newest release, None if there was none."""
    text = agent_rows.release(store.database)
    try:
        return None if text is None else codec.decode(text.encode(), ReleaseRecord)
    except codec.Malformed as error:
        raise ActionNeeded(
            f"what was released cannot be read: {error}", "was the registry made by a newer uno?"
        ) from error


def write(store: Store, record: ReleaseRecord) -> None:
    """Keep `record` in place of what was there."""
    with store.transaction():
        agent_rows.put_release(store.database, codec.encode(record).decode())


def release(registry: Registry, *, attempt: int) -> ReleaseRecord:
    """Release the newest generation; nothing if it is released and has not failed.

    The registry is open for a change, so that its packages are written. What failed is tried again,
    from sequence `attempt` on. Raises `UnoError` where there is no road to the cells.
    """
    store, layout = registry.store, registry.layout
    head, before = store.head(), read(store)
    _refuse_without_road(head.plan)
    packaged = {
        cell.member.id: _packaged(layout, head.plan.uvn, cell.member.name)
        for cell in head.plan.cells
    }
    cells = {cell: kept for cell, (kept, _) in packaged.items()}
    new = Release(generation=head.number, cells=cells, attempt=attempt)
    record = next_record(before, new)
    files.make_private_dir(_directory(layout))
    _like(_directory(layout), layout.root)
    for cell, (kept, source) in packaged.items():
        _keep(source, _path(layout, cell, kept))
    if record != before:
        write(store, record)
    _forget_others(layout, record)
    return record


def package(layout: Layout, cell: int, packaged: ReleasedPackage) -> bytes:
    """Return a released package. Raises `UnoError` if it is not there any more."""
    try:
        return files.read(_path(layout, cell, packaged), limit=package_file.PACKED_LIMIT)
    except UnoError as error:
        raise ActionNeeded(
            f"the released package of {packaged.name} cannot be read: {error.what}",
            "release the newest generation with: uno sync",
        ) from error


def reserve(store: Store, count: int, *, above: int = 0) -> int:
    """Return the first of `count` sequences that are used once, and are higher than `above`."""
    with store.transaction():
        return agent_rows.reserve_sequences(store.database, count, above=above)


def _refuse_without_road(plan: Plan) -> None:
    if plan.root is None:
        raise ActionNeeded(
            f"{plan.uvn} has no root VPN, through which cells would get their packages",
            "copy the packages to the cells by hand, or: uno config uvn -U --enable-root-vpn",
        )
    for cell in plan.cells:
        member = cell.member
        if not {cell_signing(member.id), cell_sealing(member.id)} <= plan.public_keys.keys():
            raise ActionNeeded(
                f"cell {member.name} has no keys to be reached with: an older uno made it",
                "make them with `uno redeploy`, and install the packages by hand once",
            )


def _packaged(layout: Layout, uvn: str, name: str) -> tuple[ReleasedPackage, Path]:
    path = layout.cells / cell_packages.file_name(uvn, name)
    manifest = package_file.read_manifest(files.read(path, limit=package_file.PACKED_LIMIT))
    kept = ReleasedPackage(name=name, generation=manifest.generation, content=manifest.content)
    return kept, path


def _directory(layout: Layout) -> Path:
    return layout.root / "released"


def _path(layout: Layout, cell: int, packaged: ReleasedPackage) -> Path:
    return _directory(layout) / f"{cell}-{packaged.content}{package_file.SUFFIX}"


def _keep(source: Path, path: Path) -> None:
    """Have `path` hold what `source` does now; files are replaced and never written into."""
    if path.exists():
        return
    try:
        os.link(source, path)
    except OSError:
        # Not all file systems have links.
        files.write_atomic(path, files.read(source, limit=package_file.PACKED_LIMIT))
        _like(path, source)


def _forget_others(layout: Layout, record: ReleaseRecord) -> None:
    kept = {_path(layout, *each) for each in _all(record)}
    for path in _directory(layout).iterdir():
        if path not in kept:
            path.unlink(missing_ok=True)


def _all(record: ReleaseRecord) -> Iterable[tuple[int, ReleasedPackage]]:
    previous = record.previous.cells.items() if record.previous else ()
    return (*record.release.cells.items(), *previous)


def _like(path: Path, other: Path) -> None:
    """Give `path` to the owner of `other`: root serves the registry of another user, too."""
    owner = other.stat()
    with suppress(OSError):
        os.chown(path, owner.st_uid, owner.st_gid)
