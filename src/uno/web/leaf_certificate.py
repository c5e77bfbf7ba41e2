"""The certificate of a cell's page, which the cell makes itself with its own authority (RFC 5280).

It is for the addresses that the cell has at the time and good for 90 days; after 60 there is a new
one. Clocks of readers differ, so that it begins 30 days before it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from uno.model.net import Address, written

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from uno.model.web_access import WebAccess

DAY: Final = 86_400
LIFETIME, RENEWAL, BEFORE = 90 * DAY, 60 * DAY, 30 * DAY


class Leaf(Struct, frozen=True, kw_only=True):
    """A certificate with its key. `chain` has it and its authority, both texts are PEM.

    `issuer` is a digest of the authority; `made` is in seconds since the epoch.
    """

    issuer: str
    name: str
    addresses: tuple[str, ...]
    made: int
    chain: str
    key: str

    def __repr__(self) -> str:
        return f"Leaf({self.name}, {self.made})"

    @property
    def expires(self) -> int:
        """When it is good no more, in seconds since the epoch."""
        return self.made + LIFETIME


def is_current(
    leaf: Leaf, access: WebAccess, *, name: str, addresses: Iterable[Address], now: int
) -> bool:
    """Whether a page with these addresses needs no other certificate at the time `now`."""
    return (
        leaf.issuer == _digest(access.authority)
        and leaf.name == name
        and {written(each) for each in addresses} <= set(leaf.addresses)
        and leaf.made - BEFORE <= now < leaf.made + RENEWAL
    )


def make(access: WebAccess, *, name: str, addresses: Collection[Address], now: int) -> Leaf:
    """Make a certificate with a new key for `name` and `addresses` (`web_access.networks`)."""
    from cryptography import x509  # noqa: PLC0415 - 10 MB that are needed once in 60 days
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    authority = x509.load_der_x509_certificate(access.authority)
    signer = ec.derive_private_key(int.from_bytes(access.key, "big"), ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    start, end = _times(now, authority)
    # X.520: 64 characters at most. Browsers read the alternative names alone.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in _extensions(key.public_key(), authority, name, addresses):
        builder = builder.add_extension(extension, critical=critical)
    pem = serialization.Encoding.PEM
    made = builder.sign(signer, hashes.SHA256())
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Leaf(
        issuer=_digest(access.authority),
        name=name,
        addresses=tuple(sorted(map(written, addresses))),
        made=now,
        chain=(made.public_bytes(pem) + authority.public_bytes(pem)).decode(),
        key=private.decode(),
    )


def _times(now: int, authority: x509.Certificate) -> tuple[datetime, datetime]:
    """Return the validity of a certificate: that of its authority bounds it."""
    first, last = authority.not_valid_before_utc, authority.not_valid_after_utc
    moment = datetime.fromtimestamp(now, tz=UTC)
    start = min(max(moment - timedelta(seconds=BEFORE), first), last - timedelta(days=1))
    end = min(max(moment + timedelta(seconds=LIFETIME), first + timedelta(days=1)), last)
    return start, end


def _extensions(
    public: EllipticCurvePublicKey,
    authority: x509.Certificate,
    name: str,
    addresses: Iterable[Address],
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    names = [x509.DNSName(name), *(x509.IPAddress(each) for each in addresses)]
    own = x509.SubjectKeyIdentifier
    issuer = authority.extensions.get_extension_for_class(own).value
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    yield x509.BasicConstraints(ca=False, path_length=None), True
    yield x509.KeyUsage(digital_signature=True, **usage), True
    yield x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False
    yield x509.SubjectAlternativeName(names), False
    yield own.from_public_key(public), False
    yield x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), False


def _digest(authority: bytes) -> str:
    return hashlib.sha256(authority).hexdigest()
