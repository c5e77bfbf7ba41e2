"""The generation and the files that a change would make. Nothing is written."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from uno.model import codec
from uno.registry.publish import cell_packages, particle_packages
from uno.registry.publish.package_files import Published
from uno.registry.store.generation_store import Entry, Generation
from uno.render import package_file

if TYPE_CHECKING:
    from datetime import datetime

    from uno.model.plan import Plan
    from uno.model.uvn import Uvn
    from uno.registry.store.directory import Registry


def planned_generation(
    number: int, uvn: Uvn, plan: Plan, *, time: datetime, who: str, why: str = ""
) -> Generation:
    """Return the generation that would be made. Its digest only identifies it in this process."""
    digest = hashlib.sha256(codec.encode(uvn) + b"\0" + codec.encode(plan)).hexdigest()
    entry = Entry(number=number, time=time, who=who, why=why, digest=digest)
    return Generation(entry=entry, uvn=uvn, plan=plan)


def planned_files(registry: Registry | None, plan: Plan, made: cell_packages.Sources) -> Published:
    """Return the names of the files that would be written, and of those that would be removed."""
    cells = {
        each.member.id: cell_packages.file_name(plan.uvn, each.member.name) for each in plan.cells
    }
    called = {each.id: particle_packages.file_name(plan.uvn, each.name) for each in plan.particles}
    if not particle_packages.per_particle(plan):
        called = {}
    # After a restore every package is a new one (`operations`).
    is_reissue = registry is not None and registry.store.numbering.jump is not None
    known = registry.store.cell_packages() if registry and not is_reissue else {}
    packed = registry.store.particle_packages() if registry else {}
    old = _names(registry)
    rows = cell_packages.rows(made, known, generation=0)
    new = particle_packages.rows(plan, made, packed)
    return Published(
        cell_packages=tuple(
            name
            for id_, name in cells.items()
            if name not in old or rows[id_].written != rows[id_].digest
        ),
        particle_packages=tuple(
            name
            for id_, name in called.items()
            if name not in old or new[id_].written != new[id_].digest
        ),
        removed=tuple(sorted(old - {*cells.values(), *called.values()})),
    )


def _names(registry: Registry | None) -> frozenset[str]:
    """Return the names of the cell and particle packages that are there now."""
    if registry is None:
        return frozenset()
    layout = registry.layout
    found = (
        path.name
        for directory, suffix in (
            (layout.cells, package_file.SUFFIX),
            (layout.particles, particle_packages.SUFFIX),
        )
        if directory.is_dir()
        for path in directory.iterdir()
        if path.name.endswith(suffix)
    )
    return frozenset(found)
