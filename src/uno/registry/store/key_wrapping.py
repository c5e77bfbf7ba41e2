"""Encryption of secrets at rest with a passphrase (docs/decisions/0003-secrets-at-rest.md).

    passphrase ──argon2id──▶ wrapping key ──decrypts──▶ data key ──decrypts──▶ each secret

argon2id (RFC 9106) is slow on purpose, and runs once per command; ChaCha20-Poly1305 (RFC 8439) is
fast. The data key is random, so that 2^32 random nonces of 96 bits can be used with it before a
collision is likely.
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
# Limits on the parameters in a file: more would exhaust the machine that opens it.
_MOST_MEMORY = 1 << 20
_MOST_PASSES = 100
_MOST_LANES = 64


class WrongPassphrase(InvalidInput):
    """The passphrase does not decrypt the data key."""

    def __init__(self, what: str) -> None:
        """Name `what` the passphrase is wrong for."""
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
    """A data key, encrypted with a key that is derived from a passphrase. It is not secret."""

    parameters: KdfParameters
    nonce: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret, encrypted with a data key."""

    nonce: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key in clear text."""

    data_key: bytes = field(repr=False)

    def seal(self, secret: bytes, *, name: bytes) -> SealedSecret:
        """Encrypt `secret`, with `name` as associated data."""
        nonce = secrets.token_bytes(NONCE_SIZE)
        return SealedSecret(nonce, ChaCha20Poly1305(self.data_key).encrypt(nonce, secret, name))

    def unseal(self, sealed: SealedSecret, *, name: bytes) -> bytes | None:
        """Return the secret, or None if it is damaged or `name` differs."""
        try:
            return ChaCha20Poly1305(self.data_key).decrypt(sealed.nonce, sealed.content, name)
        except (InvalidTag, ValueError):
            return None


def fresh_parameters() -> KdfParameters:
    """Return parameters with a new salt."""
    return KdfParameters(salt=secrets.token_bytes(_SALT_SIZE))


def wrapped(passphrase: str) -> tuple[WrappedKey, DataKey]:
    """Generate a data key and wrap it with `passphrase`."""
    parameters, made = fresh_parameters(), DataKey(secrets.token_bytes(KEY_SIZE))
    sealed = DataKey(derived(passphrase, parameters)).seal(made.data_key, name=_WRAPPING)
    return WrappedKey(parameters=parameters, nonce=sealed.nonce, wrapped=sealed.content), made


def unwrapped(lock: WrappedKey, passphrase: str, *, of: str) -> DataKey:
    """Unwrap `lock`. Raises `WrongPassphrase`, which names what (`of`) it belongs to."""
    wrapping = DataKey(derived(passphrase, lock.parameters))
    data_key = wrapping.unseal(SealedSecret(lock.nonce, lock.wrapped), name=_WRAPPING)
    if data_key is None:
        raise WrongPassphrase(of)
    return DataKey(data_key)


def derived(passphrase: str, parameters: KdfParameters) -> bytes:
    """Derive a key from `passphrase`.

    Another keyboard may produce other code points for the same characters: NFC unifies them.
    """
    # An import of 20 ms, which only a registry with a passphrase needs.
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
    """Raise `InvalidInput` if `passphrase` is too short."""
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
            "the key derivation parameters are out of range", "the file has been altered"
        )
