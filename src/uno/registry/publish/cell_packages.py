"""The cells' packages: which have to be written again, and the writing of them.

A digest of its inputs, which is cheap, decides whether a package must be written again. Writing is
expensive: each cell has its own keys for every particle. So the packed particles are copied from
the previous package if nothing about them changed, and the rest is divided among processes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Raw
from msgspec.structs import replace

from uno import files
from uno.diagnostics import InternalError
from uno.model import codec, package_formats, web_access
from uno.model.key_ids import WEB, cell_sealing, cell_signing, hub_seed, particle_seed
from uno.model.plan import CellPlan, Plan, PlannedParticle
from uno.planning import cell_plans as cells
from uno.registry.publish import keygen, web_packages, workers
from uno.registry.publish.declared_secrets import declared_secrets
from uno.registry.store.generation_store import CellPackageRow, Piece, StoredSecret
from uno.render import package_file
from uno.render.package_file import EncodedPeer, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from uno.model.package import RegistryKey
    from uno.model.uvn import Uvn
    from uno.registry.publish.web_packages import WebSource

# Below this many particle keys, or packages, starting processes takes longer than the work.
_WORTH_PROCESSES, _MANY_PACKAGES = 4_000, 200
# Above this many files, one sync of the file system is quicker than one of every file.
_WORTH_ONE_SYNC = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All that a cell's package is made of. `particles` is the digest of what its particles are.

    `web` is None in a registry that has no certificates yet.
    """

    plan: CellPlan
    secrets: Mapping[str, str] = field(repr=False)
    hub: bytes | None = field(repr=False)
    extras: Mapping[int, bytes] = field(repr=False)
    particles: str
    digest: str
    web: WebSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What all packages of a plan are made of.

    `registry_keys` is the chain that leads to `signing`. `particles` come with their secrets;
    `identities` are theirs (`PlannedParticle.identity`), as JSON, in the same order.
    `package_format` is the format to write (`package_formats`).
    """

    package_format: int
    roster: Segment
    signing: StoredSecret
    registry_keys: tuple[RegistryKey, ...]
    particles: tuple[tuple[PlannedParticle, bytes], ...] = field(repr=False)
    identities: tuple[bytes, ...] = field(repr=False)
    cells: Mapping[int, Source]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A package to write: its row, and the path of the file, which may exist."""

    row: CellPackageRow
    path: Path


def sources(
    plan: Plan,
    secrets: Mapping[str, StoredSecret],
    *,
    registry_keys: tuple[RegistryKey, ...] = (),
    package_format: int | None = None,
    declared: Uvn | None = None,
) -> Sources:
    """Gather what the packages of `plan` are made of.

    `registry_keys` is the chain that leads to the key that signs them. `package_format` is the
    format to write, by default the newest. What is `declared` has secrets too: its users may
    log in at the pages of the cells that they own, or have particles at, and people are notified.
    """
    chosen = package_formats.FORMAT if package_format is None else package_format
    signing = secrets[keygen.SIGNING]
    roster = package_file.roster_segment(cells.roster(plan))
    everyone = tuple((p, secrets[particle_seed(p.id)].private) for p in plan.particles)
    identities = tuple(codec.encode(particle.identity) for particle in plan.particles)
    common = hashed(
        *(
            part
            for json, (_, seed) in zip(identities, everyone, strict=True)
            for part in (json, seed)
        )
    )
    extras = _extras(secrets)
    parts = cells.cell_plans(plan)
    pages = web_packages.sources(plan, parts, secrets, declared.users if declared else ())
    secret = declared_secrets(declared) if declared else {}
    made = {
        cell: _source(
            part,
            secrets,
            common=common,
            extras=extras.get(cell, {}),
            fixed=fixed,
            declared=_Declared(web=pages.get(cell), secrets=secret.get(cell, {})),
        )
        for fixed in [(str(chosen).encode(), signing.public or b"", roster.digest.encode())]
        for cell, part in parts.items()
    }
    return Sources(
        package_format=chosen,
        roster=roster,
        signing=signing,
        registry_keys=registry_keys,
        particles=everyone,
        identities=identities,
        cells=made,
    )


def rows(
    made: Sources, before: Mapping[int, CellPackageRow], *, generation: int
) -> dict[int, CellPackageRow]:
    """Return what is to be known of each package; those that changed become of `generation`."""
    return {
        cell: _row(cell, source, before.get(cell), generation)
        for cell, source in made.cells.items()
    }


def file_name(uvn: str, cell: str) -> str:
    """Return the name of a cell's package."""
    return f"{uvn}__{cell}{package_file.SUFFIX}"


def write(made: Sources, jobs: Iterable[Job]) -> dict[int, CellPackageRow]:
    """Write the packages of `jobs`; return their rows as they are then."""
    waiting = list(jobs)
    durable = len(waiting) <= _WORTH_ONE_SYNC
    fresh = sum(len(made.particles) for job in waiting if not _is_reusable(made, job.row))
    maker = _CellPackageWriter(sources=made, durable=durable)
    is_much = fresh > _WORTH_PROCESSES or len(waiting) > _MANY_PACKAGES
    if is_much and workers.processors() > 1:
        written = workers.shared(maker.write, waiting, chunk=4)
    else:
        written = [maker.write(job) for job in waiting]
    if not durable:
        os.sync()
    return {row.cell: row for row in written}


