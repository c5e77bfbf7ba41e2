"""Hashes of passwords: argon2id (RFC 9106) as PHC strings, which a page checks passwords with.

A definition may bring its own hashes along, of any cost: the page's process computes each of them
once for an attempt at a login, and a thief of a cell's package once for each guess.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

# Larger parameters, which a definition may bring along, would keep a cell busy at each attempt.
MOST_MEMORY, MOST_PASSES, MOST_LANES = 256 << 10, 16, 16
LEAST_COST = 35 << 10
"""Memory in KiB, times passes: the least that OWASP's cheat sheet on storing passwords recommends.

Of these, 7 MiB with five passes is the smallest product.
"""
_SIZES = range(16, 65)
_SALTS = range(8, 65)

_PHC = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,10}),t=(\d{1,10}),p=(\d{1,9})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)


class PasswordHash(NamedTuple):
    """The parts of an argon2id hash; `memory` is in KiB."""

    passes: int
    memory: int
    lanes: int
    salt: bytes
    hash: bytes

    @property
    def is_cheap(self) -> bool:
        """Whether guesses cost less than a password should be kept with (`LEAST_COST`)."""
        return self.passes * self.memory < LEAST_COST

    @property
    def is_checked(self) -> bool:
        """Whether a page checks passwords with it: its cost and its sizes are within bounds."""
        return (
            # At least 8 KiB for each lane (RFC 9106, section 3.1).
            0 < 8 * self.lanes <= self.memory <= MOST_MEMORY
            and 0 < self.passes <= MOST_PASSES
            and self.lanes <= MOST_LANES
            and len(self.hash) in _SIZES
            and len(self.salt) in _SALTS
        )


def parts(phc: str) -> PasswordHash | None:
    """Return the parts of a PHC string, None if it is none of argon2id."""
    match = _PHC.fullmatch(phc)
    if match is None:
        return None
    memory, passes, lanes = (int(match[number]) for number in (1, 2, 3))
    try:
        salt, digest = (_unpadded(match[number]) for number in (4, 5))
    except binascii.Error:
        return None
    return PasswordHash(passes, memory, lanes, salt, digest)


def parsed(phc: str) -> PasswordHash | None:
    """Return the parts of a PHC string, None if it is none that a page checks passwords with."""
    found = parts(phc)
    return found if found is not None and found.is_checked else None


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
