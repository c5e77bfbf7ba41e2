"""The LANs of a cell that are attached to its host, and the interfaces to them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from uno.diagnostics import ActionNeeded
from uno.model.attached_lan import AttachedLan
from uno.model.net import Network, overlap
from uno.ports.host import Nic


def attached(lans: Iterable[Network], nics: Iterable[Nic]) -> tuple[AttachedLan, ...]:
    """Return the attached LANs, once for each interface to them.

    An interface counts if its subnet is within the LAN or contains it; if the subnet of some is
    the LAN itself, those count alone.
    """
    nics = tuple(nics)
    return tuple(each for lan in lans for each in _interfaces(lan, nics))


def require_all(lans: Iterable[Network], nics: Iterable[Nic]) -> tuple[AttachedLan, ...]:
    """Return all `lans` as attached.

    Raises `UnoError` with those that are missing, and the interfaces of the host.
    """
    lans, nics = tuple(lans), tuple(nics)
    found = attached(lans, nics)
    missing = [str(lan) for lan in lans if lan not in {each.network for each in found}]
    if not missing:
        return found
    there = [f"{nic.name} ({_addresses(nic)})" for nic in nics]
    raise ActionNeeded(
        f"this host has no interface on {' or '.join(missing)}; "
        f"it has {', '.join(there) or 'none'}",
        "give the host an address in that LAN and bring its interface up, "
        "or correct the cell's LANs in the registry",
    )


def _interfaces(lan: Network, nics: tuple[Nic, ...]) -> list[AttachedLan]:
    found = {
        AttachedLan(network=lan, nic=nic.name, exact=address.network == lan)
        for nic in nics
        for address in nic.addresses
        if nic.up and overlap(address.network, lan)
    }
    exact = {each for each in found if each.exact}
    return sorted(exact or found, key=lambda each: each.nic)


def _addresses(nic: Nic) -> str:
    state = "" if nic.up else ", down"
    return (", ".join(map(str, nic.addresses)) or "no address") + state
