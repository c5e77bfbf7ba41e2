"""Seals secrets with a passphrase, as docs/decisions/0003-secrets-at-rest.md says.

    passphrase ──argon2id──▶ wrapping key ──opens──▶ data key ──opens──▶ each secret

argon2id (RFC 9106) is slow on purpose and done once; ChaCha20-Poly1305 (RFC 8439) is not. The data
key is random, so that another passphrase does not need the secrets, and 2^32 random nonces of 96
bits can be drawn for it before two of them are likely to be the same.
"""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from uno.diagnostics import ActionNeeded, InvalidInput

SHORTEST = 8
KEY_SIZE = 32
NONCE_SIZE = 12
_SALT_SIZE = 16
_WRAPPING = b"uno data key"
# What a file from elsewhere may ask for: more than this would be an attack on who opens it.
_MOST_MEMORY = 1 << 20
_MOST_PASSES = 100
_MOST_LANES = 64


class WrongPassphrase(InvalidInput):
    """What was given does not open the lock."""

    def __init__(self, what: str) -> None:
        """Say that it is not the passphrase of `what`."""
        super().__init__(
            f"this is not the passphrase of {what}",
            "give the right one in UNO_PASSPHRASE or with --passphrase-file FILE",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowness:
    """The parameters of argon2id: `memory` is in KiB. The second recommended choice of RFC 9106."""

    salt: bytes
    passes: int = 3
    memory: int = 64 << 10
    lanes: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A data key, wrapped. Everybody may see it."""

    slowness: Slowness
    nonce: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret that only the vault that sealed it can read."""

    nonce: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Vault:
    """An open lock."""

    data_key: bytes = field(repr=False)

    def seal(self, secret: bytes, *, name: bytes) -> Sealed:
        """Seal `secret` for the place called `name`: it cannot be opened as anything else."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return Sealed(nonce, ChaCha20Poly1305(self.data_key).encrypt(nonce, secret, name))

    def unseal(self, sealed: Sealed, *, name: bytes) -> bytes | None:
        """Return the secret, or None if it was damaged or is not what `name` calls."""
        try:
            return ChaCha20Poly1305(self.data_key).decrypt(sealed.nonce, sealed.content, name)
        except (InvalidTag, ValueError):
            return None


def fresh_slowness() -> Slowness:
    """Return the parameters for a new lock, with a salt of its own."""
    return Slowness(salt=secrets.token_bytes(_SALT_SIZE))


def locked(passphrase: str) -> tuple[Lock, Vault]:
    """Draw a data key and lock it with `passphrase`."""
    slowness, vault = fresh_slowness(), Vault(secrets.token_bytes(KEY_SIZE))
    wrapped = Vault(stretched(passphrase, slowness)).seal(vault.data_key, name=_WRAPPING)
    return Lock(slowness=slowness, nonce=wrapped.nonce, wrapped=wrapped.content), vault


def unlocked(lock: Lock, passphrase: str, *, of: str) -> Vault:
    """Open `lock`. Raises `WrongPassphrase`, which names the thing `of` which it is the lock."""
    wrapping = Vault(stretched(passphrase, lock.slowness))
    data_key = wrapping.unseal(Sealed(lock.nonce, lock.wrapped), name=_WRAPPING)
    if data_key is None:
        raise WrongPassphrase(of)
    return Vault(data_key)


def stretched(passphrase: str, slowness: Slowness) -> bytes:
    """Make a key of `passphrase`, as slowly as `slowness` says.

    The same passphrase typed on another keyboard may be other code points: NFC makes them one.
    """
    # 20 ms that only who has a passphrase pays.
    from argon2.low_level import Type, hash_secret_raw  # noqa: PLC0415

    _refuse_excess(slowness)
    return hash_secret_raw(
        unicodedata.normalize("NFC", passphrase).encode(),
        slowness.salt,
        time_cost=slowness.passes,
        memory_cost=slowness.memory,
        parallelism=slowness.lanes,
        hash_len=KEY_SIZE,
        type=Type.ID,
    )


def refuse_weak(passphrase: str, source: str) -> None:
    """Raise `UnoError` if nothing should be sealed with `passphrase`."""
    if len(passphrase) < SHORTEST:
        raise InvalidInput(
            f"{source} has {len(passphrase)} characters",
            f"choose a passphrase of {SHORTEST} or more; five random words are a good one",
        )


def _refuse_excess(slowness: Slowness) -> None:
    if not (
        1 <= slowness.passes <= _MOST_PASSES
        and 1 <= slowness.lanes <= _MOST_LANES
        and 8 * slowness.lanes <= slowness.memory <= _MOST_MEMORY
        and len(slowness.salt) >= 8
    ):
        raise ActionNeeded(
            "the lock asks for what no uno would ask for", "it has been tampered with"
        )
