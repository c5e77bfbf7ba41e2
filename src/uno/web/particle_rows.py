"""The particles that a reader may see: where each is, and where it can connect. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from uno.model.network_directory import DirectoryParticle
from uno.model.status import ParticleState
from uno.web.documents import ParticleCell, ParticleList, ParticleRow
from uno.web.picture import Picture
from uno.web.readers import Reader
from uno.web.summaries import owner_name


def particle_list(
    picture: Picture, reader: Reader, *, served_here: frozenset[int] = frozenset()
) -> ParticleList:
    """Return the particles that `reader` may see.

    `served_here` are those whose configuration this page has.
    """
    directory, rows = picture.directory, _Rows(picture, served_here)
    found = [
        replace(
            rows.row(each),
            own=each.id in reader.particles,
            owner=owner_name(picture, each.owner, reader),
        )
        for each in (directory.particles if directory else ())
        if reader.is_owner or each.id in reader.particles
    ]
    return ParticleList(
        enabled=bool(rows.hubs),
        particles=tuple(sorted(found, key=lambda row: (row.banned, row.name))),
        left_out=directory.particles_left_out if directory and reader.is_owner else 0,
    )


class _Rows:
    """What cells report of particles, by id: the newest handshake counts."""

    def __init__(self, picture: Picture, served_here: frozenset[int]) -> None:
        self.hubs = [member for member in picture.roster.members if member.serves_particles]
        self._picture = picture
        self._served_here = served_here
        self._is_observed = any(picture.alive(hub.id) is not None for hub in self.hubs)
        self._seen: dict[int, tuple[int, ParticleState]] = {}
        for cell in picture.view.cells:
            for state in cell.status.particles if cell.status and cell.alive else ():
                known = self._seen.get(state.id)
                if known is None or state.handshake < known[1].handshake:
                    self._seen[state.id] = cell.id, state

    def row(self, particle: DirectoryParticle) -> ParticleRow:
        """Return the row of a particle."""
        at, state = self._seen.get(particle.id, (None, None))
        online = (state is not None and state.is_online) if self._is_observed else None
        row = ParticleRow(id=particle.id, name=particle.name, banned=particle.banned, online=online)
        if not particle.banned:
            row = replace(
                row,
                address4=str(particle.address4 or ""),
                address6=str(particle.address6 or ""),
                cells=tuple(
                    ParticleCell(
                        cell=hub.id,
                        name=hub.name,
                        endpoint=hub.endpoint or "",
                        here=hub.id == self._picture.view.viewer
                        and particle.id in self._served_here,
                    )
                    for hub in self.hubs
                ),
            )
        if state is None:
            return row
        return replace(
            row,
            at=at,
            handshake=state.handshake,
            received=state.received,
            sent=state.sent,
        )