def hashed(*parts: bytes) -> str:
    """Digest `parts`, each with its length, so that no two lists of parts are alike."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """What follows for one cell from the definition and not from the plan."""

    web: WebSource | None
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CellPackageWriter:
    """Writes packages, here or in another process."""

    sources: Sources
    durable: bool

    def write(self, job: Job) -> CellPackageRow:
        source = self.sources.cells[job.row.cell]
        segment = self._particles(source, job)
        signing = self.sources.signing
        content = package_file.write(
            generation=job.row.generation,
            package_format=self.sources.package_format,
            registry_key=keygen.text(signing.public or b""),
            registry_keys=self.sources.registry_keys,
            roster=self.sources.roster,
            particles=segment,
            plan=source.plan,
            secrets={**source.secrets, **self._web(source)},
            sign=Ed25519PrivateKey.from_private_bytes(signing.private).sign,
        )
        files.write_atomic(job.path, content, durable=self.durable)
        return replace(
            job.row, written=job.row.digest, piece=_piece(content, segment, source.particles)
        )

    def _web(self, source: Source) -> dict[str, str]:
        if source.web is None:
            return {}
        owned = {particle for login in source.web.users for particle in login.particles}
        hub, extras = source.hub, source.extras
        keys = {
            particle.id: keygen.particle_private(seed, hub, extra)
            + keygen.particle_psk(seed, hub, extra)
            for particle, seed in self.sources.particles
            if hub is not None and particle.id in owned
            for extra in [extras.get(particle.id, b"")]
        }
        return {WEB: web_access.to_secret(web_packages.access(source.web, keys))}

    def _particles(self, source: Source, job: Job) -> Segment:
        packed, piece = _packed(job), job.row.piece
        if piece is None or packed is None:
            return package_file.particles_segment(_peers(source, self.sources, {}))
        if piece.inputs == source.particles:
            return Segment(name=package_file.PARTICLES, digest=piece.content, packed=packed)
        known = package_file.public_keys_in(packed)
        return package_file.particles_segment(_peers(source, self.sources, known))


def _source(
    plan: CellPlan,
    secrets: Mapping[str, StoredSecret],
    *,
    common: str,
    extras: Mapping[int, bytes],
    fixed: tuple[bytes, ...],
    declared: _Declared,
) -> Source:
    needed = {key for link in plan.links for key in (link.key, link.psk)}
    # A registry that an older uno made gets them with its next generation.
    needed |= {cell_signing(plan.cell), cell_sealing(plan.cell)} & secrets.keys()
    if plan.root:
        needed |= {plan.root.key, plan.root.psk}
    hub = None
    particles = hashed()
    if plan.particles:
        needed.add(plan.particles.key)
        hub = secrets[hub_seed(plan.cell)].private
        particles = hashed(
            common.encode(), hub, *(b"%d:" % id_ + extras[id_] for id_ in sorted(extras))
        )
    texts = {key: keygen.text(secrets[key].private) for key in sorted(needed)}
    texts |= declared.secrets
    web = declared.web
    page = [web.digest.encode()] if web else []
    digest = hashed(*fixed, codec.encode(plan), codec.encode(texts), particles.encode(), *page)
    return Source(
        plan=plan,
        secrets=texts,
        hub=hub,
        extras=extras,
        particles=particles,
        digest=digest,
        web=web,
    )


def _extras(secrets: Mapping[str, StoredSecret]) -> dict[int, dict[int, bytes]]:
    """Return the secrets that re-key one particle at one cell, by cell and particle."""
    extras: dict[int, dict[int, bytes]] = {}
    for name, secret in secrets.items():
        kind, _, ids = name.partition("/")
        particle, _, cell = ids.partition("/")
        if kind == "particle" and cell:
            extras.setdefault(int(cell), {})[int(particle)] = secret.private
    return extras


def _row(
    cell: int, source: Source, before: CellPackageRow | None, generation: int
) -> CellPackageRow:
    if before is None:
        return CellPackageRow(cell=cell, generation=generation, digest=source.digest)
    if before.digest == source.digest:
        return before
    return replace(before, generation=generation, digest=source.digest)


def _peers(source: Source, made: Sources, known: Mapping[str, str]) -> Iterator[EncodedPeer]:
    """Return the particles with their keys; `known` has public keys by preshared keys.

    Both follow from the same seeds, so that whose preshared key is still the same has the same
    public key, which takes a hundred times as long to compute.
    """
    if source.hub is None:
        return
    extras = source.extras
    for (particle, seed), identity in zip(made.particles, made.identities, strict=True):
        extra = extras.get(particle.id, b"") if extras else b""
        psk = keygen.text(keygen.particle_psk(seed, source.hub, extra))
        public = known.get(psk) or _public_key(seed, source.hub, extra)
        yield EncodedPeer(Raw(identity), public, psk)


def _public_key(seed: bytes, hub: bytes, extra: bytes) -> str:
    return keygen.text(keygen.public_half(keygen.particle_private(seed, hub, extra)))


def _is_reusable(made: Sources, row: CellPackageRow) -> bool:
    source = made.cells[row.cell]
    return source.hub is None or (row.piece is not None and row.piece.inputs == source.particles)


def _packed(job: Job) -> bytes | None:
    """Return the packed particles of the package that is there, if they are those on record."""
    piece = job.row.piece
    if piece is None:
        return None
    try:
        with job.path.open("rb") as file:
            file.seek(piece.at)
            packed = file.read(piece.size)
    except OSError:
        return None
    return packed if hashlib.sha256(packed).hexdigest() == piece.packed else None


def _piece(content: bytes, segment: Segment, inputs: str) -> Piece:
    at = content.find(segment.packed)
    if at < 0:
        raise InternalError("a package does not contain the particles that were put into it")
    return Piece(
        at=at,
        size=len(segment.packed),
        inputs=inputs,
        content=segment.digest,
        packed=hashlib.sha256(segment.packed).hexdigest(),
    )
