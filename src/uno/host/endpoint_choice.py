"""Which of a name's addresses a peer is called at. Pure.

A name may have several addresses, of both families, and not all of them need lead to the peer: an
AAAA record beside a router that forwards IPv4 only, one of several uplinks that is down. WireGuard
calls the one that it was given. So the addresses are tried in turn: first the one that worked last,
then in the order of the resolver (RFC 6724, section 6).
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from uno.model.net import address
from uno.model.syntax import unreachable_kind


class EndpointHistory(Struct, frozen=True, kw_only=True):
    """What was configured as a peer's endpoint, and with what success.

    `last` is the address and port configured last. `handshake` is the time of the latest handshake
    that was observed, in seconds since the epoch; `worked` is the endpoint that it was observed
    with. `tried` are those configured since, the longest ago first. `addresses` is how many the
    name had when it was resolved last.
    """

    last: str
    handshake: int = 0
    worked: str | None = None
    tried: tuple[str, ...] = ()
    addresses: int = 1


def of_other_hosts(answers: tuple[str, ...]) -> tuple[str, ...]:
    """Return those endpoints that can be at another site.

    A host's own name leads to a loopback address in Debian's /etc/hosts, and resolvers that block
    names answer with the unspecified address; either is this host itself.
    """
    return tuple(
        each
        for each in answers
        if unreachable_kind(address(each.rpartition(":")[0].strip("[]"))) is None
    )


def next_endpoint(answers: tuple[str, ...], history: EndpointHistory | None) -> EndpointHistory:
    """Return the history with the next of `answers` as `last`, to be configured now.

    `answers` has one endpoint at least; all are tried before one is tried again.
    """
    before = history or EndpointHistory(last=answers[0])
    tried = tuple(each for each in before.tried if each in answers)
    preferred = sorted(answers, key=lambda each: each != before.worked)
    chosen = next((each for each in preferred if each not in tried), None) or tried[0]
    others = tuple(each for each in tried if each != chosen)
    return replace(before, last=chosen, tried=(*others, chosen), addresses=len(set(answers)))


def kept_endpoint(answers: tuple[str, ...], history: EndpointHistory | None) -> EndpointHistory:
    """Return the history with its last endpoint where that is still among `answers`."""
    if history is not None and history.last in answers:
        return replace(history, addresses=len(set(answers)))
    return next_endpoint(answers, history)


def with_handshake(
    history: EndpointHistory, *, endpoint: str | None, handshake: int
) -> EndpointHistory:
    """Return the history with the peer's present `endpoint` and latest `handshake`, 0 for none."""
    if handshake in (0, history.handshake):
        return history
    return replace(history, handshake=handshake, worked=endpoint or history.worked, tried=())
