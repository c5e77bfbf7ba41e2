"""The registry's directory: where its files are, making it, opening it.

registry.db                     definition, history, keys (`store`)
cells/UVN__CELL.uvn-agent       a bundle for each cell
particles/UVN__PARTICLE.zip     a package for each particle
lock                            held by the command that is at work
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uno import files
from uno.diagnostics import UnoError
from uno.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NEW = "registry.db.new"


@dataclass(frozen=True, slots=True)
class Layout:
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
        """The directory of the bundles."""
        return self.root / "cells"

    @property
    def particles(self) -> Path:
        """The directory of the particles' packages."""
        return self.root / "particles"


@dataclass(frozen=True, slots=True)
class Registry:
    """An open registry."""

    layout: Layout
    store: Store


@contextmanager
def opened(root: Path, *, for_change: bool) -> Iterator[Registry]:
    """Open the registry in `root`; `for_change` keeps every other command that changes it out.

    Raises `UnoError` if there is none, or another command holds it for too long.
    """
    layout = Layout(root)
    if not layout.database.exists():
        raise UnoError(
            f"there is no UVN registry in {root.absolute()}",
            "name its directory with -r, or make one with: uno define uvn NAME",
        )
    if for_change:
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
        raise files.failure(error, f"cannot look into {root}") from error
    if not found:
        return
    if "registry.db" in found:
        raise UnoError(
            f"{root.absolute()} already holds a UVN",
            "show it with: uno show uvn; or choose another directory with -r",
        )
    shown = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
    raise UnoError(
        f"{root.absolute()} is not empty: it has {shown}",
        "choose an empty or new directory with -r; nothing was deleted",
    )


@contextmanager
def created(root: Path, fill: Callable[[Store], None]) -> Iterator[Registry]:
    """Make a registry in `root`, which is empty or not there, and open it: all of it or nothing.

    `fill` writes into the store, which has its name only when that is done, so that a kill leaves
    either no registry or a whole one. If `fill` or the block fails, everything made is removed.
    """
    require_empty(root)
    made = files.make_private_dir(root)
    layout = Layout(root)
    try:
        with files.locked(layout.lock):
            # Another `define` may have finished while this one waited for the lock.
            require_empty(root)
            try:
                _make_store(layout, fill)
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


def _make_store(layout: Layout, fill: Callable[[Store], None]) -> None:
    _remove_files(layout)
    new = layout.root / _NEW
    store = Store.create(new)
    try:
        fill(store)
    finally:
        store.close()
    new.rename(layout.database)


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
