"""Which links need a new handshake, and when. Pure.

WireGuard retries by itself as long as it has packets to send, but at the address that it was given;
the name of the endpoint may have another address by now, or several. After a restart of the other
end, WireGuard takes 15 seconds to notice (WireGuard paper, section 6.5); a new handshake takes one
round trip.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from uno.model.status import LinkState

# Seconds without BFD after which a handshake is initiated, and most seconds between two.
RETRY_AFTER = 10.0
LONGEST_PAUSE = 60.0

# Most seconds for one of several addresses: the one that works may be another.
OTHER_ADDRESS = 15.0

# The same for a link that has never had a session: its other end may be starting.
_FIRST = 1.0

# A session is renewed after 120 s and gone after 180 (WireGuard paper, section 6.1).
EXPIRED = 180


@dataclass(frozen=True, slots=True)
class _UnansweredLink:
    due: float
    pause: float
    had_session: bool


class HandshakeRetry:
    """Keeps which links are silent, and when each is due for a handshake."""

    def __init__(self) -> None:
        """Start with none."""
        self._silent: dict[str, _UnansweredLink] = {}

    def due(self, links: Iterable[LinkState], *, now: float) -> tuple[str, ...]:
        """Return the interfaces of those `links` that are due for a handshake `now`, in seconds.

        `links` are those whose endpoint this end knows.
        """
        links = tuple(links)
        silent = {link.interface: link for link in links if is_silent(link)}
        self._silent = {
            name: self._known(name, had_session=link.handshake is not None) or _begun(link, now)
            for name, link in silent.items()
        }
        due = tuple(name for name, each in self._silent.items() if each.due <= now)
        for name in due:
            last = self._silent[name]
            pause = min(2 * last.pause, LONGEST_PAUSE)
            self._silent[name] = _UnansweredLink(now + last.pause, pause, last.had_session)
        return due

    def try_next_soon(self, name: str, *, now: float) -> None:
        """Give the address that a link that is due is called at `now` at most `OTHER_ADDRESS`."""
        last = self._silent[name]
        self._silent[name] = _UnansweredLink(
            min(last.due, now + OTHER_ADDRESS), min(last.pause, OTHER_ADDRESS), last.had_session
        )

    def _known(self, name: str, *, had_session: bool) -> _UnansweredLink | None:
        """Return what is known of a link, None if it has had its first session since.

        A handshake would end that session, and BFD takes some seconds to come up.
        """
        known = self._silent.get(name)
        return known if known and known.had_session >= had_session else None


def is_silent(link: LinkState) -> bool:
    """Whether nothing is received from the other end of a link."""
    return link.bfd != "up" or link.handshake is None or link.handshake > EXPIRED


def is_name(endpoint: str | None) -> bool:
    """Whether an endpoint (`host:port`) is a name, whose address may change."""
    if endpoint is None:
        return False
    try:
        ip_address(endpoint.rpartition(":")[0].strip("[]"))
    except ValueError:
        return True
    return False


def _begun(link: LinkState, now: float) -> _UnansweredLink:
    had_session = link.handshake is not None
    wait = RETRY_AFTER if had_session else _FIRST
    return _UnansweredLink(now + wait, 2 * wait, had_session)
