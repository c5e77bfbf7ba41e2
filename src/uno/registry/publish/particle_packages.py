"""The particles' packages: a WireGuard configuration and QR code for each cell, in a zip.

An image takes 13 ms, so that a thousand particles at five hundred cells would take hours: packages
are made only where something in them changed, and by several processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from uno import files
from uno.model import codec
from uno.model.key_ids import particles_hub_pair
from uno.model.plan import Plan, PlannedCell, PlannedParticle
from uno.model.syntax import host_port
from uno.planning.particle_routes import reachable
from uno.registry.publish import keygen, workers
from uno.registry.publish.cell_packages import Sources, hashed
from uno.registry.store.generation_store import ParticlePackageRow
from uno.render import particle as artifacts
from uno.render.particle import Configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from uno.model.net import Network

SUFFIX = ".zip"
# Below this many configurations, starting processes takes longer than the work.
_WORTH_PROCESSES = 16


def serving(plan: Plan) -> tuple[PlannedCell, ...]:
    """Return the cells that particles can connect to."""
    return tuple(cell for cell in plan.cells if cell.member.serves_particles)


def _as_seen(plan: Plan, cell: PlannedCell) -> tuple[str | int | None, ...]:
    """Return what the packages show of a cell; its LANs are none of it."""
    member = cell.member
    key = plan.public_keys[particles_hub_pair(member.id)]
    file = artifacts.file_name(member.name, member.id)
    return member.id, member.name, file, member.endpoint, cell.particles_port, cell.owner, key


def per_particle(plan: Plan) -> int:
    """Return how many configurations each package has; without any there are no packages."""
    return len(serving(plan))


def file_name(uvn: str, particle: str) -> str:
    """Return the name of a particle's package."""
    return artifacts.package_name(uvn, particle) + SUFFIX


def rows(
    plan: Plan, made: Sources, before: Mapping[int, ParticlePackageRow]
) -> dict[int, ParticlePackageRow]:
    """Return what is to be known of each package; those that changed are not written yet."""
    cells = serving(plan)
    common = hashed(
        codec.encode(plan.particles_vpn),
        b""
        if plan.particles_vpn is None or plan.particles_vpn.tunnel
        else codec.encode(reachable(plan)),
        plan.uvn.encode(),
        *(codec.encode(_as_seen(plan, cell)) for cell in cells),
        *(made.cells[cell.member.id].hub or b"" for cell in cells),
    )
    extras: dict[int, list[bytes]] = {}
    for cell in cells:
        for particle, extra in made.cells[cell.member.id].extras.items():
            extras.setdefault(particle, []).append(b"%d:" % cell.member.id + extra)
    return {
        particle.id: ParticlePackageRow(
            particle=particle.id,
            digest=hashed(
                common.encode(), codec.encode(particle), seed, *extras.get(particle.id, ())
            ),
            written=before[particle.id].written if particle.id in before else "",
        )
        for particle, seed in made.particles
    }


def configurations(plan: Plan, made: Sources, particle: int) -> tuple[Configuration, ...]:
    """Return the configurations of a particle, one for each serving cell; they hold its keys."""
    chosen = next((each, seed) for each, seed in made.particles if each.id == particle)
    networks = () if plan.particles_vpn is None or plan.particles_vpn.tunnel else reachable(plan)
    return tuple(_configuration(plan, made, cell, chosen, networks) for cell in serving(plan))


def write(made: Sources, plan: Plan, paths: Mapping[int, Path]) -> None:
    """Write the packages of the particles whose ids `paths` has."""
    maker = _ParticlePackageWriter(sources=made, plan=plan)
    if len(paths) * per_particle(plan) < _WORTH_PROCESSES:
        for job in paths.items():
            maker.write(job)
        return
    workers.shared(maker.write, paths.items())


class _ParticlePackageWriter(Struct, frozen=True, kw_only=True):
    """Writes packages, here or in another process."""

    sources: Sources
    plan: Plan

    def write(self, job: tuple[int, Path]) -> None:
        particle, path = job
        name = next(each.name for each, _ in self.sources.particles if each.id == particle)
        made = configurations(self.plan, self.sources, particle)
        files.write_atomic(path, artifacts.package(self.plan.uvn, name, made))


def _configuration(
    plan: Plan,
    made: Sources,
    cell: PlannedCell,
    chosen: tuple[PlannedParticle, bytes],
    networks: tuple[Network, ...],
) -> Configuration:
    particle, seed = chosen
    source, vpn = made.cells[cell.member.id], plan.particles_vpn
    assert source.hub is not None
    assert vpn is not None
    assert cell.member.endpoint is not None
    assert cell.particles_port is not None
    extra = source.extras.get(particle.id, b"")
    endpoint = host_port(cell.member.endpoint, cell.particles_port)
    conf = artifacts.conf(
        private_key=keygen.text(keygen.particle_private(seed, source.hub, extra)),
        address4=particle.address4,
        address6=particle.address6,
        mtu=vpn.mtu,
        public_key=plan.public_keys[particles_hub_pair(cell.member.id)],
        psk=keygen.text(keygen.particle_psk(seed, source.hub, extra)),
        endpoint=endpoint,
        keepalive=vpn.keepalive,
        tunnel=vpn.tunnel,
        pools=networks,
    )
    return Configuration(
        cell=cell.member.name,
        file=artifacts.file_name(cell.member.name, cell.member.id),
        endpoint=endpoint,
        conf=conf,
        owner=cell.owner,
    )
