"""Signatures of envelopes, and packages that are sealed to one cell."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec.structs import replace

from uno.model.messages import BODY_LIMIT, Envelope, Kind
from uno.statesync.envelope import (
    Untrusted,
    seal,
    signed,
    signer,
    unseal,
    verify,
)

IDENTITY, OTHER_UVN = "ab" * 16, "cd" * 16
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
SEALING = X25519PrivateKey.from_private_bytes(bytes([8] * 32))
PACKAGE = b"the package of cell 3" * 100


def text(key: bytes) -> str:
    return b64encode(key).decode()


PUBLIC_SIGNING = text(SIGNING.public_key().public_bytes_raw())
PUBLIC_SEALING = text(SEALING.public_key().public_bytes_raw())
PRIVATE_SEALING = text(SEALING.private_bytes_raw())


@pytest.fixture
def envelope() -> Envelope:
    plain = Envelope(
        subject=3, kind=Kind.STATUS, sequence=9, relayed_by=3, body=b"{}", signature=b""
    )
    return signed(plain, identity=IDENTITY, sign=signer(text(SIGNING.private_bytes_raw())))


def test_a_signature_is_valid_whichever_cell_relays_it(envelope: Envelope) -> None:
    verify(replace(envelope, relayed_by=5), identity=IDENTITY, public_key=PUBLIC_SIGNING)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": 4},
        {"kind": Kind.ACK},
        {"sequence": 10},
        {"body": b"[]"},
        {"signature": bytes(64)},
        {"signature": b""},
        {"body": bytes(BODY_LIMIT + 1)},
        {"subject": -1},
        {"sequence": 1 << 64},
    ],
)
def test_every_signed_field_is_covered(envelope: Envelope, change: dict[str, object]) -> None:
    with pytest.raises(Untrusted):
        verify(replace(envelope, **change), identity=IDENTITY, public_key=PUBLIC_SIGNING)


@pytest.mark.parametrize("key", [PUBLIC_SEALING, "", "not base64", text(bytes(31))])
def test_another_key_and_another_uvn_are_refused(envelope: Envelope, key: str) -> None:
    with pytest.raises(Untrusted):
        verify(envelope, identity=IDENTITY, public_key=key)
    with pytest.raises(Untrusted):
        verify(envelope, identity=OTHER_UVN, public_key=PUBLIC_SIGNING)


def test_a_sealed_package_is_opened_with_the_private_key() -> None:
    body = seal(PACKAGE, public_key=PUBLIC_SEALING, identity=IDENTITY, cell=3)

    assert unseal(body, private_key=PRIVATE_SEALING, identity=IDENTITY, cell=3) == PACKAGE
    # The ephemeral key of X25519 and the tag of ChaCha20-Poly1305 (RFC 9180, sections 7.1 and 7.3).
    assert len(body) == len(PACKAGE) + 32 + 16


def test_each_sealing_has_an_ephemeral_key_of_its_own() -> None:
    first, second = (
        seal(PACKAGE, public_key=PUBLIC_SEALING, identity=IDENTITY, cell=3) for _ in range(2)
    )

    assert first[:32] != second[:32]


@pytest.mark.parametrize(
    ("key", "identity", "cell"),
    [
        (PRIVATE_SEALING, OTHER_UVN, 3),
        (PRIVATE_SEALING, IDENTITY, 4),
        (text(bytes([9] * 32)), IDENTITY, 3),
        ("", IDENTITY, 3),
        ("not base64", IDENTITY, 3),
    ],
)
def test_a_sealed_package_is_bound_to_its_key_uvn_and_cell(
    key: str, identity: str, cell: int
) -> None:
    body = seal(PACKAGE, public_key=PUBLIC_SEALING, identity=IDENTITY, cell=3)

    with pytest.raises(Untrusted):
        unseal(body, private_key=key, identity=identity, cell=cell)


@pytest.mark.parametrize("size", [0, 31, 32, 47, 48])
def test_a_body_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(Untrusted):
        unseal(bytes(size), private_key=PRIVATE_SEALING, identity=IDENTITY, cell=3)


def test_a_package_cannot_be_sealed_to_what_is_not_a_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(PACKAGE, public_key=text(bytes(31)), identity=IDENTITY, cell=3)
