"""Whom agents trust: the registry's key, and which keys of cells and particles are revoked. Pure.

A revocation names a cell or a particle, and the packages whose keys for it are not accepted: all,
or those of generations before it got new keys. So it holds whatever package a cell runs, also one
that it rolls back to, and only the new keys end it. The keys of the registry form a chain: each is
signed with the one before it, so that a cell that trusts any of them can follow.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from uno.model.package import Package, RegistryKey
from uno.model.plan import Roster

_SIGNED = b"uno registry key 1\0"


class Revocation(Struct, frozen=True, kw_only=True):
    """The keys of a cell or particle in packages of generations below `before`, or in all."""

    id: int
    before: int | None = None

    def covers(self, generation: int) -> bool:
        """Whether the keys in a package of `generation` are revoked."""
        return self.before is None or generation < self.before


class TrustUpdate(Struct, frozen=True, kw_only=True):
    """What the registry states on trust: the chain of its keys, and what it has revoked.

    `registry_keys` begins with the successor of the registry's first key. Both lists of revocations
    are sorted by id.
    """

    registry_keys: tuple[RegistryKey, ...] = ()
    cells: tuple[Revocation, ...] = ()
    particles: tuple[Revocation, ...] = ()

    def revoked_cells(self, generation: int) -> frozenset[int]:
        """Return the cells whose keys in packages of `generation` are revoked."""
        return frozenset(each.id for each in self.cells if each.covers(generation))

    def revoked_particles(self, generation: int) -> frozenset[int]:
        """Return the particles whose keys in packages of `generation` are revoked."""
        return frozenset(each.id for each in self.particles if each.covers(generation))


def newest_key(trusted: str, chain: Iterable[RegistryKey], *, identity: str) -> str:
    """Return the newest registry key that `chain` leads to from the `trusted` one, in base64.

    It is `trusted` itself if no valid signature with it is in the chain. `identity` is the UVN's.
    """
    for each in chain:
        if each.follows == trusted and _is_signed(each, identity):
            trusted = each.key
    return trusted


def successor(
    key: str, *, follows: str, identity: str, sign: Callable[[bytes], bytes]
) -> RegistryKey:
    """Return `key` as the successor of the registry key `follows`, whose private half signs it."""
    signature = base64.b64encode(sign(_covered(follows, key, identity))).decode()
    return RegistryKey(key=key, follows=follows, signature=signature)


def obeying(package: Package, trust: TrustUpdate) -> Package:
    """Return `package` without links, statements and particles whose keys in it are revoked.

    The LANs of a revoked cell stay in the roster: packets to them are dropped, and do not leave by
    the default route. The cell's own revocation has no effect on it.
    """
    generation, plan = package.manifest.generation, package.plan
    cells = trust.revoked_cells(generation) - {plan.cell}
    particles = trust.revoked_particles(generation)
    links = tuple(link for link in plan.links if link.cell not in cells)
    peers = tuple(peer for peer in package.particles if peer.particle.id not in particles)
    roster = _without_keys(package.roster, cells)
    if (links, peers, roster) == (plan.links, package.particles, package.roster):
        return package
    return replace(package, roster=roster, particles=peers, plan=replace(plan, links=links))


def replaced_keys(running: Package, new: Package) -> tuple[Revocation, ...]:
    """Return the cells whose signing keys in `running` are not those in `new`, as revocations.

    The registry replaces a signing key only because the one before it is not to be trusted.
    """
    keys = {member.id: member.sign_key for member in running.roster.members}
    generation = new.manifest.generation
    return tuple(
        Revocation(id=member.id, before=generation)
        for member in new.roster.members
        if keys.get(member.id) and keys[member.id] != member.sign_key
    )


def merged(known: Iterable[Revocation], added: Iterable[Revocation]) -> tuple[Revocation, ...]:
    """Return both, by id; of two about the same id, the one that covers more."""
    found = {each.id: each for each in known}
    for each in added:
        one = found.setdefault(each.id, each)
        if one.before is not None and (each.before is None or each.before > one.before):
            found[each.id] = each
    return tuple(found[id_] for id_ in sorted(found))


def _without_keys(roster: Roster, cells: frozenset[int]) -> Roster:
    if not any(member.id in cells and member.sign_key for member in roster.members):
        return roster
    members = tuple(
        replace(member, sign_key="") if member.id in cells else member for member in roster.members
    )
    return replace(roster, members=members)


def _is_signed(one: RegistryKey, identity: str) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(one.follows, validate=True))
        signature = base64.b64decode(one.signature, validate=True)
        key.verify(signature, _covered(one.follows, one.key, identity))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _covered(follows: str, key: str, identity: str) -> bytes:
    return _SIGNED + b"\0".join((identity.encode(), follows.encode(), key.encode()))
