"""Signatures and encryption of messages.

A signature (Ed25519, RFC 8032) covers the kind, subject, sequence and body of an envelope and the
identity of the UVN. The node that relays an envelope is not covered, since every relay sets it.

A package is sealed to the key of one cell with HPKE (RFC 9180) in base mode, as DHKEM(X25519,
HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. HPKE does not authenticate the sender: the envelope
around the package is signed.

No I/O. Sealing is not a function of its arguments: `cryptography` draws the ephemeral key.
"""

from __future__ import annotations

import base64
import binascii
import struct
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from uno.diagnostics import InvalidInput
from uno.model.messages import BODY_LIMIT, SIGNATURE_SIZE, Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.hpke import Suite

_SIGNED = b"uno message 1\0"
_SEALED = b"uno package 2\0"

_KEY_SIZE = 32


class Untrusted(InvalidInput):
    """A message with an invalid signature, content or recipient, or of another UVN."""


class UnknownOrigin(Untrusted):
    """A message of a cell that is not a member of the UVN in the current package."""


def signed(envelope: Envelope, *, identity: str, sign: Callable[[bytes], bytes]) -> Envelope:
    """Return `envelope` with a signature made by `sign`. `identity` is the UVN's."""
    return Envelope(
        subject=envelope.subject,
        kind=envelope.kind,
        sequence=envelope.sequence,
        relayed_by=envelope.relayed_by,
        body=envelope.body,
        signature=sign(_covered(envelope, identity)),
    )


def verify(envelope: Envelope, *, identity: str, public_key: str) -> None:
    """Raise `Untrusted` unless `envelope` is signed with the private half of `public_key`.

    Keys are in base64.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    if len(envelope.body) > BODY_LIMIT or len(envelope.signature) != SIGNATURE_SIZE:
        raise Untrusted("a message is too large, or has no signature")
    try:
        covered = _covered(envelope, identity)
        _verifier(public_key).verify(envelope.signature, covered)
    except (InvalidSignature, ValueError, struct.error) as error:
        raise Untrusted("a message is not signed with the key of its originator") from error


@lru_cache(maxsize=1024)
def _verifier(public_key: str) -> Ed25519PublicKey:
    """Return the key, which verifies hundreds of messages. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    return Ed25519PublicKey.from_public_bytes(_key(public_key))


def signer(private_key: str) -> Callable[[bytes], bytes]:
    """Return the signing function of an Ed25519 private key, given in base64."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PrivateKey,
    )

    return Ed25519PrivateKey.from_private_bytes(_key(private_key)).sign


def seal(package: bytes, *, public_key: str, identity: str, cell: int) -> bytes:
    """Return `package` encrypted to `public_key` (base64), bound to a UVN and a cell.

    The result is the ephemeral key and the ciphertext: 48 bytes more than `package`.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
        X25519PublicKey,
    )

    recipient = X25519PublicKey.from_public_bytes(_key(public_key))
    return _hpke().encrypt(package, recipient, info=_bound(identity, cell))


def unseal(body: bytes, *, private_key: str, identity: str, cell: int) -> bytes:
    """Return the package that was sealed to `cell`. Raises `Untrusted`."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
        X25519PrivateKey,
    )

    try:
        recipient = X25519PrivateKey.from_private_bytes(_key(private_key))
        return _hpke().decrypt(body, recipient, info=_bound(identity, cell))
    except (InvalidTag, ValueError) as error:
        raise Untrusted("a sealed package is for another cell, or was altered") from error


@cache
def _hpke() -> Suite:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite  # noqa: PLC0415

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _covered(envelope: Envelope, identity: str) -> bytes:
    head = struct.pack(">HIQ", envelope.kind, envelope.subject, envelope.sequence)
    return _SIGNED + bytes.fromhex(identity) + head + envelope.body


def _bound(identity: str, cell: int) -> bytes:
    return _SEALED + bytes.fromhex(identity) + struct.pack(">I", cell)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not a base64 key") from error
    if len(key) != _KEY_SIZE:
        raise ValueError("not a key of 32 bytes")
    return key
