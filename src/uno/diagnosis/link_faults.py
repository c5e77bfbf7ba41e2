"""Why a link does not work, as one of its ends shows it. Pure.

The first of these that holds is the cause; what follows from it is not named.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from uno.model.plan import BackbonePeer, Member
from uno.model.status import SESSION_SECONDS, CellView, LinkState
from uno.model.syntax import same_host

# WireGuard answers no handshake of a key that it does not have (its white paper, 5.1).
_OTHER_KEYS = "Packages of two generations may have other keys: install the newest at both"


class LinkFault(Struct, frozen=True, kw_only=True):
    """`what` is wrong, and the `remedy`. `nothing_arrives`: not a packet since it was created."""

    what: str
    remedy: str
    nothing_arrives: bool = False


def link_fault(
    state: LinkState,
    neighbor: str,
    *,
    planned: BackbonePeer | None = None,
    at_one_address: bool = False,
) -> LinkFault | None:
    """Return the fault of a link to the cell `neighbor`, None if it works.

    `planned` is the link in this end's package, where that is known. `at_one_address`: both cells
    have the same public address.
    """
    if state.works:
        return None
    if state.handshake is not None and state.handshake < SESSION_SECONDS:
        return _without_sessions(state, neighbor)
    if state.received == 0 and planned is not None and planned.port is not None:
        fault = _nothing_arrives(state, neighbor, planned)
    else:
        fault = _silent(state, neighbor, planned)
    if not at_one_address:
        return fault
    return replace(
        fault,
        what=f"{fault.what}; both have one public address",
        remedy="have the router at that address do NAT loopback (hairpin NAT), which a link within "
        f"a site needs (uno guide); or else: {fault.remedy}",
    )


def at_one_address(one: Member | None, other: Member | None) -> bool:
    """Whether two cells have the same public address, so that a link goes out and comes back."""
    here, there = (each.endpoint if each else None for each in (one, other))
    return here is not None and there is not None and same_host(here) == same_host(there)


def neighbor_note(view: CellView | None) -> str:
    """Return what the view of the whole UVN adds about the cell at the other end; may be empty."""
    if view is None:
        return ""
    if view.alive:
        return f"{view.name} itself is in contact by another path"
    since = "" if view.age is None else f" for {int(view.age)} s"
    return f"no cell in contact with this one has news of {view.name}{since}"


def _without_sessions(state: LinkState, neighbor: str) -> LinkFault:
    lacking = "BFD" if state.bgp == "Established" else "BGP"
    shown = (state.bfd if lacking == "BFD" else state.bgp) or "off"
    return LinkFault(
        what=f"{state.interface}: the routing session with {neighbor} is down ({lacking}: {shown}),"
        f" and the last handshake is {state.handshake} s old",
        remedy=f"run uno doctor on {neighbor}: the way there was cut just now, its routing is down,"
        " or a firewall drops TCP port 1790 or UDP port 3784 there",
    )


def _nothing_arrives(state: LinkState, neighbor: str, planned: BackbonePeer) -> LinkFault:
    return LinkFault(
        what=f"{state.interface}: nothing has ever arrived from {neighbor} at UDP port"
        f" {planned.port}",
        remedy=f"forward UDP port {planned.port} to this host (uno guide), and let the host's"
        f" firewall pass it; then see that {neighbor} is up. {_OTHER_KEYS}",
        nothing_arrives=True,
    )


def _silent(state: LinkState, neighbor: str, planned: BackbonePeer | None) -> LinkFault:
    last = (
        "has never answered"
        if state.handshake is None
        else f"has not answered for {state.handshake} s"
    )
    endpoint = planned.endpoint if planned is not None else None
    at = f" at {endpoint}" if endpoint else ""
    remedy = f"see that {neighbor} is up, and that its UDP ports are forwarded (uno guide)."
    remedy += f" {_OTHER_KEYS}"
    if planned is not None and endpoint is None:
        remedy = f"{neighbor} opens this link: see that it is up, and reaches the Internet"
    return LinkFault(what=f"{state.interface}: {neighbor}{at} {last}", remedy=remedy)
