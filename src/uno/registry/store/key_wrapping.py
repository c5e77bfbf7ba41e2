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
class KdfParameters:
    """The parameters of argon2id: `memory` is in KiB. The second recommended choice of RFC 9106."""

    salt: bytes
    passes: int = 3
    memory: int = 64 << 10
    lanes: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key, wrapped. Everybody may see it."""

    parameters: KdfParameters
    nonce: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret that only the vault that sealed it can read."""

    nonce: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """An open lock."""

    data_key: bytes = field(repr=False)

    def seal(self, secret: bytes, *, name: bytes) -> SealedSecret:
        """Seal `secret` for the place called `name`: it cannot be opened as anything else."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return SealedSecret(nonce, ChaCha20Poly1305(self.data_key).encrypt(nonce, secret, name))

    def unseal(self, sealed: SealedSecret, *, name: bytes) -> bytes | None:
        """Return the secret, or None if it was damaged or is not what `name` calls."""
        try:
            return ChaCha20Poly1305(self.data_key).decrypt(sealed.nonce, sealed.content, name)
        except (InvalidTag, ValueError):
            return None


def fresh_parameters() -> KdfParameters:
    """Return the parameters for a new lock, with a salt of its own."""
    return KdfParameters(salt=secrets.token_bytes(_SALT_SIZE))


def wrapped(passphrase: str) -> tuple[WrappedKey, DataKey]:
    """Draw a data key and lock it with `passphrase`."""
    parameters, vault = fresh_parameters(), DataKey(secrets.token_bytes(KEY_SIZE))
    wrapped = DataKey(derived(passphrase, parameters)).seal(vault.data_key, name=_WRAPPING)
    return WrappedKey(parameters=parameters, nonce=wrapped.nonce, wrapped=wrapped.content), vault


def unwrapped(lock: WrappedKey, passphrase: str, *, of: str) -> DataKey:
    """Open `lock`. Raises `WrongPassphrase`, which names the thing `of` which it is the lock."""
    wrapping = DataKey(derived(passphrase, lock.parameters))
    data_key = wrapping.unseal(SealedSecret(lock.nonce, lock.wrapped), name=_WRAPPING)
    if data_key is None:
        raise WrongPassphrase(of)
    return DataKey(data_key)


def derived(passphrase: str, parameters: KdfParameters) -> bytes:
    """Make a key of `passphrase`, as slowly as `parameters` says.

    The same passphrase typed on another keyboard may be other code points: NFC makes them one.
    """
    # 20 ms that only who has a passphrase pays.
    from argon2.low_level import Type, hash_secret_raw  # noqa: PLC0415

    _refuse_excessive(parameters)
    return hash_secret_raw(
        unicodedata.normalize("NFC", passphrase).encode(),
        parameters.salt,
        time_cost=parameters.passes,
        memory_cost=parameters.memory,
        parallelism=parameters.lanes,
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


def _refuse_excessive(parameters: KdfParameters) -> None:
    if not (
        1 <= parameters.passes <= _MOST_PASSES
        and 1 <= parameters.lanes <= _MOST_LANES
        and 8 * parameters.lanes <= parameters.memory <= _MOST_MEMORY
        and len(parameters.salt) >= 8
    ):
        raise ActionNeeded(
            "the lock asks for what no uno would ask for", "it has been tampered with"
        )
