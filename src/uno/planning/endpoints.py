"""Public names and addresses: which are the same host, and how one is written with a port."""

from __future__ import annotations

from uno.model.net import address


def host(endpoint: str) -> str:
    """Return `endpoint` in the one form that all its spellings share.

    Names know no case and may end in a dot (RFC 4343, RFC 1034 section 3.1); an IPv6 address has
    many spellings (RFC 5952).
    """
    if ":" in endpoint:
        return str(address(endpoint))
    return endpoint.lower().rstrip(".")


def host_port(endpoint: str, port: int) -> str:
    """Return `endpoint` with `port` as WireGuard reads it: an IPv6 address stands in brackets."""
    return f"[{endpoint}]:{port}" if ":" in endpoint else f"{endpoint}:{port}"
