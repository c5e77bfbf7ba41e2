"""What the packages hold for the cells' pages (`model.web_access`): from the plan and the users."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

from uno.model import codec, password_hash, web_access
from uno.model.key_ids import WEB_ROOT, cell_signing, particles_hub_pair
from uno.model.net import Network
from uno.model.password_hash import PasswordHash
from uno.model.syntax import host_port
from uno.model.web_access import ParticleSettings, WebAccess, WebUser
from uno.planning.particle_routes import reachable
from uno.registry.publish import web_authority
from uno.render import web_seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from uno.model.plan import CellPlan, Plan, PlannedCell
    from uno.model.uvn import User
    from uno.registry.store.generation_store import StoredSecret


class WebLogin(Struct, frozen=True):
    """A user who may log in at a cell, and the ids of the user's particles there."""

    email: str
    password: PasswordHash
    particles: tuple[int, ...]

    def __repr__(self) -> str:
        return f"WebLogin({self.email})"


class WebSource(Struct, frozen=True, kw_only=True):
    """All that a cell's `WebAccess` is made of, but for the keys of particles."""

    seed: bytes
    signing: bytes
    uvn: str
    identity: str
    cell: int
    name: str
    networks: tuple[Network, ...]
    owner: str
    cell_owner: str
    users: tuple[WebLogin, ...]
    particles: ParticleSettings | None

    def __repr__(self) -> str:
        return f"WebSource({self.uvn}/{self.name})"

    @property
    def digest(self) -> str:
        """What differs whenever the result would."""
        return hashlib.sha256(codec.encode(self)).hexdigest()


def sources(
    plan: Plan,
    cells: Mapping[int, CellPlan],
    secrets: Mapping[str, StoredSecret],
    users: Iterable[User],
) -> dict[int, WebSource]:
    """Return the sources of all cells' pages, by cell id.

    There are none in a registry that an older uno made, until its next generation.
    """
    seed = secrets.get(WEB_ROOT)
    if seed is None:
        return {}
    known = _passwords(users)
    networks = _networks(plan)
    return {
        cell.member.id: WebSource(
            seed=seed.private,
            signing=signing.private,
            uvn=plan.uvn,
            identity=plan.identity,
            cell=cell.member.id,
            name=cell.member.name,
            networks=web_access.networks(cells[cell.member.id], cell.member),
            owner=plan.owner,
            cell_owner=cell.owner,
            users=tuple(_logins(plan, cell, known)),
            particles=_settings(plan, cell, networks),
        )
        for cell in plan.cells
        for signing in [secrets.get(cell_signing(cell.member.id))]
        if signing is not None
    }


def access(source: WebSource, keys: Mapping[int, bytes]) -> WebAccess:
    """Return what the cell's package gets. `keys` are those of particles (`web_seal.KEYS`)."""
    key = web_authority.cell_key(source.seed, source.cell, source.signing)
    return WebAccess(
        root=web_authority.root_certificate(source.seed, source.uvn),
        authority=web_authority.cell_authority(
            source.seed, source.uvn, source.name, key=key, networks=source.networks
        ),
        key=key,
        owner=source.owner,
        cell_owner=source.cell_owner,
        metrics_token=web_authority.metrics_token(source.seed, source.cell, source.signing),
        users=tuple(_user(source, login, keys) for login in source.users),
        particles=source.particles,
    )


def logins(users: Iterable[User]) -> tuple[WebUser, ...]:
    """Return those who may log in at the registry's own page, which has no keys of particles."""
    return tuple(_web_user(email, found) for email, found in sorted(_passwords(users).items()))


def _passwords(users: Iterable[User]) -> dict[str, PasswordHash]:
    """Return the hashes that can be checked at a page, by e-mail address."""
    return {
        user.email: found
        for user in users
        if user.password and not user.excluded
        for found in [password_hash.parsed(user.password)]
        if found is not None
    }


def _logins(plan: Plan, cell: PlannedCell, known: Mapping[str, PasswordHash]) -> Iterator[WebLogin]:
    """Yield the owners of the UVN, of the cell, and of the particles that it serves."""
    owned: dict[str, list[int]] = {plan.owner: [], cell.owner: []}
    if cell.member.serves_particles:
        for particle in plan.particles:
            owned.setdefault(particle.owner, []).append(particle.id)
    for email in sorted(owned.keys() & known.keys()):
        yield WebLogin(email, known[email], tuple(owned[email]))


def _user(source: WebSource, login: WebLogin, keys: Mapping[int, bytes]) -> WebUser:
    found = login.password
    sealed = b""
    if login.particles:
        sealed = web_seal.seal(
            {particle: keys[particle] for particle in login.particles},
            password_hash=found.hash,
            identity=source.identity,
            cell=source.cell,
            email=login.email,
        )
    return _web_user(login.email, found, sealed)


def _web_user(email: str, found: PasswordHash, particles: bytes = b"") -> WebUser:
    return WebUser(
        email=email,
        salt=found.salt,
        passes=found.passes,
        memory=found.memory,
        lanes=found.lanes,
        size=len(found.hash),
        verifier=web_seal.verifier(found.hash),
        particles=particles,
    )


def _networks(plan: Plan) -> tuple[Network, ...]:
    vpn = plan.particles_vpn
    return () if vpn is None or vpn.tunnel else reachable(plan)


def _settings(
    plan: Plan, cell: PlannedCell, networks: tuple[Network, ...]
) -> ParticleSettings | None:
    vpn, endpoint, port = plan.particles_vpn, cell.member.endpoint, cell.particles_port
    if vpn is None or endpoint is None or port is None or not cell.member.serves_particles:
        return None
    return ParticleSettings(
        endpoint=host_port(endpoint, port),
        public_key=plan.public_keys[particles_hub_pair(cell.member.id)],
        mtu=vpn.mtu,
        keepalive=vpn.keepalive,
        tunnel=vpn.tunnel,
        networks=networks,
    )
