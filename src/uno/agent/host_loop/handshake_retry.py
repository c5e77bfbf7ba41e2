"""Which links to call again, and when. Pure.

WireGuard tries by itself as long as it has something to send, but at the address that it was given:
a name may lead elsewhere by now. And after the other end has started anew it takes 15 seconds to
notice (WireGuard paper, section 6.5), which a new session does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from uno.model.status import LinkState

# Seconds without BFD after which a link is called again, and between two calls at most.
PATIENCE = 10.0
LONGEST = 60.0

# A link that has never had a session is called after a second, as its other end may be starting.
_FIRST = 1.0

# A session is renewed after 120 s and gone after 180 (WireGuard paper, section 6.1).
EXPIRED = 180


@dataclass(frozen=True, slots=True)
class _UnansweredLink:
    due: float
    pause: float
    has_met: bool


class HandshakeRetry:
    """Remembers which links are silent, and since when."""

    def __init__(self) -> None:
        """Start with none."""
        self._silent: dict[str, _UnansweredLink] = {}

    def due(self, links: Iterable[LinkState], *, now: float) -> tuple[str, ...]:
        """Return the interfaces of those `links` that are to be called `now`, in seconds.

        Only links that this end can call are to be given.
        """
        links = tuple(links)
        silent = {link.interface: link for link in links if is_silent(link)}
        self._silent = {
            name: self._known(name, has_met=link.handshake is not None) or _begun(link, now)
            for name, link in silent.items()
        }
        due = tuple(name for name, each in self._silent.items() if each.due <= now)
        for name in due:
            last = self._silent[name]
            pause = min(2 * last.pause, LONGEST)
            self._silent[name] = _UnansweredLink(now + last.pause, pause, last.has_met)
        return due

    def _known(self, name: str, *, has_met: bool) -> _UnansweredLink | None:
        """Return what is remembered of a link, None where it has had its first session since.

        A call would end that session, and BFD takes some seconds to come up.
        """
        known = self._silent.get(name)
        return known if known and known.has_met >= has_met else None


def is_silent(link: LinkState) -> bool:
    """Whether nothing comes from the other end of a link."""
    return link.bfd != "up" or link.handshake is None or link.handshake > EXPIRED


def is_name(endpoint: str | None) -> bool:
    """Whether an endpoint (`host:port`) has a name that may lead elsewhere one day."""
    if endpoint is None:
        return False
    try:
        ip_address(endpoint.rpartition(":")[0].strip("[]"))
    except ValueError:
        return True
    return False


def _begun(link: LinkState, now: float) -> _UnansweredLink:
    has_met = link.handshake is not None
    wait = PATIENCE if has_met else _FIRST
    return _UnansweredLink(now + wait, 2 * wait, has_met)
