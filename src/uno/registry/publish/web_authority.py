"""The certificates of the cells' pages: the UVN's root, and an authority for each cell (RFC 5280).

A browser trusts the root. It signs an authority for each cell, which can sign nothing but that
cell's own addresses and name (name constraints, RFC 5280 section 4.2.1.10). With it the cell makes
the certificate of its page by itself, for the addresses that it has, without the registry.

All keys follow from one secret of the registry, and ECDSA signs without randomness here
(RFC 6979): the same secret makes the same certificates. P-256, as browsers take no Ed25519.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime
from functools import lru_cache
from textwrap import wrap
from typing import TYPE_CHECKING

from uno.model import web_access
from uno.model.web_access import host_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from uno.model.net import Network

# The times of both: clocks of cells may be years off.
NOT_BEFORE, NOT_AFTER = datetime(2024, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)

# The order of P-256 (SEC 2, section 2.4.2).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@lru_cache(maxsize=4)
def root_certificate(seed: bytes, uvn: str) -> bytes:
    """Return the certificate of a UVN's root, in DER. It holds no secret."""
    key = _root(seed)
    return _certificate(
        subject=(uvn, f"{uvn} root"),
        issuer=(uvn, f"{uvn} root"),
        key=key,
        signer=key,
        path_length=1,
        names=(web_access.PERMITTED, f"{uvn}.internal"),
    )


def root_key(seed: bytes) -> bytes:
    """Return the private key of a UVN's root, 32 bytes, big-endian."""
    return _scalar(seed, b"root").to_bytes(32, "big")


def cell_key(seed: bytes, cell: int, signing: bytes) -> bytes:
    """Return the private key of a cell's authority, 32 bytes, big-endian.

    It follows from the cell's private signing key too, so that a cell with new keys has a new one.
    """
    return _scalar(seed, b"cell %d " % cell + signing).to_bytes(32, "big")


def cell_authority(
    seed: bytes, uvn: str, cell: str, *, key: bytes, networks: Iterable[Network]
) -> bytes:
    """Return the certificate of a cell's authority, in DER, for its addresses in `networks`."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - `uno -h` is quick

    return _certificate(
        subject=(uvn, f"{uvn} cell {cell}"[:64]),
        issuer=(uvn, f"{uvn} root"),
        key=ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256R1()),
        signer=_root(seed),
        path_length=0,
        names=(tuple(networks), host_name(cell, uvn)),
    )


def metrics_token(seed: bytes, cell: int, signing: bytes) -> str:
    """Return the bearer token for the metrics of a cell (RFC 6750)."""
    drawn = hashlib.blake2b(
        b"%d " % cell + signing, key=seed, person=b"uno metrics", digest_size=24
    )
    return urlsafe_b64encode(drawn.digest()).decode()


def pem(certificate: bytes) -> str:
    """Return a certificate as text (RFC 7468)."""
    lines = wrap(b64encode(certificate).decode(), 64)
    return "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""))


def _certificate(
    *,
    subject: tuple[str, str],
    issuer: tuple[str, str],
    key: EllipticCurvePrivateKey,
    signer: EllipticCurvePrivateKey,
    path_length: int,
    names: tuple[tuple[Network, ...], str],
) -> bytes:
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    networks, domain = names
    public, own = key.public_key(), signer.public_key()
    permitted = [*map(x509.IPAddress, networks), x509.DNSName(domain)]
    basic = x509.BasicConstraints(ca=True, path_length=path_length)
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(*subject))
        .issuer_name(_name(*issuer))
        .public_key(public)
        .serial_number(_serial(repr((subject, issuer, path_length, names)).encode(), public))
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(basic, critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return made.public_bytes(serialization.Encoding.DER)


def _name(organization: str, common: str) -> x509.Name:
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"uno {organization}"[:64]),
            # X.520: 64 characters at most.
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),
        ]
    )


def _usage() -> x509.KeyUsage:
    from cryptography import x509  # noqa: PLC0415 - as above

    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _serial(content: bytes, key: object) -> int:
    """Return a serial number that only these contents have (RFC 5280, section 4.1.2.2)."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.ec import (  # noqa: PLC0415
        EllipticCurvePublicKey,
    )

    assert isinstance(key, EllipticCurvePublicKey)
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    digest = hashlib.blake2b(content + point, digest_size=16, person=b"uno serial").digest()
    return int.from_bytes(digest, "big") >> 1 or 1


@lru_cache(maxsize=4)
def _root(seed: bytes) -> EllipticCurvePrivateKey:
    return _private(seed, b"root")


def _private(seed: bytes, label: bytes) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

    return ec.derive_private_key(_scalar(seed, label), ec.SECP256R1())


def _scalar(seed: bytes, label: bytes) -> int:
    """Derive a private key (FIPS 186-5, A.2.1: more random bits than it has)."""
    drawn = hashlib.blake2b(label, key=seed, person=b"uno web key", digest_size=64).digest()
    return 1 + int.from_bytes(drawn, "big") % (_ORDER - 1)
