"""A public name or address together with a port."""

from __future__ import annotations


def host_port(endpoint: str, port: int) -> str:
    """Return `endpoint` with `port` as WireGuard reads it: an IPv6 address stands in brackets."""
    return f"[{endpoint}]:{port}" if ":" in endpoint else f"{endpoint}:{port}"
