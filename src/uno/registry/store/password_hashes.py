"""Passwords of users, as hashes that are slow to guess from."""

from __future__ import annotations


def hashed(password: str) -> str:
    """Return the argon2id hash of `password` as a PHC string.

    Its parameters are the second recommended choice of RFC 9106: 64 MiB, three passes, four lanes.
    """
    # Here, since most commands need no password, and this loads a C library.
    from argon2 import PasswordHasher  # noqa: PLC0415
    from argon2.profiles import RFC_9106_LOW_MEMORY  # noqa: PLC0415

    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY).hash(password)


def kept_or_hashed(password: str, known: str | None) -> str:
    """Return `known` if it is a hash of `password`, and a new hash otherwise.

    So the same password, given again, changes nothing.
    """
    from argon2 import PasswordHasher  # noqa: PLC0415 - as above
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

    if known is not None:
        try:
            PasswordHasher().verify(known, password)
        except (VerificationError, InvalidHashError):
            return hashed(password)
        return known
    return hashed(password)
