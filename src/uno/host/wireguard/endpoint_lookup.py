"""Resolves endpoints of WireGuard peers to the form that wg(8) accepts."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor


def resolve(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return addresses and port of each `host:port`, resolved concurrently.

    Names that cannot be resolved are left out.
    """
    wanted = sorted(names)
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=min(16, len(wanted))) as pool:
        answers = zip(wanted, pool.map(lookup, wanted), strict=True)
    return {name: found for name, found in answers if found}


def lookup(endpoint: str) -> tuple[str, ...]:
    """Return all addresses of one `host:port`, each with the port, in the resolver's order.

    A name that cannot be resolved has none.
    """
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError:
        return ()
    addresses = dict.fromkeys(str(each[4][0]) for each in found)
    return tuple(f"[{it}]:{port}" if ":" in it else f"{it}:{port}" for it in addresses)
