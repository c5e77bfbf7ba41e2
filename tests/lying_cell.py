"""A cell that was taken over: certificates that its own package lets it make, and a server of them.

It is `hub` of `packages.UVN`; its package holds the certificate and the key of its authority.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from packages import HOME, HUB, package_of
from uno.model import web_access
from uno.model.web_access import WebAccess
from uno.registry.publish import web_authority
from uno.web import leaf_certificate
from uno.web.leaf_certificate import Leaf

_SEED = b"s" * 32
# Browsers compare with the clock.
_NOW = time.time_ns() // 10**9
ROOT = web_authority.root_certificate(_SEED, "net")
"""The root that browsers of the UVN trust, in DER."""

ALL_NAMES_ARE_HERE = "--host-resolver-rules=MAP * 127.0.0.1"
"""An option of Chromium: every name and every address leads to the loopback interface."""

OWN_NAME, OWN_ADDRESS = "hub.net.internal", "192.168.1.2"
OTHERS = (
    "home.net.internal",
    "net.internal",
    "hub.other.internal",
    "192.168.2.2",
    str(package_of(HOME).own.node4),
    "bank.example.org",
    "93.184.216.34",
)
"""Names and addresses of another cell, the registry, another UVN, and of others' sites."""


class Presented(NamedTuple):
    """What a server presents, as PEM, and where a browser asks for it."""

    host: str
    chain: str
    key: str


def honest() -> list[Presented]:
    """Return what the cell's page presents at its name and its address."""
    leaf = _leaf(OWN_NAME, OWN_ADDRESS)
    return [Presented(host, leaf.chain, leaf.key) for host in (OWN_NAME, OWN_ADDRESS)]


def lies() -> dict[str, Presented]:
    """Return what the cell can make to pass for others, by what is wrong with it."""
    found = {}
    for host in OTHERS:
        leaf = _leaf(OWN_NAME, OWN_ADDRESS, host) if _is_address(host) else _leaf(host, OWN_ADDRESS)
        found[f"for {host}"] = Presented(host, leaf.chain, leaf.key)
        found[f"for {host} too"] = Presented(OWN_ADDRESS, leaf.chain, leaf.key)
    other = OTHERS[0]
    access = _access()
    authority = x509.load_der_x509_certificate(access.authority)
    signer = ec.derive_private_key(int.from_bytes(access.key, "big"), ec.SECP256R1())
    # An authority below its own, which nothing constrains, with a key that it has too.
    nested = _issued("any authority", authority.subject, signer, signer, is_authority=True)
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = _issued(other, nested.subject, signer, leaf_key, names=(x509.DNSName(other),))
    chain = (leaf, nested, authority)
    found["by an authority below its own"] = Presented(other, _pem(*chain), _private(leaf_key))
    bare = _issued(other, authority.subject, signer, leaf_key)
    found["by its common name"] = Presented(other, _pem(bare, authority), _private(leaf_key))
    return found


@contextmanager
def presenting() -> Iterator[tuple[int, list[Presented]]]:
    """Serve at a TCP port of the loopback interface what the list has last."""
    presented: list[Presented] = []
    server = _TlsServer(("127.0.0.1", 0), _Page)
    server.presented = presented
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], presented
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _TlsServer(ThreadingHTTPServer):
    presented: list[Presented]

    def finish_request(self, request: Any, client_address: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:
            chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
            chain.write_text(self.presented[-1].chain)
            key.write_text(self.presented[-1].key)
            context.load_cert_chain(chain, key)
        try:
            with context.wrap_socket(request, server_side=True) as connection:
                super().finish_request(connection, client_address)
        except OSError:
            # The browser refuses the certificate.
            return


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a page")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _access() -> WebAccess:
    package = package_of(HUB)
    key = web_authority.cell_key(_SEED, HUB, b"k" * 32)
    networks = web_access.networks(package.plan, package.own)
    authority = web_authority.cell_authority(_SEED, "net", "hub", key=key, networks=networks)
    return WebAccess(
        root=ROOT, authority=authority, key=key, owner="", cell_owner="", metrics_token=""
    )


def _leaf(name: str, *addresses: str) -> Leaf:
    return leaf_certificate.make(
        _access(), name=name, addresses=tuple(map(ip_address, addresses)), now=_NOW
    )


def _issued(
    common_name: str,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    *,
    names: tuple[x509.GeneralName, ...] = (),
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.fromtimestamp(_NOW, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(*certificates: x509.Certificate) -> str:
    return "".join(it.public_bytes(serialization.Encoding.PEM).decode() for it in certificates)


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()
