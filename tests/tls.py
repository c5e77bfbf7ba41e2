"""TLS handshakes in memory, for tests of certificates."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory


def handshake(*, chain: str, key: str, root: bytes, host: str) -> str:
    """Return why a client that trusts `root` (DER) refuses the server `host`, empty if it does not.

    `host` is a name or an address.
    """
    with TemporaryDirectory() as folder:
        certificate, private = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        certificate.write_text(chain)
        private.write_text(key)
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(certificate, private)
    asking = ssl.create_default_context(cadata=root)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=host)
    server = serving.wrap_bio(there, back, server_side=True)
    for _ in range(10):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    assert client.version() == "TLSv1.3"
    return ""
