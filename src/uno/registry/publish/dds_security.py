"""The credentials of DDS Security 1.1 for each participant: certificates, governance, permissions.

One authority signs the identity of each participant, the governance document for all, and the
permissions of each. Its key and a seed for each participant are stored; all else is derived from
them, with the same bytes every time: RSA signatures with PKCS #1 v1.5 padding are deterministic,
and so are S/MIME messages without attributes. The validity is fixed, since clocks of cells may be
wrong: a banned participant is excluded by having no links.

The plugins check topics and partitions. A cell can publish the registry's topics only in the relay
partition, where subscribers verify the signature of the origin.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from uno.model.key_ids import DDS_AUTHORITY, dds_file, dds_seed
from uno.model.messages import REGISTRY
from uno.ports.bus import FOR_REGISTRY, OWN, RELAY, Topic
from uno.registry.store.secret_table import StoredSecret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIND = "ca"

_FROM, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
# The registry's topics that cells relay.
_STATEMENTS = (Topic.UVN, Topic.ACTIVATION, Topic.TRUST)
_NO_PASSWORD = serialization.NoEncryption()
_PKCS8 = serialization.PrivateFormat.PKCS8
# Of P-256, FIPS 186-4, section D.1.2.3.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The files of one participant, as `ports.bus.Security` has their paths."""

    identity_ca: bytes
    permissions_ca: bytes
    certificate: bytes
    private_key: bytes
    governance: bytes
    permissions: bytes

    def secrets(self) -> dict[str, str]:
        """Return them as a package has them: in base64, by the ids of `model.key_ids.dds_file`."""
        return {dds_file(name): base64.b64encode(it).decode() for name, it in asdict(self).items()}


def new_authority() -> StoredSecret:
    """Draw the key of an authority: RSA, 2048 bits, which is what DDS Security 1.1 knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.DER, _PKCS8, _NO_PASSWORD)
    return StoredSecret(id=DDS_AUTHORITY, kind=KIND, private=private)


def secrets_of(
    node: int, *, identity: str, domain: int, stored: Mapping[str, StoredSecret]
) -> dict[str, str]:
    """Return a cell's files, or the registry's (0), as a package has them.

    Nothing if the registry has no keys for them yet, since an older uno made its newest generation.
    """
    authority, seed = stored.get(DDS_AUTHORITY), stored.get(dds_seed(node))
    if authority is None or seed is None:
        return {}
    return credentials(
        authority.private, seed.private, node=node, identity=identity, domain=domain
    ).secrets()


def credentials(
    authority_key: bytes, node_seed: bytes, *, node: int, identity: str, domain: int
) -> Credentials:
    """Return the files of a participant: of cell `node`, or of the registry.

    `authority_key` is that of `new_authority`; `identity` is the UVN's.
    """
    signing = _private(authority_key)
    root = _root(authority_key, identity)
    key = ec.derive_private_key(_scalar(node_seed), ec.SECP256R1())
    name = _name(identity, "registry" if node == REGISTRY else f"cell-{node}")
    certificate = _certificate(name, key.public_key(), issuer=root.subject, signing=signing)
    root_pem = root.public_bytes(serialization.Encoding.PEM)
    permissions = _permissions(name.rfc4514_string(), node=node, domain=domain)
    return Credentials(
        identity_ca=root_pem,
        permissions_ca=root_pem,
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        private_key=key.private_bytes(serialization.Encoding.PEM, _PKCS8, _NO_PASSWORD),
        governance=_signed_governance(authority_key, identity, domain),
        permissions=_signed(permissions, root, signing),
    )


@lru_cache(maxsize=4)
def _private(authority_key: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_der_private_key(authority_key, password=None)
    assert isinstance(key, rsa.RSAPrivateKey), "an authority's key is RSA"
    return key


@lru_cache(maxsize=4)
def _root(authority_key: bytes, identity: str) -> x509.Certificate:
    signing = _private(authority_key)
    name = _name(identity, "authority")
    return _certificate(name, signing.public_key(), issuer=name, signing=signing)


@lru_cache(maxsize=4)
def _signed_governance(authority_key: bytes, identity: str, domain: int) -> bytes:
    return _signed(_governance(domain), _root(authority_key, identity), _private(authority_key))


def _name(identity: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    name: x509.Name,
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    *,
    issuer: x509.Name,
    signing: rsa.RSAPrivateKey,
) -> x509.Certificate:
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    is_authority = name == issuer
    spki = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # RFC 5280, section 4.1.2.2: positive, at most 20 bytes.
    serial = int.from_bytes(hashlib.sha256(spki).digest()[:16], "big") | 1
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(of_authority, critical=False)
        .sign(signing, hashes.SHA256())
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    """Return what a key signs: challenges and documents; the authority's certificates, too."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _scalar(node_seed: bytes) -> int:
    drawn = hashlib.blake2b(key=node_seed, digest_size=48, person=b"uno dds").digest()
    return int.from_bytes(drawn, "big") % (_ORDER - 1) + 1


