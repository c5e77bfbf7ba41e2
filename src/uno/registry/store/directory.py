"""The registry's directory: where its files are, making it, opening it.

registry.db                     definition, history, keys (`store`)
registry.db.v1.bak              as it was before a newer uno changed its layout
cells/UVN__CELL.uvn-agent       a package for each cell
particles/UVN__PARTICLE.zip     a package for each particle
lock                            held by the command that is at work
"""

from __future__ import annotations

import logging
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from uno import files
from uno.diagnostics import ActionNeeded
from uno.registry.store import schema
from uno.registry.store.generation_store import Store
from uno.registry.store.sqlite import RESTORE, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_log = logging.getLogger(__name__)

_NEW = "registry.db.new"
_FOR_OTHERS = 0o077


class Layout(Struct, frozen=True):
    """Where the files of the registry in `root` are."""

    root: Path

    @property
    def database(self) -> Path:
        """The file with definition, history and keys."""
        return self.root / "registry.db"

    @property
    def lock(self) -> Path:
        """The file that a command at work has locked."""
        return self.root / "lock"

    @property
    def cells(self) -> Path:
        """The directory of the packages."""
        return self.root / "cells"

    @property
    def particles(self) -> Path:
        """The directory of the particles' packages."""
        return self.root / "particles"


class Registry(Struct, frozen=True):
    """An open registry."""

    layout: Layout
    store: Store


@contextmanager
def opened(root: Path, *, for_change: bool) -> Iterator[Registry]:
    """Open the registry in `root`; `for_change` keeps every other command that changes it out.

    A registry that an older uno left is brought to this layout first, and what others could read is
    closed to them. Raises `UnoError` if there is none, or another command holds it for too long.
    """
    layout = Layout(root)
    _require_database(layout)
    _close_to_others(layout)
    if _is_older(layout):
        with files.locked(layout.lock):
            _migrate(layout)
    if for_change:
        # Before the lock is taken: other commands must not wait for a person to type.
        with _open(layout) as registry:
            registry.store.secret_table.open()
        with files.locked(layout.lock), _open(layout) as registry:
            yield registry
    else:
        with _open(layout) as registry:
            yield registry


