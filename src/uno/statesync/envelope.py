"""Signing and sealing of messages: pure but for the key that sealing draws, which is passed in.

A signature (Ed25519, RFC 8032) covers who and what a message is about, its sequence, the UVN and
the whole body. A sealed package can be read by one cell alone: X25519 (RFC 7748) with a key drawn
for the message, HKDF-SHA256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439).
"""

from __future__ import annotations

import base64
import binascii
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from uno.diagnostics import InvalidInput
from uno.model.messages import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNED = b"uno message 1\0"
_SEALED = b"uno package 1\0"

# What a body may hold: more is refused before anything looks into it.
BODY_LIMIT = 8 << 20
SIGNATURE_SIZE = 64
_KEY_SIZE = 32
_TAG_SIZE = 16


class Untrusted(InvalidInput):
    """A message that is not what it says: unsigned, altered, of another UVN, or for others."""


class UnknownOrigin(Untrusted):
    """A message about a cell that is no member of the UVN, as far as is known."""


def signed(envelope: Envelope, *, identity: str, sign: Callable[[bytes], bytes]) -> Envelope:
    """Return `envelope` with the signature that `sign` makes. `identity` is the UVN's."""
    return Envelope(
        subject=envelope.subject,
        kind=envelope.kind,
        sequence=envelope.sequence,
        relayed_by=envelope.relayed_by,
        body=envelope.body,
        signature=sign(_covered(envelope, identity)),
    )


def verify(envelope: Envelope, *, identity: str, public_key: str) -> None:
    """Raise `Untrusted` unless the holder of `public_key` (base64) signed `envelope`."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    if len(envelope.body) > BODY_LIMIT or len(envelope.signature) != SIGNATURE_SIZE:
        raise Untrusted("a message is too large, or not signed")
    try:
        covered = _covered(envelope, identity)
        _verifier(public_key)(envelope.signature, covered)
    except (InvalidSignature, ValueError, struct.error) as error:
        raise Untrusted("a message is not signed by whom it is about") from error


def signer(private_key: str) -> Callable[[bytes], bytes]:
    """Return what signs with an Ed25519 private key, given in base64."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    return Ed25519PrivateKey.from_private_bytes(_key(private_key)).sign


def seal(package: bytes, *, public_key: str, identity: str, cell: int, drawn: bytes) -> bytes:
    """Return `package`, readable with the private half of `public_key` (base64) alone.

    `drawn` are 32 random bytes, never used twice. The result says nothing of its content but the
    size.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
        X25519PrivateKey,
        X25519PublicKey,
    )
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

    own = X25519PrivateKey.from_private_bytes(drawn)
    ours = own.public_key().public_bytes_raw()
    theirs = _key(public_key)
    shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
    key = _derived(shared, ours + theirs)
    # The key is used once, so that the nonce may be always the same.
    sealed = ChaCha20Poly1305(key).encrypt(bytes(12), package, _bound(identity, cell))
    return ours + sealed


def unseal(body: bytes, *, private_key: str, identity: str, cell: int) -> bytes:
    """Return the package that was sealed for `cell`. Raises `Untrusted`."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
        X25519PrivateKey,
        X25519PublicKey,
    )
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

    if len(body) < _KEY_SIZE + _TAG_SIZE:
        raise Untrusted("a sealed package is too short to be one")
    theirs, sealed = body[:_KEY_SIZE], body[_KEY_SIZE:]
    try:
        own = X25519PrivateKey.from_private_bytes(_key(private_key))
        ours = own.public_key().public_bytes_raw()
        shared = own.exchange(X25519PublicKey.from_public_bytes(theirs))
        key = _derived(shared, theirs + ours)
        return ChaCha20Poly1305(key).decrypt(bytes(12), sealed, _bound(identity, cell))
    except (InvalidTag, ValueError) as error:
        raise Untrusted("a sealed package is for another cell, or was altered") from error


# Whoever is heard once is heard again.
@lru_cache(maxsize=1024)
def _verifier(public_key: str) -> Callable[[bytes, bytes], None]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    return Ed25519PublicKey.from_public_bytes(_key(public_key)).verify


def _covered(envelope: Envelope, identity: str) -> bytes:
    head = struct.pack(">HIQ", envelope.kind, envelope.subject, envelope.sequence)
    return _SIGNED + bytes.fromhex(identity) + head + envelope.body


def _bound(identity: str, cell: int) -> bytes:
    return _SEALED + bytes.fromhex(identity) + struct.pack(">I", cell)


def _derived(shared: bytes, keys: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), 32, salt=None, info=_SEALED + keys).derive(shared)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not a base64 key") from error
    if len(key) != _KEY_SIZE:
        raise ValueError("not a key of 32 bytes")
    return key
