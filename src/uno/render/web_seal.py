"""What a password opens at a cell's page: a login, and the private keys of a user's particles.

The registry has an argon2id hash of each password (RFC 9106). A cell gets none: only a verifier,
and keys sealed under a key that follows from the hash too. Whoever steals the cell's package has to
guess the password, at the price of an argon2id run for each guess, for the one as for the other.

    hash      = argon2id(password)
    verifier  = SHA-256("uno web verifier" | hash)
    key       = HKDF-SHA256(hash, salt = identity | cell, info = "uno web particles")   RFC 5869
    sealed    = AES-SIV(key, keys of particles, associated data = e-mail address)       RFC 5297

AES-SIV needs no nonce, so that a package is the same bytes each time that it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEYS = 64
"""A particle's private key and its preshared key with the cell, 32 bytes each."""

_ID = 8


def verifier(password_hash: bytes) -> bytes:
    """Return what shows that a password has this hash."""
    return hashlib.sha256(b"uno web verifier" + password_hash).digest()


def seal(
    keys: Mapping[int, bytes], *, password_hash: bytes, identity: str, cell: int, email: str
) -> bytes:
    """Seal the `KEYS` of particles, by their ids, for the user `email` at `cell`."""
    content = b"".join(id_.to_bytes(_ID, "big") + key for id_, key in sorted(keys.items()))
    return _cipher(password_hash, identity, cell).encrypt(content, [email.encode()])


def unseal(
    sealed: bytes, *, password_hash: bytes, identity: str, cell: int, email: str
) -> dict[int, bytes]:
    """Return the `KEYS` of particles by their ids. Raises `ValueError`."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - `uno -h` is quick

    try:
        content = _cipher(password_hash, identity, cell).decrypt(sealed, [email.encode()])
    except InvalidTag as error:
        raise ValueError("these keys are not sealed for this user at this cell") from error
    size = _ID + KEYS
    parts = (content[at : at + size] for at in range(0, len(content), size))
    return {int.from_bytes(part[:_ID], "big"): part[_ID:] for part in parts}


def _cipher(password_hash: bytes, identity: str, cell: int) -> AESSIV:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    derived = HKDF(
        algorithm=hashes.SHA256(),
        length=64,
        salt=bytes.fromhex(identity) + cell.to_bytes(8, "big"),
        info=b"uno web particles",
    )
    return AESSIV(derived.derive(password_hash))