def require_empty(root: Path) -> None:
    """Raise `UnoError` unless a registry can be made in `root`: it is empty or not there."""
    try:
        found = sorted(entry.name for entry in root.iterdir() if not _is_ours(entry.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.failure(error, f"cannot read {root}") from error
    if not found:
        return
    if "registry.db" in found:
        raise ActionNeeded(
            f"{root.absolute()} already holds a UVN",
            "show it with: uno show uvn; or choose another directory with -r",
        )
    shown = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
    raise ActionNeeded(
        f"{root.absolute()} is not empty: it has {shown}",
        "choose an empty or new directory with -r; nothing was deleted",
    )


@contextmanager
def created(root: Path, fill: Callable[[Store], None]) -> Iterator[Registry]:
    """Make a registry in `root`, which is empty or not there, and open it: all of it or nothing.

    `fill` writes into the store, which has its name only when that is done, so that a kill leaves
    either no registry or a whole one. If `fill` or the block fails, everything made is removed.
    """

    def make(path: Path) -> None:
        store = Store.create(path)
        try:
            fill(store)
        finally:
            store.close()

    with received(root, make) as registry:
        yield registry


@contextmanager
def received(root: Path, make: Callable[[Path], None]) -> Iterator[Registry]:
    """Do as `created`, but let `make` make the store's file at the path that it is given."""
    require_empty(root)
    made = files.make_private_dir(root)
    layout = Layout(root)
    try:
        with files.locked(layout.lock):
            # Another `define` may have finished while this one waited for the lock.
            require_empty(root)
            try:
                _make_store(layout, make)
                with _open(layout) as registry:
                    yield registry
            except BaseException:
                _remove_files(layout)
                raise
    except BaseException as error:
        files.remove_dirs(made)
        if isinstance(error, OSError):
            raise files.failure(error, f"cannot make a registry in {root}") from error
        raise


def bring_up_to_date(path: Path) -> None:
    """Bring the store's file at `path` to this layout. Raises `UnoError` if it is a newer one."""
    db = Database(path)
    try:
        schema.refuse_newer(db)
        if schema.version(db) < schema.SCHEMA:
            schema.migrate(db)
    finally:
        db.close()


def older_copies(layout: Layout) -> tuple[Path, ...]:
    """Return the copies that were made before the layout changed; they hold what it held."""
    return tuple(sorted(layout.root.glob("registry.db.v*.bak")))


def _make_store(layout: Layout, make: Callable[[Path], None]) -> None:
    _remove_files(layout)
    new = layout.root / _NEW
    make(new)
    files.rename(new, layout.database)


def _require_database(layout: Layout) -> None:
    try:
        found = layout.database.exists()
    except OSError as error:
        raise files.failure(error, f"cannot read {layout.root.absolute()}") from error
    if found and not layout.database.is_file():
        raise ActionNeeded(f"{layout.database.absolute()} is not a file", RESTORE)
    if found:
        return
    if (copies := older_copies(layout)) or layout.cells.is_dir():
        copy = f" or copy {copies[-1].name} to it" if copies else ""
        raise ActionNeeded(
            f"{layout.database.absolute()} is missing", f"restore it from a backup{copy}"
        )
    raise ActionNeeded(
        f"there is no UVN registry in {layout.root.absolute()}",
        "name its directory with -r, or make one with: uno define uvn NAME",
    )


def _close_to_others(layout: Layout) -> None:
    """Remove the permissions of group and others: the files hold the keys of every cell."""
    for path, mode in (
        (layout.root, files.PRIVATE_DIR),
        (layout.database, files.PRIVATE_FILE),
        (layout.cells, files.PRIVATE_DIR),
        (layout.particles, files.PRIVATE_DIR),
    ):
        with suppress(FileNotFoundError):
            if not stat.S_IMODE(path.stat().st_mode) & _FOR_OTHERS:
                continue
            try:
                path.chmod(mode)
            except OSError as error:
                advice = f"chmod {mode:o} {path}"
                _log.warning("others can read %s (%s): %s", path, error.strerror, advice)
            else:
                _log.warning("others could read %s: its mode is %o now", path, mode)


def _is_older(layout: Layout) -> bool:
    db = Database(layout.database)
    try:
        return schema.version(db) < schema.SCHEMA
    finally:
        db.close()


def _migrate(layout: Layout) -> None:
    """Bring the registry to this layout, after a copy of it as it is."""
    db = Database(layout.database)
    try:
        found = schema.version(db)
        if found >= schema.SCHEMA:
            # Another command was quicker.
            return
        copy = layout.root / f"registry.db.v{found}.bak"
        files.write_atomic(copy, db.snapshot())
        schema.migrate(db)
    finally:
        db.close()
    _log.warning(
        "the registry is of layout %d now, which older unos do not read; %s is as it was",
        schema.SCHEMA,
        copy,
    )


def _remove_files(layout: Layout) -> None:
    """Remove what makes a registry, and nothing that is not one's."""
    ours = (
        (layout.root, "registry.db*"),
        (layout.cells, "*.uvn-agent"),
        (layout.particles, "*.zip"),
    )
    with suppress(OSError):
        for directory, pattern in ours:
            for path in directory.glob(pattern):
                path.unlink()
    files.remove_dirs((layout.cells, layout.particles))


@contextmanager
def _open(layout: Layout) -> Iterator[Registry]:
    store = Store(layout.database)
    try:
        yield Registry(layout, store)
    finally:
        store.close()


def _is_ours(name: str) -> bool:
    """Whether a `define` that was interrupted leaves a file of this name."""
    return name == "lock" or name.startswith(_NEW) or files.is_leftover(name)
