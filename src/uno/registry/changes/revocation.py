"""What a change of the definition revokes: the statement on trust that follows from it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from uno.model.trust import Revocation, TrustUpdate
from uno.model.uvn import Uvn
from uno.registry.changes.key_selection import KeySelection, StolenCell


def revoked(
    before: TrustUpdate, uvn: Uvn, selection: KeySelection, *, generation: int
) -> TrustUpdate:
    """Return the statement that follows `before` where `generation` has the definition `uvn`.

    What is banned is revoked in all packages; what is admitted again, and a cell whose keys were
    stolen, in those of generations before this one. What is deleted stays as it was.
    """
    stolen = {group.cell for group in selection if isinstance(group, StolenCell)}
    active_cells = {cell.id for cell in uvn.active_cells}
    active_particles = {particle.id for particle in uvn.active_particles}
    return TrustUpdate(
        registry_keys=before.registry_keys,
        cells=_revoked(
            before.cells,
            active=active_cells,
            banned={cell.id for cell in uvn.cells} - active_cells,
            stolen=stolen,
            generation=generation,
        ),
        particles=_revoked(
            before.particles,
            active=active_particles,
            banned={particle.id for particle in uvn.particles} - active_particles,
            stolen=(),
            generation=generation,
        ),
    )


def _revoked(
    before: Iterable[Revocation],
    *,
    active: Collection[int],
    banned: Collection[int],
    stolen: Collection[int],
    generation: int,
) -> tuple[Revocation, ...]:
    found = {each.id: each for each in before}
    for id_, each in tuple(found.items()):
        if each.before is None and id_ in active:
            found[id_] = Revocation(id=id_, before=generation)
    found |= {id_: Revocation(id=id_, before=generation) for id_ in stolen}
    found |= {id_: Revocation(id=id_) for id_ in banned}
    return tuple(found[id_] for id_ in sorted(found))
