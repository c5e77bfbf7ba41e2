"""How long whoever has guessed wrong passwords has to wait. Pure.

Nobody is locked out: an owner far away must get in while a stranger guesses. From the fifth wrong
password in a row on, the next attempt waits, twice as long each time, 5 minutes at most. It counts
for the e-mail address, whoever tries it, and for the source, whatever it tries. A device that
someone has logged in from before counts by itself: whoever attacks its owner's address does not
delay it (device cookies, OWASP).
"""

from __future__ import annotations

from collections.abc import Hashable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from msgspec import Struct

FREE = 4
"""So many wrong passwords in a row cost no time."""

LONGEST = 300.0
"""The longest wait, in seconds."""

COUNTED: Final = 3600.0
"""Seconds after its wait in which a wrong password counts for certain.

So long that whoever waits until all is forgotten has no more attempts than at the longest wait.
"""

_CAPACITY: Final = 10_000


class FailedLogins(Struct, frozen=True):
    """Wrong passwords in a row, and the time until which no attempt is answered."""

    count: int
    until: float


class LoginThrottle:
    """The failures by key. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        """Start with no failures."""
        self._failed: dict[Hashable, FailedLogins] = {}

    def wait(self, keys: tuple[Hashable, ...], *, now: float) -> float:
        """Return the seconds until an attempt with these keys is answered, 0 if it is now."""
        untils = (self._failed[key].until for key in keys if key in self._failed)
        return max(0.0, max(untils, default=now) - now)

    def failed(self, keys: tuple[Hashable, ...], *, now: float) -> None:
        """Note a wrong password."""
        for key in keys:
            before = self._failed.get(key)
            count = before.count + 1 if before else 1
            self._failed[key] = FailedLogins(count, now + pause(count))
        if len(self._failed) > _CAPACITY:
            # Many keys with one failure each must not drive out the one with many.
            excess = sorted(self._failed, key=lambda it: _weight(self._failed[it]))
            for key in excess[: _CAPACITY // 10]:
                del self._failed[key]

    def is_empty(self, *, now: float) -> bool:
        """Whether no wrong password counts any more, so that all may be forgotten."""
        return all(now >= each.until + COUNTED for each in self._failed.values())

    def passed(self, keys: tuple[Hashable, ...]) -> None:
        """Note a right password."""
        for key in keys:
            self._failed.pop(key, None)


def pause(count: int) -> float:
    """Return the seconds to wait after so many wrong passwords in a row."""
    return 0.0 if count <= FREE else min(LONGEST, 2.0 ** min(count - FREE, 16))


def keys_of(email: str, source: str, device: str | None) -> tuple[Hashable, ...]:
    """Return the keys of an attempt; `device` is that of the user, if it is known."""
    if device is not None:
        return (("device", email, device),)
    return ("email", email), ("source", _network(source))


def _weight(failed: FailedLogins) -> tuple[int, float]:
    return failed.count, failed.until


def _network(source: str) -> str:
    """Return what one person can choose addresses in: a /64 of IPv6 (RFC 7421)."""
    try:
        address = IPv6Address(source.partition("%")[0])
    except ValueError:
        return source
    mapped: IPv4Address | None = address.ipv4_mapped
    return str(mapped) if mapped else str(IPv6Network((int(address) >> 64 << 64, 64)))
