"""Resolves endpoints of WireGuard peers to the form that wg(8) accepts."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor


def resolve(names: Iterable[str]) -> dict[str, str]:
    """Return address and port of each `host:port`, resolved concurrently.

    Names that cannot be resolved are left out.
    """
    wanted = sorted(names)
    if not wanted:
        return {}
    with ThreadPoolExecutor(max_workers=min(16, len(wanted))) as pool:
        answers = zip(wanted, pool.map(lookup, wanted), strict=True)
    return {name: answer for name, answer in answers if answer is not None}


def lookup(endpoint: str) -> str | None:
    """Return the address and port of one `host:port`, or None if it cannot be resolved."""
    host, _, port = endpoint.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError:
        return None
    address = found[0][4][0]
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
