"""Who is logged in. Pure: tokens and times are parameters.

The table has a hash of each token, so that it opens nothing for whoever reads the memory. A session
ends 12 hours after the login, and 30 minutes after its last request.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

LIFETIME: Final = 12 * 3600.0
IDLE: Final = 30 * 60.0
"""Seconds."""

_CAPACITY, _OF_ONE = 1000, 20


class LoginSession(Struct, frozen=True):
    """A session of the user `email`; times are those of a monotonic clock, in seconds."""

    email: str
    started: float
    used: float

    def left(self, now: float) -> float:
        """Return the seconds until it ends if nothing is requested, 0 if it has ended."""
        return max(0.0, min(self.started + LIFETIME, self.used + IDLE) - now)


class SessionTable:
    """The sessions by the hash of their token."""

    def __init__(self) -> None:
        """Start with none."""
        self._sessions: dict[bytes, LoginSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def is_empty(self, *, now: float) -> bool:
        """Whether every session has ended."""
        return all(each.left(now) <= 0 for each in self._sessions.values())

    def open(self, token: str, email: str, *, now: float) -> LoginSession:
        """Begin a session; the oldest ones end if there are too many."""
        self._drop_ended(now)
        own = [key for key, each in self._sessions.items() if each.email == email]
        self._drop_oldest(own, _OF_ONE)
        self._drop_oldest(list(self._sessions), _CAPACITY)
        made = self._sessions[_hash(token)] = LoginSession(email, now, now)
        return made

    def find(self, token: str, *, now: float) -> LoginSession | None:
        """Return the session with this token, and have it last; None if there is none."""
        key = _hash(token)
        found = self._sessions.get(key)
        if found is None:
            return None
        if found.left(now) <= 0:
            del self._sessions[key]
            return None
        used = self._sessions[key] = replace(found, used=now)
        return used

    def close(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_hash(token), None)

    def keep_only(self, emails: frozenset[str]) -> None:
        """End the sessions of all other users: they may not log in any more."""
        self._sessions = {key: it for key, it in self._sessions.items() if it.email in emails}

    def _drop_ended(self, now: float) -> None:
        self._sessions = {key: it for key, it in self._sessions.items() if it.left(now) > 0}

    def _drop_oldest(self, keys: list[bytes], capacity: int) -> None:
        by_use = sorted(keys, key=lambda key: self._sessions[key].used)
        for key in by_use[: max(0, len(by_use) - capacity + 1)]:
            del self._sessions[key]


def device_token(email: str, nonce: str, *, key: bytes) -> str:
    """Return the text that a device keeps from which `email` has logged in."""
    return f"{nonce}.{_mark(email, nonce, key)}"


def known_device(email: str, token: str, *, key: bytes) -> str | None:
    """Return the nonce of a device from which `email` has logged in, None for any other text."""
    nonce, _, mark = token.partition(".")
    if not nonce or not hmac.compare_digest(mark.encode(), _mark(email, nonce, key).encode()):
        return None
    return nonce


def _mark(email: str, nonce: str, key: bytes) -> str:
    return hmac.new(key, f"{nonce} {email}".encode(), hashlib.sha256).hexdigest()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