def _signed(document: str, root: x509.Certificate, signing: rsa.RSAPrivateKey) -> bytes:
    """Return a document as S/MIME, signed beside its text (RFC 8551, section 3.5.3)."""
    text = f"Content-Type: text/plain\n\n{document}".replace("\n", "\r\n").encode()
    options = [
        pkcs7.PKCS7Options.DetachedSignature,
        pkcs7.PKCS7Options.Binary,
        pkcs7.PKCS7Options.NoAttributes,
    ]
    signature = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(text)
        .add_signer(root, signing, hashes.SHA256())
        .sign(serialization.Encoding.DER, options)
    )
    border = "uno-" + hashlib.sha256(text).hexdigest()[:32]
    head = (
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/signed; protocol="application/x-pkcs7-signature";'
        f' micalg="sha-256"; boundary="{border}"\r\n\r\n'
        f"--{border}\r\n"
    )
    tail = (
        f"\r\n--{border}\r\n"
        'Content-Type: application/x-pkcs7-signature; name="smime.p7s"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n'
        f"{_base64_lines(signature)}\r\n"
        f"--{border}--\r\n"
    )
    return head.encode() + text + tail.encode()


def _base64_lines(content: bytes) -> str:
    return base64.encodebytes(content).decode().replace("\n", "\r\n")


def _document(kind: str, content: str) -> str:
    schema = f"https://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_{kind}.xsd"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<dds xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:noNamespaceSchemaLocation="{schema}">\n{content}\n</dds>\n'
    )


def _governance(domain: int) -> str:
    """Return the governance of all participants: authenticated and encrypted."""
    topics = _elements(
        topic_expression="*",
        enable_discovery_protection="true",
        enable_liveliness_protection="true",
        enable_read_access_control="true",
        enable_write_access_control="true",
        metadata_protection_kind="SIGN",
        data_protection_kind="ENCRYPT",
    )
    rule = _domains(domain) + _elements(
        allow_unauthenticated_participants="false",
        enable_join_access_control="true",
        discovery_protection_kind="ENCRYPT",
        liveliness_protection_kind="SIGN",
        rtps_protection_kind="SIGN",
    )
    rule += f"<topic_access_rules><topic_rule>{topics}</topic_rule></topic_access_rules>"
    access = f"<domain_access_rules><domain_rule>{rule}</domain_rule></domain_access_rules>"
    return _document("governance", access)


def _permissions(subject: str, *, node: int, domain: int) -> str:
    """Return what one participant may write and read."""
    may = _of_the_registry() if node == REGISTRY else _of_a_cell(node)
    validity = _elements(not_before=_moment(_FROM), not_after=_moment(_UNTIL))
    grant = (
        _elements(subject_name=subject)
        + f"<validity>{validity}</validity>"
        + f"<allow_rule>{_domains(domain)}{may}</allow_rule>"
        + _elements(default="DENY")
    )
    name = "registry" if node == REGISTRY else f"cell-{node}"
    return _document(
        "permissions", f'<permissions><grant name="{name}">{grant}</grant></permissions>'
    )


def _of_the_registry() -> str:
    return (
        _may("publish", _STATEMENTS, (OWN,))
        + _may("publish", (Topic.OFFER,), ("cell-*", "relay-*"))
        + _may("subscribe", (Topic.STATUS, Topic.ACK), (OWN, FOR_REGISTRY))
        # Its own samples, from before it was restored from a backup.
        + _may("subscribe", _STATEMENTS, (RELAY,))
    )


def _of_a_cell(cell: int) -> str:
    statements = (*_STATEMENTS, Topic.STATUS, Topic.ACK)
    return (
        _may("publish", (Topic.STATUS, Topic.ACK), (OWN, RELAY, FOR_REGISTRY))
        + _may("publish", _STATEMENTS, (RELAY, FOR_REGISTRY))
        + _may("publish", (Topic.OFFER,), ("cell-*",))
        + _may("subscribe", statements, (OWN, RELAY))
        + _may("subscribe", (Topic.OFFER,), (f"cell-{cell}", "relay-*"))
    )


def _may(verb: str, topics: Iterable[Topic], partitions: Iterable[str]) -> str:
    named = "".join(_elements(topic=topic.value) for topic in topics)
    within = "".join(_elements(partition=partition) for partition in partitions)
    return f"<{verb}><topics>{named}</topics><partitions>{within}</partitions></{verb}>"


def _domains(domain: int) -> str:
    return f"<domains>{_elements(id=str(domain))}</domains>"


def _elements(**texts: str) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in texts.items())


def _moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")
