"""Passwords of users, as hashes that are slow to guess from."""

from __future__ import annotations


def hashed(password: str) -> str:
    """Return the argon2id hash of `password` as a PHC string, with the parameters of RFC 9106."""
    # Here, since most commands need no password, and this loads a C library.
    from argon2 import PasswordHasher  # noqa: PLC0415

    return PasswordHasher().hash(password)
