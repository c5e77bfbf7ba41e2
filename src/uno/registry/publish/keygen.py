"""Makes keys. What is random is stored, what every particle shares with every cell is derived.

1,000 particles at 500 cells would be a million stored keys; see
`docs/decisions/0002-particle-keys.md`.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from dataclasses import replace  # noqa: TID251 - of a dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct

from uno.model.key_ids import REGISTRY_SIGNING, ROOT_REGISTRY, cell_signing, is_signing
from uno.registry.store.generation_store import StoredSecret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

SIGNING = REGISTRY_SIGNING
PAIR, PSK, SEED, SIGN = "pair", "psk", "seed", "sign"


class RequiredSecrets(Struct, frozen=True, kw_only=True):
    """The ids of all secrets that a plan calls for, by kind."""

    pairs: frozenset[str]
    psks: frozenset[str]
    seeds: frozenset[str]


class Renewal(Struct, frozen=True, kw_only=True):
    """How the stored secrets have to change to be those that are wanted.

    `replaced` are the ids of those that are made anew; only the root VPN's are not dropped too.
    """

    all: Mapping[str, StoredSecret]
    made: tuple[StoredSecret, ...]
    dropped: tuple[str, ...]
    replaced: tuple[str, ...] = ()


def renew(
    stored: Mapping[str, StoredSecret],
    wanted: RequiredSecrets,
    *,
    anew: Collection[str] = (),
    stolen: Collection[str] = (),
) -> Renewal:
    """Generate missing secrets, drop unused ones, replace those in `anew`, and keep the rest.

    A dropped secret is deleted: a revoked key can only be replaced. A new seed of a particle or hub
    drops the seeds of single pairs of it. Replaced keys of the root VPN stay as earlier epochs, by
    which the registry reaches a cell that has not received the new ones; not those in `stolen`.
    """
    needed = wanted.pairs | wanted.psks | wanted.seeds
    drawn = frozenset(anew)
    lasting = {id_ for id_ in stored if id_ in needed or _lasts(id_, needed - drawn)}
    kept = {id_: stored[id_] for id_ in sorted(lasting - drawn)}
    for_one_cell = {id_ for id_ in drawn if _is_seed_of_pair(id_, needed)} - needed
    made = tuple(
        replace(secret, epoch=stored[secret.id].epoch + 1) if secret.id in stored else secret
        for secret in (
            *(_new(id_) for id_ in sorted((wanted.pairs | (drawn & {SIGNING})) - kept.keys())),
            *(new_shared(id_, PSK) for id_ in sorted(wanted.psks - kept.keys())),
            *(new_shared(id_, SEED) for id_ in sorted((wanted.seeds | for_one_cell) - kept.keys())),
        )
    )
    handed_over = {
        secret.id
        for secret in made
        if secret.epoch and secret.id.startswith("root/") and secret.id not in stolen
    }
    return Renewal(
        all=kept | {s.id: s for s in made},
        made=made,
        dropped=tuple(sorted(stored.keys() - kept.keys() - handed_over)),
        replaced=tuple(secret.id for secret in made if secret.id in drawn),
    )


def new_pair(name: str) -> StoredSecret:
    """Draw an X25519 key pair."""
    private = clamped(secrets.token_bytes(32))
    return StoredSecret(id=name, kind=PAIR, private=private, public=public_half(private))


def new_shared(name: str, kind: str) -> StoredSecret:
    """Draw 32 bytes that have no public half."""
    return StoredSecret(id=name, kind=kind, private=secrets.token_bytes(32))


def new_signing_key(name: str = SIGNING) -> StoredSecret:
    """Draw an Ed25519 key; by default the one that the registry signs packages with."""
    key = Ed25519PrivateKey.generate()
    return StoredSecret(
        id=name,
        kind=SIGN,
        private=key.private_bytes_raw(),
        public=key.public_key().public_bytes_raw(),
    )


def particle_private(particle: bytes, hub: bytes, extra: bytes = b"") -> bytes:
    """Derive the private X25519 key that a particle uses at a cell.

    Keyed BLAKE2b (RFC 7693) is a pseudo-random function: without both seeds the key is
    indistinguishable from a random one.
    """
    drawn = hashlib.blake2b(hub + extra, digest_size=32, key=particle, person=b"uno key")
    return clamped(drawn.digest())


def particle_psk(particle: bytes, hub: bytes, extra: bytes = b"") -> bytes:
    """Derive the preshared key between a particle and a cell."""
    return hashlib.blake2b(hub + extra, digest_size=32, key=particle, person=b"uno psk").digest()


def clamped(drawn: bytes) -> bytes:
    """Return 32 bytes as a private X25519 key (RFC 7748, section 5), which is how `wg` shows it."""
    return bytes((drawn[0] & 0xF8, *drawn[1:31], (drawn[31] & 0x7F) | 0x40))


def public_half(private: bytes) -> bytes:
    """Return the public X25519 key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def text(key: bytes) -> str:
    """Return `key` as WireGuard writes keys: base64."""
    return b64encode(key).decode()


def public_keys(stored: Iterable[StoredSecret]) -> dict[str, str]:
    """Return the public halves of all pairs, as text, by id."""
    return {s.id: text(s.public) for s in stored if s.kind in {PAIR, SIGN} and s.public is not None}


def _new(name: str) -> StoredSecret:
    return new_signing_key(name) if is_signing(name) else new_pair(name)


def _lasts(name: str, needed: frozenset[str]) -> bool:
    """Whether a secret that no plan names stays.

    That are the signing key, seeds of pairs in use, and the root VPN's keys of all cells: a plan
    without that network cuts them off only once it is released.
    """
    if name in {SIGNING, ROOT_REGISTRY}:
        return True
    network, _, cell = name.removesuffix("/psk").partition("/")
    if network == "root":
        return cell_signing(int(cell)) in needed
    return _is_seed_of_pair(name, needed)


def _is_seed_of_pair(name: str, needed: frozenset[str]) -> bool:
    owner, _, cell = name.rpartition("/")
    return owner in needed and owner.startswith("particle/") and f"hub/{cell}" in needed
