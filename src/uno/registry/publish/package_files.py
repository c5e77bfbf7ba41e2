"""The files that follow from a generation: written after it, and completed if that was cut short.

Publishing can be repeated: it writes what is not written, or not there, or of an older generation,
and removes the cell and particle packages that nothing in the definition speaks of.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from uno import files
from uno.registry.publish import cell_packages, particle_packages
from uno.registry.store import format_rows, trust_rows
from uno.render import package_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from uno.registry.store.directory import Layout, Registry
    from uno.registry.store.generation_store import CellPackageRow, Generation, ParticlePackageRow

_log = logging.getLogger(__name__)

# A package has an image for each configuration in it, 13 ms each: this many take a second.
_WORTH_WAITING = 64


class Published(Struct, frozen=True, kw_only=True):
    """What publishing did: names of files written and removed, and packages still to be made."""

    cell_packages: tuple[str, ...] = ()
    particle_packages: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    stale: int = 0


def publish(
    registry: Registry, *, made: cell_packages.Sources | None = None, all_packages: bool = False
) -> Published:
    """Make the files of cell and particle packages match the newest generation.

    Packages that would keep a person waiting are left for `all_packages`; their old files go.
    """
    state = _observed(registry)
    sources = made or cell_packages.sources(
        state.head.plan,
        registry.store.secrets(),
        registry_keys=trust_rows.read(registry.store.database).registry_keys,
        package_format=format_rows.written(registry.store.database),
        declared=state.head.uvn,
    )
    layout = registry.layout
    for path in (layout.cells, layout.particles):
        files.make_private_dir(path)
    jobs = [
        cell_packages.Job(row=state.cells[id_], path=path) for id_, path in state.lacking.items()
    ]
    for job in jobs:
        _log.info("writing %s", job.path)
    rows = {**state.cells, **cell_packages.write(sources, jobs)}
    configurations = len(state.stale) * particle_packages.per_particle(state.head.plan)
    now = state.stale if all_packages or configurations <= _WORTH_WAITING else {}
    for path in now.values():
        _log.info("writing %s", path)
    particle_packages.write(sources, state.head.plan, now)
    later = state.stale.keys() - now.keys()
    _remove_leftovers(layout)
    removed = (
        *_remove(layout.cells, state.cell_names - _names(state.cell_paths)),
        *_remove(layout.particles, state.particle_names - _names(state.particle_paths, later)),
    )
    with registry.store.transaction():
        registry.store.set_cell_packages(rows.values())
        registry.store.set_particle_packages(
            replace(row, written="" if id_ in later else row.digest)
            for id_, row in state.particles.items()
        )
    return Published(
        cell_packages=tuple(path.name for path in state.lacking.values()),
        particle_packages=tuple(path.name for path in now.values()),
        removed=removed,
        stale=len(later),
    )


def heal(registry: Registry) -> Published:
    """Complete what an interrupted command left to do, and put back files that are missing."""
    return Published() if is_complete(registry) else publish(registry)


def is_complete(registry: Registry) -> bool:
    """Whether there is nothing to publish: packages that are left for later do not count."""
    state = _observed(registry)
    later = {id_ for id_ in state.stale if not state.particles[id_].written}
    return (
        not state.lacking
        and not _leftovers(registry.layout)
        and state.stale.keys() == later
        and state.cell_names == _names(state.cell_paths)
        and state.particle_names == _names(state.particle_paths, later)
    )


def stale_particle_packages(registry: Registry) -> tuple[str, ...]:
    """Return the names of the packages that are still to be made."""
    return tuple(path.name for path in _observed(registry).stale.values())


class _PublishState(Struct, frozen=True, kw_only=True):
    """What there is, beside what there should be.

    `lacking` packages and `stale` packages are to be written; the `…_names` are those of all files
    that look like ours.
    """

    head: Generation
    cells: Mapping[int, CellPackageRow]
    particles: Mapping[int, ParticlePackageRow]
    cell_paths: Mapping[int, Path]
    particle_paths: Mapping[int, Path]
    cell_names: frozenset[str]
    particle_names: frozenset[str]

    @property
    def lacking(self) -> dict[int, Path]:
        return {
            id_: path
            for id_, path in self.cell_paths.items()
            if path.name not in self.cell_names or self.cells[id_].written != self.cells[id_].digest
        }

    @property
    def stale(self) -> dict[int, Path]:
        return {
            id_: path
            for id_, path in self.particle_paths.items()
            if path.name not in self.particle_names
            or self.particles[id_].written != self.particles[id_].digest
        }


def _observed(registry: Registry) -> _PublishState:
    layout, store = registry.layout, registry.store
    head = store.head()
    names = {cell.member.id: cell.member.name for cell in head.plan.cells}
    called = {particle.id: particle.name for particle in head.plan.particles}
    uvn = head.plan.uvn
    if not particle_packages.per_particle(head.plan):
        called = {}
    return _PublishState(
        head=head,
        cells=store.cell_packages(),
        particles=store.particle_packages(),
        cell_paths={i: layout.cells / cell_packages.file_name(uvn, names[i]) for i in names},
        particle_paths={
            i: layout.particles / particle_packages.file_name(uvn, called[i]) for i in called
        },
        cell_names=_found(layout.cells, uvn, package_file.SUFFIX),
        particle_names=_found(layout.particles, uvn, particle_packages.SUFFIX),
    )


def _found(directory: Path, uvn: str, suffix: str) -> frozenset[str]:
    """Return the names of the files in `directory` that are ours by their beginning and ending."""
    try:
        names = [path.name for path in directory.iterdir()]
        return frozenset(n for n in names if n.startswith(f"{uvn}__") and n.endswith(suffix))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise files.failure(error, f"cannot read {directory}") from error


def _leftovers(layout: Layout) -> list[Path]:
    """Return what writes that were interrupted have left; it may hold secrets."""
    places = [path for path in (layout.root, layout.cells, layout.particles) if path.is_dir()]
    return [path for place in places for path in place.iterdir() if files.is_leftover(path.name)]


def _remove_leftovers(layout: Layout) -> None:
    for path in _leftovers(layout):
        _remove(path.parent, [path.name])


def _names(paths: Mapping[int, Path], but: Collection[int] = ()) -> set[str]:
    return {path.name for id_, path in paths.items() if id_ not in but}


def _remove(directory: Path, names: Collection[str]) -> tuple[str, ...]:
    for name in names:
        _log.info("removing %s", directory / name)
        try:
            (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise files.failure(error, f"cannot remove {directory / name}") from error
    return tuple(sorted(names))
