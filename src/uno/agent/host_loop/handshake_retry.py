"""Which links need a new handshake, and when. Pure.

WireGuard retries by itself as long as it has packets to send, but at the address that it was given;
the name of the endpoint may have another address by now, or several. After a restart of the other
end, WireGuard takes 15 seconds to notice (WireGuard paper, section 6.5); a new handshake takes one
round trip.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_address

from msgspec import Struct

from uno.model.status import LinkState

# Seconds without BFD after which a handshake is initiated, and most seconds between two.
RETRY_AFTER = 10.0
LONGEST_PAUSE = 60.0

# Most seconds for one of several addresses: the one that works may be another.
OTHER_ADDRESS = 15.0

# The same for a link that has never had a session, whose other end may be starting, and for one
# that has strayed.
_FIRST = 1.0

# A session is renewed after 120 s and gone after 180 (WireGuard paper, section 6.1).
EXPIRED = 180


class _UnansweredLink(Struct, frozen=True):
    due: float
    pause: float
    had_session: bool


class HandshakeRetry:
    """Keeps which links are silent, and when each is due for a handshake."""

    def __init__(self) -> None:
        """Start with none."""
        self._silent: dict[str, _UnansweredLink] = {}

    def due(
        self, links: Iterable[LinkState], *, now: float, strayed: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Return the interfaces of those `links` that are due for a handshake `now`, in seconds.

        `links` are those whose endpoint this end knows. Those in `strayed` send to another one.
        """
        links = tuple(links)
        silent = {link.interface: link for link in links if is_silent(link)}
        self._silent = {
            name: self._known(name, had_session=link.handshake is not None)
            or _begun(now, is_soon=link.handshake is None or name in strayed, link=link)
            for name, link in silent.items()
        }
        due = tuple(name for name, each in self._silent.items() if each.due <= now)
        for name in due:
            last = self._silent[name]
            pause = min(2 * last.pause, LONGEST_PAUSE)
            # The handshake ends the session with the other endpoint.
            had_session = last.had_session and name not in strayed
            self._silent[name] = _UnansweredLink(now + last.pause, pause, had_session)
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


def has_strayed(link: LinkState, endpoint: str | None) -> bool:
    """Whether a link sends to another port than that of the `endpoint` of its definition.

    WireGuard sends to where the last packet came from. While both ends change to another port, the
    last packet may come from the old one.
    """
    ports = [each.rpartition(":")[2] for each in (link.endpoint, endpoint or "")]
    return all(ports) and ports[0] != ports[1]


def _begun(now: float, *, is_soon: bool, link: LinkState) -> _UnansweredLink:
    wait = _FIRST if is_soon else RETRY_AFTER
    return _UnansweredLink(now + wait, 2 * wait, link.handshake is not None)
