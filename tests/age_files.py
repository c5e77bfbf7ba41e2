"""Writes age files whose passphrase costs next to nothing.

age(1) and pyrage choose the work factor of scrypt so that a passphrase costs a second. Tests that
are about something else encrypt with the lowest factor; pyrage decrypts these as any other.
The format is that of https://age-encryption.org/v1: a header with one scrypt stanza, then chunks.
"""

from __future__ import annotations

import base64
import os

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

LOG_N = 1
CHUNK = 64 << 10


def encrypt(plain: bytes, passphrase: str) -> bytes:
    """Return what `pyrage.passphrase.encrypt` does, with less work to open it."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapping = Scrypt(
        salt=b"age-encryption.org/v1/scrypt" + salt, length=32, n=1 << LOG_N, r=8, p=1
    ).derive(passphrase.encode())
    wrapped = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    header = b"\n".join(
        (
            b"age-encryption.org/v1",
            b"-> scrypt %s %d" % (unpadded(salt), LOG_N),
            unpadded(wrapped),
            b"---",
        )
    )
    code = hmac.HMAC(derived(file_key, b"", b"header"), hashes.SHA256())
    code.update(header)
    payload = ChaCha20Poly1305(derived(file_key, nonce, b"payload"))
    chunks = [plain[at : at + CHUNK] for at in range(0, len(plain), CHUNK)] or [b""]
    return b"".join(
        (
            header + b" " + unpadded(code.finalize()) + b"\n" + nonce,
            *(
                payload.encrypt(
                    number.to_bytes(11, "big") + bytes([number == len(chunks) - 1]), chunk, None
                )
                for number, chunk in enumerate(chunks)
            ),
        )
    )


def derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=purpose).derive(key)


def unpadded(content: bytes) -> bytes:
    return base64.b64encode(content).rstrip(b"=")
