"""A certificate of the owner's for the page, in files of the cell's host (RFC 5280, RFC 7468).

Something else renews it there, such as an ACME client (RFC 8555). It is read again when one of the
files has changed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from uno.diagnostics import ActionNeeded

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from uno.model.plan import CertificateFiles

_LARGEST: Final = 1 << 17
# A renewal that is not done when so small a part of the lifetime is left has failed.
_LATE: Final = 0.1


class OwnCertificate(Struct, frozen=True, kw_only=True):
    """A certificate with its key; `chain` begins with it, both texts are PEM.

    `names` are those that it is for, such as `*.example.org`. Times are in seconds since the epoch.
    """

    chain: str
    key: str
    names: tuple[str, ...]
    starts: int
    ends: int

    def __repr__(self) -> str:
        return f"OwnCertificate({', '.join(self.names)})"


def mark(files: CertificateFiles) -> tuple[object, ...]:
    """Return what differs once one of the files is another one, or has been written."""
    return tuple(map(_mark, (files.certificate, files.key)))


def read(files: CertificateFiles) -> OwnCertificate:
    """Read a certificate and its key, which belong together. Raises `ActionNeeded`."""
    from cryptography import x509  # noqa: PLC0415 - 10 MB for those who have such a certificate
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    chain, key = _content(files.certificate), _content(files.key)
    try:
        found = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        hint = "write the page's certificate, then its chain, as PEM"
        raise ActionNeeded(f"{files.certificate} has no certificate", hint) from error
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        hint = "write it as PEM, without a passphrase: no one is there to type it"
        raise ActionNeeded(f"{files.key} has no private key that can be read", hint) from error
    own = found[0]
    if _public(own) != _public(private):
        raise ActionNeeded(
            f"{files.key} is not the key of the first certificate in {files.certificate}",
            "write both anew, and the page's certificate in front of its chain",
        )
    return OwnCertificate(
        chain=chain.decode(errors="replace"),
        key=key.decode(errors="replace"),
        names=_names(own),
        starts=int(own.not_valid_before_utc.timestamp()),
        ends=int(own.not_valid_after_utc.timestamp()),
    )


def require_valid(own: OwnCertificate, files: CertificateFiles, *, now: int) -> None:
    """Raise `ActionNeeded` where the certificate is not valid at the time `now`."""
    if now >= own.ends:
        raise ActionNeeded(f"{files.certificate} has expired on {_day(own.ends)}", "renew it")
    if now < own.starts:
        hint = "see that the clock of this host is right (date)"
        raise ActionNeeded(f"{files.certificate} is valid from {_day(own.starts)} on", hint)


def late(own: OwnCertificate, files: CertificateFiles, *, now: int) -> str:
    """Return what is wrong with a certificate that should have been renewed; may be empty."""
    if own.ends - now > _LATE * (own.ends - own.starts):
        return ""
    return f"{files.certificate} expires on {_day(own.ends)}, and has not been renewed"


def is_named(host: str, names: tuple[str, ...]) -> bool:
    """Whether a certificate with `names` is for `host`; both in lower case (RFC 9525, 6.3)."""
    return host in names or f"*.{host.partition('.')[2]}" in names


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ActionNeeded(
            f"{path} cannot be read: {error.strerror}",
            "see the cell's web.certificate and web.key, and that root may read these files",
        ) from error
    if len(content) > _LARGEST:
        raise ActionNeeded(f"{path} is larger than {_LARGEST >> 10} KiB", "see what it is")
    return content


def _mark(path: str) -> object:
    try:
        found = Path(path).stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _public(of: x509.Certificate | PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - as above
        Encoding,
        PublicFormat,
    )

    form = PublicFormat.SubjectPublicKeyInfo
    return of.public_key().public_bytes(Encoding.DER, form)


def _names(own: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        found = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).date().isoformat()
